"""Rulings as stored and as explained to a person."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from watchfloor_core.errors import RecordError
from watchfloor_core.incident import AutonomyLevel, ClosedBy, Reason, Verdict
from watchfloor_guardrails.autonomy import DEFAULT_MATRIX_FILE, Cap, CapName, EffectiveLevel, load_matrix
from watchfloor_guardrails.explain import explain, show_matrix
from watchfloor_guardrails.ruling import (
    ClosureProposal,
    Requirement,
    Route,
    RuleHit,
    Ruling,
    RulingContext,
    RulingDecision,
    rule,
)
from watchfloor_guardrails.ruling_json import ruling_from_json, ruling_to_json

Contexts = dict[AutonomyLevel, RulingContext]
L0, L1, L2, L3, L4 = AutonomyLevel

levels = st.sampled_from(AutonomyLevel)
rulings = st.builds(
    Ruling,
    tenant=st.text(),
    incident_id=st.text(),
    revision=st.integers(0, 2**63),
    decision=st.sampled_from(RulingDecision),
    route=st.sampled_from(Route),
    actor=st.sampled_from(ClosedBy),
    verdict=st.none() | st.sampled_from(Verdict),
    effective=st.builds(
        EffectiveLevel,
        levels,
        levels,
        st.text(),
        st.lists(st.builds(Cap, st.sampled_from(CapName), levels, st.text()), max_size=3).map(tuple),
    ),
    hits=st.lists(st.builds(RuleHit, st.text(), st.sampled_from(RulingDecision), st.text()), max_size=3).map(tuple),
    requirement=st.none()
    | st.builds(Requirement, st.lists(st.text(), max_size=2).map(tuple), st.integers(1, 9), st.integers(0, 1_000_000)),
    policy_digest=st.none() | st.text(),
    rule_id=st.none() | st.text(),
    review_drawn=st.booleans(),
    permit=st.none(),
)


@given(rulings)
def test_a_ruling_survives_its_way_through_json_text(ruling: Ruling) -> None:
    text = json.dumps(ruling_to_json(ruling), allow_nan=False)
    assert ruling_from_json(json.loads(text)) == ruling


def test_a_stored_ruling_holds_every_field_but_the_permit(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    stored = ruling_to_json(rule(quiet_proposal, calm_contexts[L4]))
    assert set(stored) == {field.name for field in fields(Ruling)} - {"permit"}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"decision": "perhaps"}, "decision"),
        ({"revision": "3"}, "revision"),
        ({"authority": "mine"}, "authority"),
        ({"effective": {"level": 9, "configured": 4, "row": "", "caps": []}}, "effective.level"),
        ({"hits": None}, "hits"),
    ],
)
def test_what_is_no_stored_ruling_is_refused(
    changes: dict[str, JsonValue], path: str, quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    stored = ruling_to_json(rule(quiet_proposal, calm_contexts[L4]))
    with pytest.raises(RecordError, match="not a stored ruling") as raised:
        ruling_from_json({**stored, **changes})
    assert raised.value.path == path


def test_an_explanation_tells_the_level_every_rule_and_what_is_needed(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    proposal = replace(
        quiet_proposal,
        reasons=(Reason("known_agent", "…", -3.0, rests_on_external=True), Reason("novel", "…", 1.0)),
    )
    ruling = rule(proposal, calm_contexts[L4])
    digest = ruling.policy_digest
    assert explain(ruling) == [
        "incident inc-0123456789abcdef revision 3: ask, queue on BenignPositive",
        "decided by: person",
        "level: L2 (configured L4 by row: alert_triage (default))",
        "  not binding: engine L4: the most that engine 'specialist' may do",
        "  held down by label L2: 'known_agent' lowers suspicion on the strength of attacker-written text: "
        "log-odds -2.00, +1.00 without",
        "rules:",
        "  allow kill_switch  none is engaged",
        "  allow revision     the proposal is about the current revision 3",
        "  allow window       the incident may be decided now",
        "  allow proposal     every number is in its range",
        "  allow human_lock   no person has taken or reopened the incident",
        "  allow crown_jewel  the asset is of tier 2",
        "  ask   level        L2: a person decides every time",
        "needed: one person with role analyst within 24 h",
        f"policy: {digest}",
    ]


def test_an_explanation_tells_which_rule_closed(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    lines = explain(rule(replace(quiet_proposal, rule_id="scanner"), calm_contexts[L3]))
    assert lines[:2] == [
        "incident inc-0123456789abcdef revision 3: allow, close on BenignPositive",
        "decided by: rule (scanner)",
    ]
    assert "drawn for review by a person afterwards" in lines


def test_an_explanation_at_l0_tells_that_the_answer_is_sealed(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    lines = explain(rule(quiet_proposal, calm_contexts[L0]))
    assert "the agent's answer is sealed until a person has given theirs" in lines
    assert not any(verdict in line for verdict in Verdict for line in lines)


def test_no_control_character_reaches_a_terminal(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    context = replace(
        calm_contexts[L4],
        caps=(Cap(CapName.BUDGET, L1, "\x1b[2Jspent\n"),),
        dark_sources=("edr\x1b]0;x\x07",),
        engaged_kill_switches=("\u202eall",),
    )
    lines = explain(rule(replace(quiet_proposal, engine="\x1b[31m", incident_id="inc\r\n"), context))
    assert all(line.isprintable() for line in lines)
    assert any("\\x1b[2Jspent\\n" in line for line in lines)


def test_the_matrix_is_shown_with_the_four_functions_apart_and_first() -> None:
    lines = show_matrix(load_matrix(DEFAULT_MATRIX_FILE.read_text("utf-8"), "default"))
    headings = [line for line in lines if not line.startswith(" ")]
    assert headings[:7] == [
        "risk_management",
        "threat_detection",
        "alert_triage",
        "incident_response",
        "investigation",
        "evidence_acquisition",
        "reporting",
    ]
    assert (
        "  L4  tenant=run-*  [close_below 0.5, min_certainty 0.0, sample_review 0.05]"
        "  # A run over files works on copies; nothing live is closed."
    ) in lines
    assert "  L2  generative" in lines
