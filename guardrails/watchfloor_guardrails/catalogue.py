"""What may be done to the outside world at all: the closed list of action classes.

An action class is an OpenC2 verb with a target type. What cannot be told by a proposer stands here: whether it can be
undone, by what, and for how long it may last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


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

    @property
    def is_reversible(self) -> bool:
        return self.undo is not None


_DAY_S: Final = 86_400

_ALL: Final = (
    ActionClass("deny ip", TargetKind.IP, "allow ip", is_containment=True, max_lease_s=30 * _DAY_S),
    ActionClass("allow ip", TargetKind.IP, "deny ip", is_containment=False),
    ActionClass("disable user", TargetKind.USER, "enable user", is_containment=True, max_lease_s=7 * _DAY_S),
    ActionClass("enable user", TargetKind.USER, "disable user", is_containment=False),
    ActionClass("contain file", TargetKind.FILE, "restore file", is_containment=True, max_lease_s=90 * _DAY_S),
    ActionClass("restore file", TargetKind.FILE, "contain file", is_containment=False),
    # A process that has ended does not come back with what it held.
    ActionClass("stop process", TargetKind.PROCESS, None, is_containment=False),
)

CATALOGUE: Final[Mapping[str, ActionClass]] = {one.name: one for one in _ALL}
