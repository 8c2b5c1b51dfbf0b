"""What may be done to the outside world at all: the closed list of action classes.

An action class is an OpenC2 verb with a target type. What cannot be told by a proposer stands here: whether it can be
undone, by what, and for how long it may last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from watchfloor_core.incident import Function

_HOUR_S: Final = 3_600
_DAY_S: Final = 24 * _HOUR_S


class TargetKind(StrEnum):
    """What an action is done to (OpenC2 target types, ours where it has none)."""

    IP = "ip"
    """An IPv4 or IPv6 address, RFC 5952."""
    USER = "user"
    """An account by its name."""
    PROCESS = "process"
    """``<pid>@<start time>``: the start time tells a process from a later one of the same number."""
    FILE = "file"
    """An absolute path."""
    FILTER = "filter"
    """What a detection rule no longer reports: the text of a `watchfloor_guardrails.rule_filter.RuleFilter`."""


@dataclass(frozen=True, slots=True)
class ActionClass:
    """One kind of act."""

    name: str
    """Verb and target, e.g. ``deny ip``; what the autonomy matrix, switches and budgets name."""
    target: TargetKind
    undo: str | None
    """The class that takes it back on the same target; None where nothing does."""
    is_containment: bool
    """It holds something back, so it ends: a lease is opened."""
    max_lease_s: int | None = None
    """The longest that it may last without being decided on anew, in seconds."""
    standard_lease_s: int = 4 * _HOUR_S
    """How long it lasts where nobody asks for another time limit, in seconds."""
    function: Function = Function.INCIDENT_RESPONSE
    """Whose autonomy it takes."""

    @property
    def is_reversible(self) -> bool:
        return self.undo is not None


CREATE_FILTER: Final = "create filter"

_ALL: Final = (
    ActionClass("deny ip", TargetKind.IP, "allow ip", is_containment=True, max_lease_s=30 * _DAY_S),
    ActionClass("allow ip", TargetKind.IP, "deny ip", is_containment=False),
    ActionClass("disable user", TargetKind.USER, "enable user", is_containment=True, max_lease_s=7 * _DAY_S),
    ActionClass("enable user", TargetKind.USER, "disable user", is_containment=False),
    ActionClass("contain file", TargetKind.FILE, "restore file", is_containment=True, max_lease_s=90 * _DAY_S),
    ActionClass("restore file", TargetKind.FILE, "contain file", is_containment=False),
    # Less is seen while it lasts, so it ends like a containment; and the level of those who detect decides on it.
    ActionClass(
        CREATE_FILTER,
        TargetKind.FILTER,
        "delete filter",
        is_containment=True,
        max_lease_s=90 * _DAY_S,
        standard_lease_s=30 * _DAY_S,
        function=Function.THREAT_DETECTION,
    ),
    ActionClass(
        "delete filter",
        TargetKind.FILTER,
        CREATE_FILTER,
        is_containment=False,
        function=Function.THREAT_DETECTION,
    ),
    # A process that has ended does not come back with what it held.
    ActionClass("stop process", TargetKind.PROCESS, None, is_containment=False),
)

CATALOGUE: Final[Mapping[str, ActionClass]] = {one.name: one for one in _ALL}


def function_of(action_class: str) -> Function:
    """The function whose autonomy an action takes; that of response for a class that is not known here."""
    known = CATALOGUE.get(action_class)
    return Function.INCIDENT_RESPONSE if known is None else known.function
