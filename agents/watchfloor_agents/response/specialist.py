"""The specialist response engine: deterministic first containment of an incident that is believed to be an attack.

It proposes the least disruptive step that the alerts themselves bear out: to deny the outside addresses that they name
most severely. It has no tool that acts, and its proposals are ruled on like anybody's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import Integrity, Severity

NAME: Final = "specialist:response"
VERSION: Final = "1"
MAX_PROPOSALS: Final = 2
"""Addresses that are proposed for one incident: an attack that uses more is a person's to scope."""

MIN_SEVERITY: Final = Severity.MEDIUM
"""Under it an address is worth a look, and not an outage."""


@dataclass(frozen=True, slots=True)
class NamedAddress:
    """An address as an incident's alerts name it."""

    value: str
    severity: int
    """The highest of the alerts that name it (OCSF ``severity_id``)."""
    alerts: int
    integrity: Integrity
    """Of the most trusted field that names it."""
    products: frozenset[str]
    """Sensors that name it in fields of their own."""
    in_inventory: bool


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One step, with the reason in words."""

    action_class: str
    target_kind: str
    value: str
    integrity: Integrity
    products: frozenset[str]
    purpose: str


def suggest(addresses: Iterable[NamedAddress]) -> tuple[Suggestion, ...]:
    """What is worth proposing, the strongest first; nothing where no outside address stands out."""
    outside = [one for one in addresses if not one.in_inventory and is_outside(one.value)]
    ranked = sorted(outside, key=lambda one: (-one.severity, -len(one.products), -one.alerts, one.value))
    strongest = max([MIN_SEVERITY, *(one.severity for one in ranked)])
    return tuple(
        Suggestion(
            "deny ip",
            "ip",
            one.value,
            one.integrity,
            one.products,
            purpose_of(one.alerts, len(one.products), one.severity),
        )
        for one in ranked[:MAX_PROPOSALS]
        # A weaker address beside a strong one is context, not a cause to act.
        if one.severity == strongest
    )


def purpose_of(alerts: int, sensors: int, severity: int) -> str:
    """Why an address is proposed, in the words that people read."""
    return f"{alerts} alerts of {sensors} sensors name it, up to severity {severity}"
