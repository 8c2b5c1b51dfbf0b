"""The limits on actions: which hold, who must agree, and what their file may say."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.limits import (
    DEFAULT_LIMITS,
    DEFAULT_LIMITS_FILE,
    ActionLimits,
    LimitRow,
    LimitTable,
    QuorumStep,
)
from watchfloor_guardrails.limits_file import load_limits
from watchfloor_guardrails.matrix import ACTION_CLASSES, Selector
from watchfloor_guardrails.selector import NameMatch


def problems_in(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        load_limits(text, "limits.yaml")
    return [str(problem) for problem in raised.value.problems]


def test_the_file_that_ships_says_what_holds_without_one() -> None:
    assert load_limits(DEFAULT_LIMITS_FILE.read_text("utf-8"), "default_limits.yaml") == DEFAULT_LIMITS
    assert not list(DEFAULT_LIMITS.defaults.faults())


def test_the_file_that_ships_names_every_limit() -> None:
    text = DEFAULT_LIMITS_FILE.read_text("utf-8")

    assert [
        field.name for field in fields(ActionLimits) if f"\n  {field.name}: " not in text.replace(":\n", ": \n")
    ] == []


def test_the_matrix_may_name_every_action_class() -> None:
    assert set(CATALOGUE) < set(ACTION_CLASSES)


@pytest.mark.parametrize(
    ("tenant", "action_class", "hourly"),
    [
        ("other", "deny ip", 1),
        ("acme", "disable user", 2),
        ("lab-7", "disable user", 3),
        ("other", "stop process", 4),
        ("acme", "stop process", 5),
        ("lab-7", "stop process", 3),
    ],
)
def test_the_most_specific_row_holds_and_takes_the_rest_from_the_defaults(
    tenant: str, action_class: str, hourly: int
) -> None:
    limits = load_limits(
        """
        defaults: {actions_per_hour: 1, autonomous_actions_per_hour: 0, approvals_per_hour: 7}
        rows:
          - {tenant: acme, actions_per_hour: 2}
          - {tenant: {prefix: lab-}, actions_per_hour: 3}
          - {action_class: stop process, actions_per_hour: 4}
          - {action_class: stop process, tenant: acme, actions_per_hour: 5}
        """,
        "limits.yaml",
    )

    found = limits.limits_for(tenant, action_class)
    assert (found.actions_per_hour, found.approvals_per_hour) == (hourly, 7)


@pytest.mark.parametrize(("touched", "people"), [(0, 1), (5, 1), (6, 2), (20, 2), (21, 3), (10**9, 3)])
def test_more_people_agree_to_what_touches_more(touched: int, people: int) -> None:
    steps = (QuorumStep(1, up_to=5), QuorumStep(2, up_to=20), QuorumStep(3))

    assert ActionLimits(quorum_by_blast=steps).quorum_for(touched) == people


@given(st.lists(st.builds(QuorumStep, st.integers(-3, 9), st.none() | st.integers(-3, 50))), st.integers(-5, 60))
def test_one_person_must_agree_whatever_the_steps_say(steps: list[QuorumStep], touched: int) -> None:
    assert ActionLimits(quorum_by_blast=tuple(steps)).quorum_for(touched) >= 1


@given(st.lists(st.integers(1, 8), min_size=1, unique=True), st.integers(0, 60), st.integers(0, 60))
def test_steps_that_fit_together_never_ask_fewer_people_about_more(people: list[int], one: int, other: int) -> None:
    ascending = sorted(people)
    steps = [QuorumStep(count, up_to=5 * number) for number, count in enumerate(ascending, start=1)]
    limits = ActionLimits(quorum_by_blast=(*steps[:-1], QuorumStep(ascending[-1])))

    assert not list(limits.faults())
    assert limits.quorum_for(min(one, other)) <= limits.quorum_for(max(one, other))


def test_every_mistake_is_named_at_once_with_its_line() -> None:
    text = """\
defaults:
  actions_per_hour: -1
  quorum_by_blast: [{up_to: 3, peple: 1}]
  chain: [boss]
  veto_window_s: x
  grant_ttl_s: 301
  actions_per_minute: 3
rows:
  - {tenant: acme, actions_per_hour: 2}
  - {tenant: acme, action_class: deny}
  - {tenant: acme}
  - {actions_per_hour: 3}
  - 3
row: []
"""
    step = "{'up_to': 3, 'peple': 1} is not a step; write {up_to: 5, people: 1}, the last one {people: 2}"
    assert problems_in(text) == [
        "limits.yaml:2: -1 is too small; at least 0 is expected (at defaults.actions_per_hour)",
        f"limits.yaml:3: {step} (at defaults.quorum_by_blast)",
        "limits.yaml:4: ['boss'] is not a list of responder, lead, who decide on actions (at defaults.chain)",
        "limits.yaml:5: 'x' is not a whole number from 0 to 86,400 (at defaults.veto_window_s)",
        "limits.yaml:6: 301 is too large; at most 300 is allowed (at defaults.grant_ttl_s)",
        "limits.yaml:7: unknown key 'actions_per_minute'; did you mean 'actions_per_hour'? "
        "(at defaults.actions_per_minute)",
        f"limits.yaml:10: 'deny' is not one of {', '.join(CATALOGUE)} (at rows[1].action_class)",
        "limits.yaml:11: same actions as the row in line 9 (tenant=acme); keep one (at rows[2])",
        "limits.yaml:12: names neither tenant nor action_class; write it under 'defaults' (at rows[3])",
        "limits.yaml:13: expected keys and values, got 3 (at rows[4])",
        "limits.yaml:14: unknown key 'row'; did you mean 'rows'? (at row)",
    ]


@pytest.mark.parametrize(
    ("limits", "key"),
    [
        ("{quorum_by_blast: [{people: 1}, {people: 2}]}", "quorum_by_blast"),
        ("{quorum_by_blast: [{up_to: 5, people: 1}]}", "quorum_by_blast"),
        ("{quorum_by_blast: [{up_to: 5, people: 2}, {people: 1}]}", "quorum_by_blast"),
        ("{quorum_by_blast: [{up_to: 5, people: 1}, {up_to: 5, people: 2}, {people: 3}]}", "quorum_by_blast"),
        ("{quorum_by_blast: [{up_to: 5, people: true}, {people: 2}]}", "quorum_by_blast"),
        ("{quorum_by_blast: []}", "quorum_by_blast"),
        ("{approval_deadline_s: 3600}", "approval_deadline_s"),
        ("{remind_after_s: 14400}", "approval_deadline_s"),
        ("{chain: [lead]}", "escalate_after_s"),
        ("{chain: [lead, lead]}", "chain"),
        ("{chain: []}", "chain"),
        ("{escalate_after_s: [60, 60], chain: [responder, lead]}", "escalate_after_s"),
        ("{escalate_after_s: [1.5]}", "escalate_after_s"),
        ("{autonomous_actions_per_hour: 21}", "autonomous_actions_per_hour"),
        ("{max_contained_share_ppm: 1000001}", "max_contained_share_ppm"),
        ("{actions_per_hour: true}", "actions_per_hour"),
        ("{actions_per_hour: 1.0}", "actions_per_hour"),
        ("{grant_ttl_s: 0}", "grant_ttl_s"),
        ("{max_lease_s: 7776001}", "max_lease_s"),
        ("{breaker_failures: 0}", "breaker_failures"),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_defaults_and_in_rows(limits: str, key: str) -> None:
    assert any(problem.endswith(f"(at defaults.{key})") for problem in problems_in(f"defaults: {limits}"))
    row = limits.replace("{", "{tenant: acme, ", 1)
    assert any(
        problem.endswith((f"(at rows[0].{key})", "(at rows[0])")) for problem in problems_in(f"rows:\n  - {row}")
    )


@pytest.mark.parametrize("text", ["[]", "3", "defaults: []", "rows: {}", "rows:\n  - {tenant: }", "default: {}", ""])
def test_what_is_not_a_limits_file_is_refused(text: str) -> None:
    assert problems_in(text)


def test_a_veto_window_of_zero_is_none() -> None:
    limits = load_limits("defaults: {veto_window_s: 0}", "limits.yaml")

    assert limits.limits_for("acme", "deny ip").veto_window_s is None


def test_every_limit_that_can_be_written_reaches_the_limits() -> None:
    written = {
        "actions_per_hour": "11",
        "autonomous_actions_per_hour": "4",
        "max_contained_share_ppm": "7",
        "max_contained_assets": "8",
        "max_blast_assets_l3": "2",
        "quorum_by_blast": "[{up_to: 2, people: 1}, {people: 3}]",
        "approval_deadline_s": "7200",
        "remind_after_s": "60",
        "escalate_after_s": "[120]",
        "chain": "[lead, responder]",
        "veto_window_s": "30",
        "approvals_per_hour": "9",
        "grant_ttl_s": "60",
        "max_lease_s": "3600",
        "breaker_failures": "5",
    }
    text = "defaults:\n" + "".join(f"  {key}: {value}\n" for key, value in written.items())
    found, shipped = load_limits(text, "limits.yaml").defaults, ActionLimits()

    assert [
        field.name for field in fields(ActionLimits) if getattr(found, field.name) == getattr(shipped, field.name)
    ] == []
    assert set(found.content) == set(written)


def test_the_digest_is_of_what_the_limits_say() -> None:
    rows = ["  - {tenant: acme, actions_per_hour: 9}", "  - {action_class: deny ip, actions_per_hour: 8}"]
    one = load_limits("rows:\n" + "\n".join(rows), "one")
    other = load_limits("# said otherwise\nrows:\n" + "\n".join(reversed(rows)), "other")

    assert one.digest == other.digest
    assert one.digest != load_limits("rows:\n" + rows[0], "less").digest


@pytest.mark.parametrize("field", [field.name for field in fields(ActionLimits)])
def test_every_limit_is_in_the_digest(field: str) -> None:
    # Any: a value of each field's own type.
    others: dict[str, Any] = {"quorum_by_blast": (QuorumStep(3),), "escalate_after_s": (), "chain": ()}
    changed = replace(ActionLimits(), **{field: others.get(field, 77)})

    assert LimitTable(changed).digest != DEFAULT_LIMITS.digest
    row = LimitRow(Selector(tenant=NameMatch("acme")), changed)
    assert LimitTable(rows=(row,)).digest != LimitTable(rows=(replace(row, limits=ActionLimits()),)).digest


def test_two_rows_for_the_same_actions_are_no_table() -> None:
    row = LimitRow(Selector(action_class="deny ip"), ActionLimits())

    with pytest.raises(ConfigurationError, match="two rows of limits for action_class=deny ip"):
        LimitTable(rows=(row, row))
