"""Addresses by their range: which cannot be one of the organisation's own network."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

_OURS: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        "::/127",
        "fc00::/7",
        "fe80::/10",
        "ff00::/8",
    )
)
"""Never outside: private (RFC 1918, RFC 4193), shared (RFC 6598), loopback, link-local, multicast, reserved."""


def is_outside(value: str) -> bool:
    """True for an address that cannot be one of ours by its range; False for one of ours and for what is no address.

    Ranges kept for documentation count as outside: nobody has them.
    """
    try:
        address = ip_address(value)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    found = mapped or address
    return not any(found in network for network in _OURS if network.version == found.version)
