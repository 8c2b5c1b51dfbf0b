"""Configuration items of ServiceNow's CMDB as assets: the answers of its Table API, and the lists that it exports.

Field names and classes are those of the base system
(https://www.servicenow.com/docs, *Table API* and *CMDB tables descriptions*). A field is a text, or an object with
``value`` (as it is stored), ``display_value`` (as it is shown) or both, as ``sysparm_display_value`` had it. The
spelling ``busines_criticality`` is ServiceNow's own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

import orjson

from watchfloor_core.errors import ConfigurationError, Problem, RecordError
from watchfloor_core.untrusted import quote_untrusted

Record: TypeAlias = Mapping[str, Any]  # one row of a table, whose fields are looked at one by one
Row: TypeAlias = tuple[Record, int | None, str | None]
"""A record with its line or its path in the document."""
Asset: TypeAlias = tuple[Record, int | None, str | None]
"""``{host, ip, user, tier, groups}`` as `watchfloor_connectors.inventory` reads it, with the place it comes from."""

_HOSTS: Final = {
    "cmdb_ci_computer": "Computer",
    "cmdb_ci_pc_hardware": "Personal Computer",
    "cmdb_ci_server": "Server",
    "cmdb_ci_linux_server": "Linux Server",
    "cmdb_ci_win_server": "Windows Server",
    "cmdb_ci_unix_server": "UNIX Server",
    "cmdb_ci_aix_server": "AIX Server",
    "cmdb_ci_hpux_server": "HPUX Server",
    "cmdb_ci_solaris_server": "Solaris Server",
    "cmdb_ci_osx_server": "OS/X Server",
    "cmdb_ci_netware_server": "Netware Server",
    "cmdb_ci_esx_server": "ESX Server",
    "cmdb_ci_hyper_v_server": "Hyper-V Server",
    "cmdb_ci_virtualization_server": "Virtualization Server",
    "cmdb_ci_storage_server": "Storage Server",
    "cmdb_ci_datapower_server": "Data Power Hosting Server",
    "cmdb_ci_mainframe": "IBM Mainframe",
    "cmdb_ci_mainframe_lpar": "IBM Mainframe LPAR",
    "cmdb_ci_vm_instance": "Virtual Machine Instance",
    "cmdb_ci_ec2_instance": "EC2 Virtual Machine Instance",
    "cmdb_ci_hyper_v_instance": "Hyper-V Virtual Machine Instance",
    "cmdb_ci_kvm_vm_instance": "KVM Virtual Machine Instance",
    "cmdb_ci_solaris_instance": "Solaris Virtual Machine Instance",
    "cmdb_ci_vmware_instance": "VMware Virtual Machine Instance",
    "cmdb_ci_netgear": "Network Gear",
    "cmdb_ci_ip_router": "IP Router",
    "cmdb_ci_ip_switch": "IP Switch",
    "cmdb_ci_ip_firewall": "IP Firewall",
    "cmdb_ci_ip_device": "IP Device",
    "cmdb_ci_ip_server": "IP Server",
    "cmdb_ci_ip_phone": "IP Phone",
    "cmdb_ci_lb": "Load Balancer",
    "cmdb_ci_lb_bigip": "F5 BIG-IP",
    "cmdb_ci_lb_netscaler": "Citrix Netscaler",
    "cmdb_ci_printer": "Printer",
    "cmdb_ci_mfp_printer": "Multi-function Printer",
    "cmdb_ci_outofband_device": "Out-of-Band Device",
}
"""Classes of machines, with their labels. Services, applications and databases run on one, and are none."""
_LABELS: Final = {label.casefold(): label for label in _HOSTS.values()}
_USERS: Final = ("sys_user", "user")
_CLASS: Final = "sys_class_name"
_CRITICALITY: Final = ("business_criticality", "busines_criticality", "u_business_criticality")
"""The base system has it on applications and services; on machines it is a column of one's own, hence ``u_``."""
_GONE: Final = {"install_status": ("7", "100", "retired", "absent"), "operational_status": ("6", "retired")}
"""What leaves an item out. An instance can give its states other meanings: what is shown as something else stays, and
costs little where it is kept in vain."""
_CRITICAL: Final = re.compile(r"([1-4])(?:\s*-.*)?")
_SYS_ID: Final = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class CmdbExport:
    """What of an export is an asset, and how much of it is none."""

    assets: tuple[Asset, ...]
    left_out: tuple[str, ...]
    """With their numbers, in words."""


def is_cmdb_header(columns: Sequence[str]) -> bool:
    """True for the columns of a list that ServiceNow exported."""
    return _CLASS in columns or "user_name" in columns or {"name", "ip_address"} <= set(columns)


def table_rows(data: bytes, file: str) -> Iterator[Row]:
    """The records of an answer of the Table API. Raises `ConfigurationError` where it is none."""
    try:
        content = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise ConfigurationError([Problem(f"not valid JSON: {error}", file, error.lineno)]) from None
    match content:
        case {"error": dict() as answer}:
            said = quote_untrusted(str(answer.get("message", "no reason")), 200)
            raise ConfigurationError([Problem(f"ServiceNow answered with an error, {said}; ask it again", file)])
        case {"result": list() as records}:
            key = "result"
        case {"records": list() as records}:
            key = "records"
        case {"result": Mapping() as record}:
            key, records = "result", [record]
        case _:
            raise ConfigurationError(
                [
                    Problem(
                        "no answer of ServiceNow's Table API: a list 'result' was expected; other inventories are "
                        ".yaml or .csv (docs/how-to/describe-your-assets.md)",
                        file,
                    )
                ]
            )
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise ConfigurationError([Problem("no record: fields were expected", file, None, f"{key}[{number}]")])
        yield record, None, f"{key}[{number}]"


def read_cmdb(rows: Iterable[Row], file: str) -> CmdbExport:
    """The machines and users in service. Raises `ConfigurationError` with all mistakes, and where nothing is left."""
    assets: list[Asset] = []
    problems: list[Problem] = []
    left_out: Counter[str] = Counter()
    for record, line, path in rows:
        try:
            asset = _asset(record, left_out)
        except RecordError as error:
            where = ".".join(part for part in (path, error.path) if part)
            problems.append(Problem(error.reason, file, line, where or None))
            continue
        if asset is not None:
            assets.append((asset, line, path))
    if problems:
        raise ConfigurationError(problems)
    told = tuple(f"{count:,} {what}" for what, count in left_out.most_common())
    if not assets:
        reason = f"left out: {', '.join(told)}" if told else "may the account that exported it read the table?"
        raise ConfigurationError([Problem(f"the export holds no machine and no user in service; {reason}", file)])
    return CmdbExport(tuple(assets), told)


def _asset(record: Record, left_out: Counter[str]) -> dict[str, Any] | None:
    """None for what is left out, which is counted."""
    name = _Field.of(record, _CLASS)
    label = _HOSTS.get(name.value) or _LABELS.get(name.shown.casefold())
    is_user = name.is_one_of(_USERS) or (not name.text and "user_name" in record)
    if label is None and not is_user:
        nameless = f"without {_CLASS}, which has to be exported"
        left_out[f"of class {quote_untrusted(name.text, 60)}" if name.text else nameless] += 1
        return None
    if is_user:
        return _user(record, left_out)
    if any(_Field.of(record, field).is_surely_one_of(words) for field, words in _GONE.items()):
        left_out["retired or absent"] += 1
        return None
    hosts = [text for field in ("name", "host_name", "fqdn") if (text := _Field.of(record, field).text)]
    addresses = list(_addresses(_Field.of(record, "ip_address").text, left_out))
    if not hosts and not addresses:
        left_out["without a name and an address"] += 1
        return None
    support = _Field.of(record, "support_group").name
    asset = {"host": hosts, "ip": addresses, "groups": [one for one in (label, support) if one]}
    return asset | _tier(record)


def _user(record: Record, left_out: Counter[str]) -> dict[str, Any] | None:
    name = _Field.of(record, "user_name").text
    if _Field.of(record, "active").is_surely_one_of(("false", "0", "no")):
        left_out["inactive users"] += 1
        return None
    if not name:
        left_out["users without user_name"] += 1
        return None
    return {"user": name} | _tier(record)


def _tier(record: Record) -> dict[str, int]:
    """From 1 (most critical) to 4, tier 0 to 3; empty where it is not stated, the most critical where it is twice."""
    tiers: list[int] = []
    for name in _CRITICALITY:
        field = _Field.of(record, name)
        if not field.text:
            continue
        shown, stored = _CRITICAL.fullmatch(field.shown), _CRITICAL.fullmatch(field.value)
        if shown is None:
            said = quote_untrusted(field.text, 60)
            expected = "'1 - most critical' to '4 - not critical' was expected"
            raise RecordError(f"{said} is no business criticality: {expected}", path=name)
        tiers += [int(one[1]) - 1 for one in (shown, stored) if one is not None]
    return {"tier": min(tiers)} if tiers else {}


def _addresses(text: str, left_out: Counter[str]) -> Iterator[str]:
    """A cell may hold several. What many machines share, and what is none, names nobody."""
    for part in re.split(r"[\s,;]+", text):
        try:
            address = ip_address(part) if part else None
        except ValueError:
            left_out["addresses that are none"] += 1
            continue
        if address is not None and not (address.is_loopback or address.is_link_local or address.is_unspecified):
            yield part


@dataclass(frozen=True, slots=True)
class _Field:
    value: str
    """As it is stored; where only one of the two is told, it stands in both."""
    shown: str

    @classmethod
    def of(cls, record: Record, name: str) -> _Field:
        held = record.get(name)
        if isinstance(held, Mapping):
            value, shown = _text(held.get("value"), name), _text(held.get("display_value"), name)
            return cls(value or shown, shown or value)
        text = _text(held, name)
        return cls(text, text)

    @property
    def text(self) -> str:
        return self.shown

    @property
    def name(self) -> str:
        """Of what it refers to; empty where only an id is told, which says nothing to people."""
        return "" if _SYS_ID.fullmatch(self.shown) else self.shown

    def is_one_of(self, words: Sequence[str]) -> bool:
        return self.value.casefold() in words or self.shown.casefold() in words

    def is_surely_one_of(self, words: Sequence[str]) -> bool:
        """Where both are told, both say so."""
        return self.value.casefold() in words and self.shown.casefold() in words


def _text(held: object, name: str) -> str:
    if held is None:
        return ""
    if isinstance(held, bool):
        return str(held).lower()
    if not isinstance(held, str | int):
        kind = type(held).__name__
        raise RecordError(f"a {kind} was not expected: a text, or value and display_value, were", path=name)
    return str(held).strip()
