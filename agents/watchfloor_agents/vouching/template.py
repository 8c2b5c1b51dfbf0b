"""An endorser to copy: it vouches for addresses of networks that people here have put on a list."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from watchfloor_agents.vouching.endorser import NamedValue

LISTED = tuple(map(ip_network, ("198.51.100.0/24", "2001:db8:bad::/48")))


class ListedNetworks:
    name = "listed_networks"
    version = "1"

    def vouches(self, value: NamedValue) -> bool:
        return value.action_class == "deny ip" and any(ip_address(value.value) in one for one in LISTED)
