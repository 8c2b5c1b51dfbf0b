"""Harrow & Vale, an engineering firm that does not exist: its machines, its people, its addresses.

Names end in ``.example`` (RFC 2606), outside addresses are those set aside for documentation (RFC 5737).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DOMAIN: Final = "harrow.example"
NT_DOMAIN: Final = "HARROW"


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    ip: str
    system: str
    """``windows``, ``linux`` or ``appliance``."""
    tier: int
    """0 crown jewel … 3."""
    groups: tuple[str, ...]
    agent: str | None
    """Id of its Wazuh agent, where it has one."""


@dataclass(frozen=True, slots=True)
class User:
    name: str
    tier: int
    groups: tuple[str, ...]
    desk: str | None
    """The workstation that the person sits at."""

    @property
    def mailbox(self) -> str:
        return f"{self.name}@{DOMAIN}"


_SERVERS: Final = (
    ("dc01", "10.20.0.10", "windows", 0, "domain-controllers"),
    ("dc02", "10.20.0.11", "windows", 0, "domain-controllers"),
    ("fs01", "10.20.0.20", "windows", 1, "file-servers"),
    ("db01", "10.20.0.40", "windows", 0, "databases"),
    ("erp01", "10.20.0.41", "windows", 1, "business-applications"),
    ("mx01", "10.20.8.25", "linux", 1, "mail"),
    ("web01", "10.20.8.10", "linux", 2, "web"),
    ("web02", "10.20.8.11", "linux", 2, "web"),
    ("vpn01", "10.20.8.2", "linux", 1, "remote-access"),
    ("proxy01", "10.20.0.30", "linux", 2, "proxies"),
    ("backup01", "10.20.0.50", "linux", 1, "backup"),
    ("scan01", "10.20.0.60", "linux", 2, "vulnerability-scanners"),
    ("wazuh01", "10.20.0.70", "linux", 1, "security"),
    ("print01", "10.20.0.80", "appliance", 3, "printers"),
)
_DESKS: Final = 12

_PEOPLE: Final = (
    "m.lindqvist", "a.okafor", "j.porter", "t.nakamura", "s.haddad", "r.ferreira", "l.novak",
    "e.andersen", "p.mbeki", "c.dubois", "h.yilmaz", "k.osei", "n.petrov", "d.kowalski",
    "i.santos", "o.bergman", "v.rossi", "f.hassan", "g.lambert", "y.chen", "b.murphy",
    "w.schmidt", "z.farouk", "q.tran", "u.ivanova", "x.moreau", "ae.keller", "bo.larsen",
    "cy.adams", "di.moretti", "ed.walsh", "fi.jensen", "gu.torres", "hu.weber",
)  # fmt: skip
_ADMINS: Final = ("adm.keane", "adm.ruiz")
_SERVICES: Final = ("svc-backup", "svc-scan", "svc-erp", "svc-print")

SENSOR_HOST: Final = "ids01"
"""The network sensor; no alert happens on it."""


def _hosts() -> dict[str, Host]:
    hosts: dict[str, Host] = {}
    for number, (name, ip, system, tier, group) in enumerate(_SERVERS, start=1):
        agent = None if system == "appliance" else f"{number:03d}"
        hosts[name] = Host(name, ip, system, tier, ("servers", group), agent)
    for number in range(101, 101 + _DESKS):
        hosts[f"ws-{number}"] = Host(f"ws-{number}", f"10.20.4.{number}", "windows", 3, ("workstations",), str(number))
    return hosts


def _users() -> dict[str, User]:
    users: dict[str, User] = {}
    for index, name in enumerate(_PEOPLE):
        # 34 people share twelve desks in shifts; the first of the list sits at ws-101.
        users[name] = User(name, 3, ("staff",), f"ws-{101 + index % _DESKS}")
    for name in _ADMINS:
        users[name] = User(name, 0, ("administrators",), "ws-112")
    for name in _SERVICES:
        users[name] = User(name, 1, ("service-accounts",), None)
    return users


HOSTS: Final = _hosts()
USERS: Final = _users()
STAFF: Final = tuple(user for user in USERS.values() if user.desk is not None)
ADMINS: Final = tuple(USERS[name] for name in _ADMINS)
SERVERS: Final = tuple(host for host in HOSTS.values() if "servers" in host.groups)
LINUX: Final = tuple(host for host in HOSTS.values() if host.system == "linux")
WINDOWS_SERVERS: Final = tuple(host for host in SERVERS if host.system == "windows")
WORKSTATIONS: Final = tuple(host for host in HOSTS.values() if "workstations" in host.groups)


def inventory_yaml() -> str:
    """The assets as the operator writes them down, one a line, each under every name that a sensor gives it."""
    lines = [
        "# Assets of the demonstration scenario: tier 0 is a crown jewel, 3 an ordinary machine.",
        "# Sensors name the same asset in different ways, so each name has its line.",
        "assets:",
    ]
    for host in HOSTS.values():
        for kind, value in (("host", host.name), ("host", f"{host.name}.{DOMAIN}"), ("ip", host.ip)):
            lines.append(_line(kind, value, host.tier, host.groups))
    for user in USERS.values():
        for kind, value in (("user", user.name), ("user", user.mailbox), ("mailbox", user.mailbox)):
            lines.append(_line(kind, value, user.tier, user.groups))
    return "\n".join(lines) + "\n"


def _line(kind: str, value: str, tier: int, groups: tuple[str, ...]) -> str:
    return f"  - {{kind: {kind}, value: {value}, tier: {tier}, groups: [{', '.join(groups)}]}}"
