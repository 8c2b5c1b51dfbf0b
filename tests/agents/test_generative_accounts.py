"""Budgets of models: what is left, what a run reserves, and what it settles."""

from __future__ import annotations

from watchfloor_agents.generative.accounts import DAY_S, Used, allowance_of, reserve, settle
from watchfloor_agents.generative.settings import ModelSettings
from watchfloor_agents.generative.spending import Allowance
from watchfloor_guardrails.budget import is_over

SETTINGS = ModelSettings.model_validate(
    {
        "models": [{"name": "openai:m", "api_key": "env:KEY", "price": {"input": 1, "output": 1}}],
        "tokens_per_incident": 1_000,
        "tokens_per_day": 5_000,
        "usd_per_incident": "0.5",
        "usd_per_day": 2,
    }
)
NOTHING = Used(incident_tokens=0, day_tokens=0, incident_micro_usd=0, day_micro_usd=0)


def test_the_smaller_one_of_incident_and_day_is_left() -> None:
    assert allowance_of(SETTINGS, NOTHING) == Allowance(tokens=1_000, micro_usd=500_000)
    late = Used(incident_tokens=0, day_tokens=4_900, incident_micro_usd=499_999, day_micro_usd=0)
    assert allowance_of(SETTINGS, late) == Allowance(tokens=100, micro_usd=1)


def test_nothing_below_zero_is_left() -> None:
    over = Used(incident_tokens=2_000, day_tokens=0, incident_micro_usd=0, day_micro_usd=9_000_000)
    assert allowance_of(SETTINGS, over) == Allowance(tokens=0, micro_usd=0)


def test_a_reservation_fits_once_and_not_twice() -> None:
    whole = allowance_of(SETTINGS, NOTHING)
    charges = reserve(SETTINGS, whole, "inc-1", "research inc-1 3")
    assert [(one.budget, one.subject, one.window_s) for one in charges] == [
        ("model_tokens", "inc-1", None),
        ("model_tokens", "all incidents", DAY_S),
        ("model_micro_usd", "inc-1", None),
        ("model_micro_usd", "all incidents", DAY_S),
    ]
    assert not any(is_over(one, 0) for one in charges)
    assert is_over(charges[0], 1)


def test_what_was_spent_is_charged_even_over_the_limit() -> None:
    charges = settle(9_999, 9_999_999, "inc-1", "research inc-1 3")
    assert not any(is_over(one, 5_000) for one in charges)
    assert {one.amount for one in charges} == {9_999, 9_999_999}


def test_nothing_is_charged_for_nothing() -> None:
    assert settle(0, 0, "inc-1", "research inc-1 3") == ()
    assert len(settle(10, 0, "inc-1", "research inc-1 3")) == 2
