"""Attacker-written text raises suspicion and never lowers it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.incident import Reason
from watchfloor_guardrails.labels import lowering_external, monotone_log_odds, rests_on_external

reasons = st.lists(st.builds(Reason, st.just("code"), st.just("…"), st.floats(-1e6, 1e6), st.booleans()), max_size=6)
external = st.builds(Reason, st.just("text"), st.just("…"), st.floats(-1e6, 1e6), st.just(True))


def test_external_reasons_add_and_do_not_subtract() -> None:
    reasons = [
        Reason("novel", "…", 2.0),
        Reason("usual", "…", -0.5),
        Reason("odd_agent", "…", 1.0, rests_on_external=True),
        Reason("known_agent", "…", -3.0, rests_on_external=True),
    ]
    assert monotone_log_odds(reasons) == 2.5
    assert lowering_external(reasons) == (reasons[3],)
    assert rests_on_external(reasons)
    assert not rests_on_external(reasons[:3])


@given(reasons, external)
def test_adding_an_external_reason_never_lowers_suspicion(reasons: list[Reason], more: Reason) -> None:
    assert monotone_log_odds([*reasons, more]) >= monotone_log_odds(reasons)


@given(reasons, external, st.floats(-1e6, 1e6))
def test_flipping_an_external_reason_never_lowers_suspicion_below_what_is_there_without_it(
    reasons: list[Reason], flipped: Reason, log_odds: float
) -> None:
    after = [*reasons, replace(flipped, log_odds=log_odds)]
    assert monotone_log_odds(after) >= monotone_log_odds(reasons)


@given(reasons.filter(bool))
def test_finding_a_reason_external_never_lowers_suspicion(reasons: list[Reason]) -> None:
    first, *others = reasons
    tainted = [replace(first, rests_on_external=True), *others]
    untainted = [replace(first, rests_on_external=False), *others]
    assert monotone_log_odds(tainted) >= monotone_log_odds(untainted)
    assert monotone_log_odds(reasons) >= sum(reason.log_odds for reason in reasons) - 1e-6


@given(reasons)
def test_the_order_of_reasons_does_not_matter(reasons: list[Reason]) -> None:
    assert monotone_log_odds(reasons) == monotone_log_odds(reversed(reasons))
