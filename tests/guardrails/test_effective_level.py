"""The level in force is the minimum of what is configured and every cap."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.incident import AutonomyLevel, Function
from watchfloor_guardrails.autonomy import Cap, CapName, NameMatch, Row, Selector, effective_level
from watchfloor_guardrails.engine import engine_ceiling

L0, L1, L2, L3, L4 = AutonomyLevel
levels = st.sampled_from(AutonomyLevel)
caps = st.lists(st.builds(Cap, st.sampled_from(CapName), levels, st.just("…")), max_size=5)


def row_at(level: AutonomyLevel) -> Row:
    return Row(Function.ALERT_TRIAGE, Selector(tenant=NameMatch("run-", is_prefix=True)), level)


@given(levels, caps)
def test_nothing_raises_a_level(configured: AutonomyLevel, caps: list[Cap]) -> None:
    level = effective_level(row_at(configured), caps).level
    assert level <= configured
    assert all(level <= cap.level for cap in caps)
    assert level in (configured, *(cap.level for cap in caps))


@given(levels, caps, caps)
def test_further_caps_never_raise_a_level(configured: AutonomyLevel, some: list[Cap], more: list[Cap]) -> None:
    row = row_at(configured)
    assert effective_level(row, [*some, *more]).level <= effective_level(row, some).level


def test_the_caps_that_hold_a_level_down_are_named() -> None:
    certified = Cap(CapName.CERTIFIED, L2, "12 cases")
    label = Cap(CapName.LABEL, L2, "external text")
    budget = Cap(CapName.BUDGET, L3, "half spent")
    effective = effective_level(row_at(L4), [certified, budget, label])
    assert effective.level is L2
    assert effective.binding == (certified, label)
    assert effective.caps == (certified, budget, label)
    assert (effective.configured, effective.row) == (L4, "alert_triage tenant=run-*")


def test_a_cap_at_the_configured_level_holds_nothing_down() -> None:
    assert effective_level(row_at(L2), [Cap(CapName.ENGINE, L2, "…")]).binding == ()


def test_an_engine_is_capped_by_its_family_its_own_name_and_what_it_is() -> None:
    assert engine_ceiling("specialist", ()) is L4
    assert engine_ceiling("specialist", (("specialist", L3),)) is L3
    assert engine_ceiling("generative:qwen", ()) is L2
    assert engine_ceiling("generative:qwen", (("generative", L1),)) is L1
    assert engine_ceiling("generative:qwen", (("generative:qwen", L0), ("generative", L1))) is L0
    assert engine_ceiling("generative:qwen", (("generative:other", L0),)) is L2
    assert engine_ceiling("unheard-of", ()) is L2
