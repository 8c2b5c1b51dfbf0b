"""Where requests of a playbook may go: the places that the operator lists, and not to inner addresses by accident.

A name is looked up once, and the connection is made to the address that was looked at: a name that answers otherwise a
moment later leads nowhere else.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from watchfloor_connectors.channels.http import url_fault
from watchfloor_connectors.targets.addresses import Address, Network, covers
from watchfloor_connectors.targets.base import BadTargetError, NeverError, NotReadyError, plain_text
from watchfloor_core.addresses import is_outside
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import TargetKind

_SERVICES: Final = (ip_network("168.63.129.16/32"),)
"""Public by their range, and still answered by the cloud's own host (Azure WireServer)."""
_NAT64: Final = ip_network("64:ff9b::/96")
_PORTS: Final = {"https": 443, "http": 80}


def origin(text: str) -> str:
    """``https://host[:port]`` in its one spelling, or http to this machine itself. Raises ValueError."""
    fault = url_fault(text)
    parts = urlsplit(text)
    if fault is None and (parts.path not in ("", "/") or parts.query):
        fault = "has a path or a query; give https://host[:port] alone"
    if fault is not None:
        raise ValueError(f"the address {fault}")
    host = (parts.hostname or "").lower()
    if not host.isascii():
        raise ValueError("the address has a name that is not ASCII; give its form that begins with xn--")
    shown = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{shown}{port}"


def origin_of(target: Target, allowed: Sequence[str], never: Sequence[str], tool: str) -> str:
    """The place that a target names. Raises `BadTargetError`, and `NeverError` for one that is not listed."""
    if target.kind is not TargetKind.COMMAND:
        raise BadTargetError(f"a target of kind {target.kind!r} is no place where requests go")
    text = plain_text(target.value, "where a request goes")
    try:
        found = origin(text)
    except ValueError:
        found = ""
    if found != text:
        raise BadTargetError(f"{quote_untrusted(text, 80)} is no https://<host>[:<port>] in its one spelling")
    if found not in allowed:
        raise NeverError(f"{found} is not among the 'base_urls' of {tool!r}")
    if found in never:
        raise NeverError(f"{found} is in 'never' of {tool!r}")
    return found


def place_of(found: str) -> tuple[str, str, int]:
    """Scheme, host and port of an `origin`."""
    parts = urlsplit(found)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def looked_up(host: str, port: int, inside: Sequence[Network], timeout_s: float) -> str:
    """The address to connect to. Raises `NotReadyError`, and `NeverError` where one of a name's may not be used."""
    addresses = _resolved(host, port, timeout_s)
    for address in addresses:
        if not _is_open(address) and not any(covers(network, address) for network in inside):
            raise NeverError(f"{host} is at {address}, an inner address; the option 'networks' does not name it")
    return str(addresses[0])


def _resolved(host: str, port: int, timeout_s: float) -> list[Address]:
    found: list[Address] = []
    failed: list[str] = []

    def ask() -> None:
        try:
            for *_, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                address = ip_address(str(where[0]).partition("%")[0])
                if address not in found:
                    found.append(address)
        except (OSError, UnicodeError, ValueError) as error:
            failed.append(type(error).__name__)

    # The resolver has no time limit that could be set; what it still finds later is not waited for.
    asking = threading.Thread(target=ask, name="look-up", daemon=True)
    asking.start()
    asking.join(timeout_s)
    if asking.is_alive() or failed or not found:
        raise NotReadyError(f"the name {host} has no address ({failed[0] if failed else 'no answer in time'})")
    return found


def _is_open(address: Address) -> bool:
    """Outside by its range, and by that of an address which it stands for."""
    return all(is_outside(str(one)) and not any(covers(net, one) for net in _SERVICES) for one in _meanings(address))


def _meanings(address: Address) -> list[Address]:
    if isinstance(address, IPv4Address):
        return [address]
    inner: list[IPv4Address | IPv6Address | None] = [address.ipv4_mapped, address.sixtofour]
    inner += address.teredo or ()
    if address in _NAT64:
        inner.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *(one for one in inner if one is not None)]
