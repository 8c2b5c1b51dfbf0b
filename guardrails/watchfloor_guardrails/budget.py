"""Budgets: how much of something may be used within a rolling window, counted exactly.

A budget is named by its kind and by whose it is: ``actions`` of an action class an hour, ``approvals`` of a person,
``tokens`` of an incident. The amounts are whole numbers of the budget's own unit (acts, tokens, millionths of money).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MICROSECONDS: Final = 1_000_000
MAX_AMOUNT: Final = 2**53 - 1
_WIDTHS: Final = {"budget": 64, "subject": 200, "reference": 64}
"""Characters; as wide as the store keeps them."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What is to be used up. Raises ValueError where a value is out of its range."""

    budget: str
    subject: str
    """Whose: an incident, an action class, a principal."""
    amount: int
    limit: int
    """The most that may be used within the window; 0 forbids all use."""
    window_s: int | None
    """Seconds back from now; None: since ever."""
    reference: str
    """What it is for, e.g. a proposal's id: the same again is not charged again."""

    def __post_init__(self) -> None:
        for name, width in _WIDTHS.items():
            value: str = getattr(self, name)
            if not 0 < len(value) <= width or "\0" in value:
                raise ValueError(f"{name} is {value!r:.100}; expected 1 to {width} characters without NUL")
        if not 0 < self.amount <= MAX_AMOUNT or not 0 <= self.limit <= MAX_AMOUNT:
            raise ValueError(f"amount {self.amount} or limit {self.limit} is not in 1 (limit: 0) to {MAX_AMOUNT:,}")
        if self.window_s is not None and not 0 < self.window_s <= MAX_AMOUNT // MICROSECONDS:
            raise ValueError(f"window_s is {self.window_s}; expected a positive number of seconds, or None")


@dataclass(frozen=True, slots=True)
class Spent:
    """A charge that was made."""

    amount: int
    at_us: int


def window_start_us(window_s: int | None, now_us: int) -> int:
    """What was charged after this moment still counts, also what a faster clock charged in our future."""
    return -1 if window_s is None else now_us - window_s * MICROSECONDS


def is_over(charge: Charge, used: int) -> bool:
    """Whether the charge does not fit any more."""
    return used + charge.amount > charge.limit


def free_at_us(charge: Charge, spent: Iterable[Spent]) -> int | None:
    """When the charge fits, if nothing else is charged; None where it never will.

    ``spent`` is what counts now.
    """
    if charge.window_s is None or charge.amount > charge.limit:
        return None
    entries = sorted(spent, key=lambda one: one.at_us)
    used = sum(one.amount for one in entries)
    for one in entries:
        used -= one.amount
        if not is_over(charge, used):
            return one.at_us + charge.window_s * MICROSECONDS
    return None
