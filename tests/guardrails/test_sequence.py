"""The lethal trifecta: any two together are harmless, all three ask."""

from __future__ import annotations

from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_guardrails.sequence import TRIFECTA, Fact, completes_trifecta

SETS = st.frozensets(st.sampled_from(Fact))
EVERY_SET = [frozenset(some) for some in chain.from_iterable(combinations(Fact, size) for size in range(4))]


@pytest.mark.parametrize("before", EVERY_SET, ids=lambda facts: "+".join(sorted(facts)) or "none")
@pytest.mark.parametrize("this", EVERY_SET, ids=lambda facts: "+".join(sorted(facts)) or "none")
def test_only_the_three_together_ask_and_only_for_a_step_that_adds_to_them(
    before: frozenset[Fact], this: frozenset[Fact]
) -> None:
    assert completes_trifecta(before, this) == (len(before | this) == 3 and len(this) > 0)


@given(SETS, SETS, SETS, SETS)
def test_touching_more_never_makes_it_harmless(
    before: frozenset[Fact], this: frozenset[Fact], more: frozenset[Fact], still_more: frozenset[Fact]
) -> None:
    if completes_trifecta(before, this):
        assert completes_trifecta(before | more, this | still_more)


@given(st.lists(SETS, max_size=8))
def test_no_order_of_steps_brings_the_three_together_without_asking(steps: list[frozenset[Fact]]) -> None:
    touched: frozenset[Fact] = frozenset()
    asked = False
    for step in steps:
        asked |= completes_trifecta(touched, step)
        touched |= step
    assert asked == (touched >= TRIFECTA)
