"""The blast radius: how much an action touches, counted from the inventory and never taken from whoever proposes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from watchfloor_guardrails.matrix import UNKNOWN_TIER

MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class InventoryHit:
    """One entity of the inventory that the action's target is, or stands on."""

    kind: str
    value: str
    tier: int
    """0 (crown jewel) to 3."""


@dataclass(frozen=True, slots=True)
class Blast:
    """What an action touches. Whole numbers only, so that its canonical form is one."""

    assets: int
    """Hosts and addresses of ours."""
    users: int
    """Accounts of ours."""
    fleet_ppm: int
    """Share of the inventory, in parts per million, rounded up."""
    tier: int
    """The most critical among them; `UNKNOWN_TIER` where the inventory knows none."""
    in_inventory: bool
    """The target is one of ours."""


def blast_of(hits: Iterable[InventoryHit], inventory_size: int) -> Blast:
    """The blast of acting on a target with these hits. An unknown target counts as one asset of an unknown tier."""
    found = tuple(hits)
    users = sum(hit.kind == "user" for hit in found)
    assets = len(found) - users
    if not found:
        return Blast(1, 0, _ppm(1, inventory_size), UNKNOWN_TIER, in_inventory=False)
    return Blast(assets, users, _ppm(len(found), inventory_size), min(hit.tier for hit in found), in_inventory=True)


def _ppm(count: int, of: int) -> int:
    if of <= 0:
        # Nothing is known of the fleet, so it may be all of it.
        return MILLION
    return min(MILLION, -(-count * MILLION // of))
