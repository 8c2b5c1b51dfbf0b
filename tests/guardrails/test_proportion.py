"""Exact intervals of proportions, against values that R's ``binom.test`` gives."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_guardrails.proportion import clopper_pearson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (8, 10, 0.4439045, 0.9747893),
        (1, 10, 0.002528579, 0.4450161),
        (95, 100, 0.8871651, 0.9835681),
        (0, 10, 0.0, 0.3084971),
        (10, 10, 0.6915029, 1.0),
        (1, 1, 0.025, 1.0),
    ],
)
def test_the_interval_is_the_exact_one(successes: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(successes, trials) == pytest.approx((low, high), abs=1e-6)


def test_95_of_100_is_not_95_percent() -> None:
    low, _ = clopper_pearson(95, 100)
    assert low < 0.9


@given(st.integers(1, 300), st.data(), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_it_holds_the_rate_mirrors_failures_and_widens_with_confidence(
    trials: int, data: st.DataObject, confidence: float
) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = clopper_pearson(successes, trials, confidence)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    assert clopper_pearson(trials - successes, trials, confidence) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    wider = clopper_pearson(successes, trials, 0.999)
    assert wider[0] <= low + 1e-12
    assert wider[1] >= high - 1e-12


@pytest.mark.parametrize(
    ("successes", "trials", "confidence"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 0.0), (1, 5, 1.0)]
)
def test_counts_that_cannot_be_are_refused(successes: int, trials: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"is no proportion|is not between"):
        clopper_pearson(successes, trials, confidence)
