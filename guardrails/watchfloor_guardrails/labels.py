"""Integrity of what an answer rests on: attacker-written text may raise suspicion, never lower it."""

from __future__ import annotations

import math
from collections.abc import Iterable

from watchfloor_core.incident import Reason


def lowering_external(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """The reasons that speak for closing and rest on text that an attacker could have written."""
    return tuple(reason for reason in reasons if reason.rests_on_external and reason.log_odds < 0)


def rests_on_external(reasons: Iterable[Reason]) -> bool:
    """True where a benign answer drawn from these reasons would rest on attacker-written text."""
    return bool(lowering_external(reasons))


def monotone_log_odds(reasons: Iterable[Reason]) -> float:
    """The sum of finite contributions (natural-log odds of TruePositive) without those that attacker text lowers.

    Summed exactly (`math.fsum`), so that neither the order of reasons nor rounding can turn an added external reason,
    or a reason found to be external, into less suspicion.
    """
    return math.fsum(max(reason.log_odds, 0.0) if reason.rests_on_external else reason.log_odds for reason in reasons)
