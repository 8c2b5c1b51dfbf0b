"""Which row of the matrix holds for a task."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import AutonomyLevel, Function
from watchfloor_guardrails.autonomy import CLOSE_INCIDENT, AutonomyMatrix, NameMatch, Row, Selector, Task
from watchfloor_guardrails.matrix import Envelope, Limits, envelope_at

L0, L1, L2, L3, L4 = AutonomyLevel
DEFAULTS = tuple(Row(function, Selector(), L1) for function in Function)
TASK = Task(Function.ALERT_TRIAGE, CLOSE_INCIDENT, "web", 1, "acme-eu")

names = st.sampled_from(["web", "we", "acme-eu", "acme-", "acme-e", "other"])
matches = st.none() | st.builds(NameMatch, names, st.booleans())
selectors = st.builds(
    Selector,
    action_class=st.none() | st.just(CLOSE_INCIDENT),
    alert_family=matches,
    asset_tier=st.none() | st.integers(0, 3),
    tenant=matches,
)


def winner_of(task: Task, *selectors: Selector) -> Selector:
    rows = tuple(Row(Function.ALERT_TRIAGE, selector, L4) for selector in selectors)
    return AutonomyMatrix(DEFAULTS + rows).row_for(task).selector


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        (
            Selector(tenant=NameMatch("a", is_prefix=True), alert_family=NameMatch("w", is_prefix=True)),
            Selector(asset_tier=1),
        ),
        (Selector(asset_tier=1), Selector(tenant=NameMatch("acme-eu"))),
        (Selector(tenant=NameMatch("acme-eu")), Selector(alert_family=NameMatch("web"))),
        (Selector(alert_family=NameMatch("web")), Selector(action_class=CLOSE_INCIDENT)),
        (Selector(tenant=NameMatch("acme-eu")), Selector(tenant=NameMatch("acme-eu", is_prefix=True))),
        (Selector(tenant=NameMatch("acme-", is_prefix=True)), Selector(tenant=NameMatch("acm", is_prefix=True))),
        (
            Selector(asset_tier=1, action_class=CLOSE_INCIDENT),
            Selector(tenant=NameMatch("acme-eu"), alert_family=NameMatch("web")),
        ),
    ],
)
def test_the_more_specific_row_wins(winner: Selector, loser: Selector) -> None:
    assert winner_of(TASK, winner, loser) == winner_of(TASK, loser, winner) == winner


def test_a_row_wins_over_the_default_of_its_function_only() -> None:
    row = Row(Function.ALERT_TRIAGE, Selector(tenant=NameMatch("acme-eu")), L4)
    matrix = AutonomyMatrix((*DEFAULTS, row))
    assert matrix.row_for(TASK) is row
    assert matrix.row_for(replace(TASK, function=Function.REPORTING)).level is L1


@pytest.mark.parametrize(
    "selector",
    [
        Selector(tenant=NameMatch("acme")),
        Selector(tenant=NameMatch("ACME-EU")),
        Selector(tenant=NameMatch("eu", is_prefix=True)),
        Selector(alert_family=NameMatch("we")),
        Selector(asset_tier=2),
        Selector(asset_tier=0),
    ],
)
def test_names_match_exactly(selector: Selector) -> None:
    assert winner_of(TASK, selector).is_default


def test_an_unknown_asset_counts_as_tier_2() -> None:
    unknown = replace(TASK, asset_tier=None)
    assert winner_of(unknown, Selector(asset_tier=2)) == Selector(asset_tier=2)
    assert winner_of(unknown, Selector(asset_tier=3)).is_default


@given(st.lists(selectors, unique=True, max_size=8), st.randoms(use_true_random=False))
def test_the_row_that_holds_does_not_depend_on_the_order_of_rows(
    selectors: list[Selector], shuffling: random.Random
) -> None:
    rows = [*DEFAULTS, *(Row(Function.ALERT_TRIAGE, one, L2, str(one)) for one in selectors if not one.is_default)]
    shuffled = list(rows)
    shuffling.shuffle(shuffled)
    assert AutonomyMatrix(tuple(shuffled)).row_for(TASK) == AutonomyMatrix(tuple(rows)).row_for(TASK)


@given(selectors, selectors)
def test_no_two_different_selectors_that_match_one_task_are_equally_specific(a: Selector, b: Selector) -> None:
    if a.matches(TASK) and b.matches(TASK) and a.specificity == b.specificity:
        assert a == b


def test_a_matrix_without_a_default_row_cannot_exist() -> None:
    with pytest.raises(ConfigurationError, match="function reporting has no default row"):
        AutonomyMatrix(DEFAULTS[:-1])


def test_a_matrix_with_two_rows_for_the_same_tasks_cannot_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"two rows for alert_triage \(default\)"):
        AutonomyMatrix((*DEFAULTS, Row(Function.ALERT_TRIAGE, Selector(), L4)))


def test_rows_of_a_function_come_from_the_default_to_the_most_specific() -> None:
    tenant = Row(Function.ALERT_TRIAGE, Selector(tenant=NameMatch("acme")), L2)
    both = Row(Function.ALERT_TRIAGE, Selector(tenant=NameMatch("acme"), asset_tier=1), L2)
    rows = AutonomyMatrix((both, tenant, *DEFAULTS)).rows_of(Function.ALERT_TRIAGE)
    assert rows == (DEFAULTS[1], tenant, both)


limits = st.builds(
    Limits,
    close_below=st.none() | st.floats(0, 0.5),
    min_certainty=st.none() | st.floats(0, 1),
    max_alerts=st.none() | st.integers(1),
    max_severity=st.none(),
    sample_review=st.none() | st.floats(0, 1),
)


@given(limits)
def test_no_limit_is_wider_at_l3_than_at_l4(limits: Limits) -> None:
    narrow, wide = envelope_at(L3, limits), envelope_at(L4, limits)
    assert narrow.close_below <= wide.close_below
    assert narrow.min_certainty >= wide.min_certainty
    assert wide.max_alerts is None or (narrow.max_alerts is not None and narrow.max_alerts <= wide.max_alerts)
    assert wide.max_severity is None or narrow.max_severity is not None
    assert narrow.sample_review == 1.0


def test_the_standard_at_l4_is_what_the_reference_states() -> None:
    assert envelope_at(L4, Limits()) == Envelope(0.5, 0.0, None, None, 0.1)
