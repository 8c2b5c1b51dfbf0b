"""How far a proportion is known from a number of cases: an interval, not a rate."""

from __future__ import annotations

import math
from typing import Final

_STEPS: Final = 60
"""Halvings of the interval from 0 to 1: beyond the precision of a double in its middle."""


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact two-sided interval for a binomial proportion (Clopper and Pearson 1934): lower and upper bound, 0–1.

    Each bound errs with probability (1 − confidence) / 2 at most, whatever the proportion, where the trials are
    independent and their number does not depend on what they show. Raises ValueError for counts that cannot be.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no proportion; expected 0 <= successes <= trials, and trials > 0")
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} is not between 0 and 1")
    alpha = (1 - confidence) / 2
    return _lower(successes, trials, alpha), 1 - _lower(trials - successes, trials, alpha)


def _lower(successes: int, trials: int, alpha: float) -> float:
    """The proportion at which so many successes, or more, have the probability ``alpha``."""
    if successes == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_least(successes, trials, middle) < alpha:
            low = middle
        else:
            high = middle
    return low


def _at_least(successes: int, trials: int, p: float) -> float:
    """The probability of so many successes or more, of a binomial distribution with 0 < p < 1."""
    log_odds = math.log(p) - math.log1p(-p)
    term = (
        math.lgamma(trials + 1)
        - math.lgamma(successes + 1)
        - math.lgamma(trials - successes + 1)
        + successes * math.log(p)
        + (trials - successes) * math.log1p(-p)
    )
    # Logarithms, because far from the mode a single term is smaller than any double.
    terms = [term]
    for count in range(successes, trials):
        term += math.log(trials - count) - math.log(count + 1) + log_odds
        terms.append(term)
    return min(1.0, math.fsum(math.exp(one) for one in terms))
