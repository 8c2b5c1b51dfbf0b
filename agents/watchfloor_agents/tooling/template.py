"""A tool to copy: whose network an address is in, by a list of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, ip_network

from pydantic import BaseModel

from watchfloor_agents.tooling.tool import Fields

OWNERS = {"198.51.100.0/24": "payroll provider", "203.0.113.0/24": "guests' wireless network"}


class Asked(BaseModel):
    address: IPv4Address


class NetworkOwner:
    name, version, arguments = "network_owner", "1", Asked
    description = "Whose network an IPv4 address is in, by our own list."

    def read(self, arguments: Asked) -> Sequence[Fields]:
        found = [(net, owner) for net, owner in OWNERS.items() if arguments.address in ip_network(net)]
        return [{"network.range": net, "network.owner": owner} for net, owner in found]
