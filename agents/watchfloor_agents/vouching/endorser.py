"""What a label endorser is: it says of a value that is to be acted on whether it vouches for it. Nothing else.

It is heard when an agent's proposal is drafted, and never again: what it said is sealed with the proposal, by its name
and version. It cannot make a value a person's or the policy's, and no rule in code that asks a person asks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedValue:
    """A target that an agent is to propose to act on, and that only text names which an attacker could have written."""

    action_class: str
    """What is to be done to it, e.g. ``contain file``."""
    kind: str
    """Of target, e.g. ``file``."""
    value: str
    """As the tool would get it. Data, whatever it says."""
    sources: tuple[str, ...]
    """Sensors whose own fields name it, sorted; fewer than would vouch for it by themselves."""


@runtime_checkable
class LabelEndorser(Protocol):
    """Runs in a process of its own, for the values of one report or one triage, and ends with it."""

    name: str
    """Its entry point's: a to z, 0 to 9 and _."""
    version: str
    """Changes whenever the same value could be judged otherwise; stands in the proposal that people sign."""

    def vouches(self, value: NamedValue) -> bool:
        """True where an independent, trusted look bears it out that this is what should be acted on: not that the value
        is well-formed or known, since whoever wrote it chose which of our things is named. What it raises is no."""
        ...
