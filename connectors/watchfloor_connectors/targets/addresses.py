"""Which addresses a tool may shut out: single ones, spelled one way, and none whose loss would cut off the defender."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, TypeAlias

from watchfloor_connectors.targets.base import BadTargetError, NeverError, plain_text
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import TargetKind

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_NO_SOURCE: Final = (ip_network("0.0.0.0/8"), ip_network("255.255.255.255/32"), ip_network("::/128"))
"""No packet of somebody else comes from there (RFC 6890)."""


def address_of(target: Target) -> Address:
    """The address. Raises `BadTargetError` for anything else, `NeverError` for one that no tool shuts out."""
    text = target.value
    if target.kind is not TargetKind.IP:
        raise BadTargetError(f"a target of kind {target.kind!r} is no IP address")
    plain_text(text, "an IP address")
    try:
        # A scope (``fe80::1%eth0``) may hold any text, so it is refused with everything else that is not the address.
        address = ip_address(text)
    except ValueError:
        raise BadTargetError(f"{quote_untrusted(text, 80)} is no IP address; one single address was expected") from None
    if str(address) != text or "%" in text or (isinstance(address, IPv6Address) and address.ipv4_mapped):
        raise BadTargetError(f"{quote_untrusted(text, 80)} is not the address's one spelling (RFC 5952, no scope)")
    special = next((name for name in ("loopback", "multicast", "link_local") if getattr(address, f"is_{name}")), None)
    if special or address.is_unspecified or any(covers(network, address) for network in _NO_SOURCE):
        raise NeverError(f"{text} is {special or 'no source of packets'}: shutting it out harms only this network")
    return address


def refuse_never(address: Address, never: Iterable[Network]) -> None:
    """Raises `NeverError` for an address in one of these.

    A tool that finds its own act on the address does not ask: 'never' holds back acts, not what ends them.
    """
    for network in never:
        if covers(network, address):
            raise NeverError(f"{address} is in {network}, which 'never' of this tool protects")


def covers(network: Network, address: Address) -> bool:
    return network.version == address.version and address in network


def network_of(text: str) -> Network:
    """An address or a network of a configuration. Raises ValueError with the remedy."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(f"{error}; an address or a network such as 192.0.2.0/24 was expected") from None
