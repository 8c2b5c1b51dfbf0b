"""When a charge fits again, and when a breaker opens and closes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_guardrails.breaker import Outcome, breaker_state
from watchfloor_guardrails.budget import Charge, Spent, free_at_us, is_over, window_start_us

CHARGE = Charge("actions", "deny ip", 1, 3, 60, "act-1")
SECOND = 1_000_000


def test_a_charge_fits_again_when_enough_of_the_oldest_has_left_the_window() -> None:
    spent = [Spent(2, 10 * SECOND), Spent(1, 5 * SECOND)]
    assert free_at_us(CHARGE, spent) == 65 * SECOND
    assert free_at_us(replace(CHARGE, amount=2), spent) == 70 * SECOND


def test_what_is_larger_than_its_limit_or_of_a_budget_for_ever_never_fits() -> None:
    spent = [Spent(3, 0)]
    assert free_at_us(replace(CHARGE, amount=4), spent) is None
    assert free_at_us(replace(CHARGE, window_s=None), spent) is None
    assert free_at_us(replace(CHARGE, limit=0), []) is None


@given(
    st.lists(st.builds(Spent, st.integers(1, 5), st.integers(0, 100 * SECOND)), min_size=1, max_size=12),
    st.integers(1, 10),
)
def test_the_moment_named_is_the_first_at_which_the_charge_fits(spent: list[Spent], limit: int) -> None:
    charge = replace(CHARGE, limit=limit)
    free = free_at_us(charge, spent)
    assert free is not None

    def used_at(moment: int) -> int:
        return sum(one.amount for one in spent if one.at_us > window_start_us(charge.window_s, moment))

    assert not is_over(charge, used_at(free))
    if is_over(charge, sum(one.amount for one in spent)):
        assert is_over(charge, used_at(free - 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0},
        {"amount": -1},
        {"limit": -1},
        {"window_s": 0},
        {"budget": ""},
        {"subject": "x" * 201},
        {"reference": "nul\0"},
    ],
)
def test_a_charge_out_of_range_is_none(wrong: dict[str, object]) -> None:
    values: dict[str, object] = {name: getattr(CHARGE, name) for name in CHARGE.__slots__}
    with pytest.raises(ValueError, match=r"expected|is not in"):
        Charge(**{**values, **wrong})  # type: ignore[arg-type]  # the wrong values are the point


S, F, U = Outcome.SUCCEEDED, Outcome.FAILED, Outcome.UNKNOWN


@pytest.mark.parametrize(
    ("newest_first", "is_open"),
    [
        ([], False),
        ([F, F], False),
        ([F, F, F], True),
        ([F, F, S, F], False),
        ([S, F, F, F], False),
        ([U], True),
        ([F, U, S], True),
        ([S, U], False),
        ([F, F, S, U], False),
    ],
)
def test_failures_in_a_row_or_an_unknown_open_it_and_a_success_closes_it(
    newest_first: list[Outcome], is_open: bool
) -> None:
    reason = breaker_state(newest_first, 3)
    assert (reason is not None) is is_open


@given(st.lists(st.sampled_from(Outcome), max_size=10), st.sampled_from([F, U]), st.integers(-1, 5))
def test_one_more_outcome_that_is_no_success_never_closes_it(
    newest_first: list[Outcome], bad: Outcome, max_failures: int
) -> None:
    before, after = breaker_state(newest_first, max_failures), breaker_state([bad, *newest_first], max_failures)
    assert after is not None or before is None
