"""Which hosts a tool may log in to: names, exactly, and addresses and networks for targets that are addresses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import AfterValidator

from watchfloor_connectors.targets.addresses import covers, network_of
from watchfloor_connectors.targets.base import BadTargetError, plain_text
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import TargetKind

_TARGET: Final = re.compile(r"ssh://(\[[0-9a-f:.]+\]|[a-z0-9][a-z0-9._-]{0,252})(?::([1-9][0-9]{0,4}))?")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,251}[a-z0-9])?")


def _place(text: str) -> str:
    """A host's name, or an address or network."""
    if not (re.fullmatch(r"[0-9.]+(?:/[0-9]+)?", text) or ":" in text) and _HOST.fullmatch(text):
        return text
    network_of(text)
    return text


Places = tuple[Annotated[str, AfterValidator(_place)], ...]
"""The type of an option that lists hosts."""


def host_and_port(target: Target, standard_port: int) -> tuple[str, int]:
    """Of ``ssh://host[:port]``. Raises `BadTargetError`."""
    if target.kind is not TargetKind.COMMAND:
        raise BadTargetError(f"a target of kind {target.kind!r} is no place where commands run")
    text = plain_text(target.value, "where a command runs by SSH")
    found = _TARGET.fullmatch(text)
    host = found.group(1).strip("[]") if found is not None else ""
    port = int(found.group(2) or standard_port) if found is not None else 0
    if not host or port > 65_535 or not _is_host(host, is_bracketed="[" in text):
        shown = quote_untrusted(text, 80)
        raise BadTargetError(f"{shown} is no ssh://<host>[:<port>], in lower case, with IPv6 addresses in brackets")
    return host, port


def _is_host(host: str, *, is_bracketed: bool) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        # A name all of digits and dots is an address that somebody else reads in another way (inet_aton(3)).
        return not is_bracketed and _HOST.fullmatch(host) is not None and not re.fullmatch(r"[0-9.]+|0x.*", host)
    return str(address) == host and is_bracketed == (address.version == 6)


def is_among(host: str, places: Sequence[str]) -> bool:
    """A name by itself, an address by what covers it."""
    try:
        address = ip_address(host)
    except ValueError:
        return host in places
    networks = [network_of(place) for place in places if _is_network(place)]
    return any(covers(network, address) for network in networks)


def _is_network(place: str) -> bool:
    try:
        network_of(place)
    except ValueError:
        return False
    return True
