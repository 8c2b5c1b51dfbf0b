"""What may be done to the outside world, as a table a reviewer can read: each row makes one thing worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.guardrails.actions import CONTEXT, FACTS, PROPOSAL, policy
from watchfloor_core.alert import Integrity, Severity
from watchfloor_core.incident import AutonomyLevel, Verdict
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.action_context import Spending
from watchfloor_guardrails.action_ruling import ActionRuling
from watchfloor_guardrails.autonomy import Cap, CapName
from watchfloor_guardrails.blast import Blast
from watchfloor_guardrails.cedar import CedarPolicies
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import Proposer
from watchfloor_guardrails.ruling import rule
from watchfloor_guardrails.sequence import TRIFECTA

L0, L1, L2, L3, L4 = AutonomyLevel
PERSON = Proposer("ana", PrincipalKind.PERSON)
PLAYBOOK = Proposer("playbook:phishing", PrincipalKind.SERVICE)
MODEL = Proposer("generative:any", PrincipalKind.AGENT)
EXTERNAL = Labelled("203.0.113.7", Integrity.EXTERNAL)
STOP = {
    "action_class": "stop process",
    "target_kind": "process",
    "target": Labelled("12@34", Integrity.SENSOR),
    "undo_class": None,
    "lease_s": None,
}

# what is worse | in the proposal | in the context | outcome | the rule that says so
ROWS: list[tuple[str, Mapping[str, object], Mapping[str, object], str, str | None]] = [
    ("nothing", {}, {}, "allow", None),
    # The level.
    ("an agent at L0", {}, {"policy": policy(L0)}, "deny", "level"),
    ("an agent at L1", {}, {"policy": policy(L1)}, "deny", "level"),
    ("an agent at L2", {}, {"policy": policy(L2)}, "ask", "level"),
    ("an agent at L3, inside", {}, {"policy": policy(L3)}, "allow", None),
    ("a person at L0", {"proposer": PERSON}, {"policy": policy(L0)}, "ask", "level"),
    ("a person at L1", {"proposer": PERSON}, {"policy": policy(L1)}, "ask", "level"),
    ("a playbook at L0", {"proposer": PLAYBOOK}, {"policy": policy(L0)}, "deny", "level"),
    ("a playbook at L1", {"proposer": PLAYBOOK}, {"policy": policy(L1)}, "ask", "level"),
    ("a model at L4", {"proposer": MODEL}, {}, "ask", "level"),
    # What caps the level.
    ("not certified", {}, {"caps": (Cap(CapName.CERTIFIED, L2, "none"),)}, "ask", "level"),
    ("an open breaker", {}, {"caps": (Cap(CapName.BREAKER, L2, "failed"),)}, "ask", "level"),
    ("an unsigned policy", {}, {"policy": replace(policy(), is_signed=False)}, "ask", "level"),
    ("a dark sensor", {}, {"dark_sources": ("wazuh",)}, "ask", "level"),
    ("a large blast", {"blast": Blast(3, 0, 3_000, 2, in_inventory=True)}, {}, "ask", "level"),
    ("autonomy used up", {}, {"spending": Spending(5, 5, 0, 1_000)}, "ask", "level"),
    # What no level overrides.
    ("irreversible", STOP, {}, "ask", "irreversible"),
    ("a crown jewel", {"blast": Blast(1, 0, 100, 0, in_inventory=True)}, {}, "ask", "crown_jewel"),
    ("an attacker's target", {"target": EXTERNAL}, {}, "ask", "untrusted_argument"),
    ("an attacker's argument", {"arguments": {"note": EXTERNAL}}, {}, "ask", "untrusted_argument"),
    ("the lethal trifecta", {}, {"facts_touched": TRIFECTA}, "ask", "sequence"),
    ("unreadable run facts", {}, {"facts_touched": None}, "ask", "sequence"),
    # What no person can wave through.
    ("an unreadable policy", {}, {"policy": None}, "deny", "policy"),
    ("an engaged switch", {}, {"engaged": ("all",)}, "deny", "kill_switch"),
    ("a newer epoch", {}, {"kill_epoch": 5}, "deny", "kill_switch"),
    ("unreadable switches", {}, {"kill_epoch": None}, "deny", "kill_switch"),
    ("expired", {"expires_us": CONTEXT.now_us}, {}, "deny", "expiry"),
    ("a closed incident", {}, {"facts_now": replace(FACTS, is_open=False)}, "deny", "incident"),
    ("another verdict", {}, {"facts_now": replace(FACTS, verdict=Verdict.BENIGN_POSITIVE)}, "deny", "incident"),
    ("less severity", {}, {"facts_now": replace(FACTS, severity=Severity.LOW)}, "deny", "incident"),
    ("a target that left", {}, {"facts_now": replace(FACTS, has_target=False)}, "deny", "incident"),
    ("another asset", {}, {"facts_now": replace(FACTS, asset_tier=0)}, "deny", "incident"),
    ("a lost incident", {}, {"facts_now": None}, "deny", "incident"),
    ("another policy", {"policy_digest": "99" * 32}, {}, "deny", "policy_version"),
    ("another tool", {"tool_pin": "99" * 32}, {}, "deny", "tool_pin"),
    ("no tool", {}, {"tool_pin": None}, "deny", "tool_pin"),
    ("another target state", {}, {"state_digest": "99" * 32}, "deny", "target_state"),
    ("an unreadable target", {}, {"state_digest": None}, "deny", "target_state"),
    ("a frozen class", {}, {"frozen": "act-1: unknown"}, "deny", "freeze"),
    ("held already", {}, {"is_held": True}, "deny", "held"),
    ("the hour's budget", {}, {"spending": Spending(20, 0, 0, 1_000)}, "deny", "budget"),
    ("unreadable budgets", {}, {"spending": None}, "deny", "budget"),
    (
        "too much of the fleet",
        {"blast": Blast(1, 0, 100, 2, in_inventory=True)},
        {"spending": Spending(0, 0, 25, 100_000)},
        "deny",
        "budget",
    ),
    (
        "too large a share",
        {"blast": Blast(1, 0, 100, 2, in_inventory=True)},
        {"spending": Spending(0, 0, 2, 100)},
        "deny",
        "budget",
    ),
    ("too long a lease", {"lease_s": 8 * 86_400}, {}, "deny", "lease"),
    ("no lease", {"lease_s": None}, {}, "deny", "proposal"),
    ("an unknown class", {"action_class": "wipe disk"}, {}, "deny", "proposal"),
    ("another undo", {"undo_class": "deny ip"}, {}, "deny", "proposal"),
    ("no target", {"target": Labelled("", Integrity.SENSOR)}, {}, "deny", "proposal"),
    ("a target of another kind", {"target_kind": "user"}, {}, "deny", "proposal"),
    ("a short nonce", {"nonce": "1"}, {}, "deny", "proposal"),
]  # fmt: skip


def ruled(proposal: Mapping[str, object], context: Mapping[str, object]) -> ActionRuling:
    changed = replace(PROPOSAL, **proposal)  # type: ignore[arg-type]  # by name, from the table
    return rule(changed, replace(CONTEXT, **context))  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(("proposal", "context", "outcome", "by"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS])
def test_the_table(proposal: Mapping[str, object], context: Mapping[str, object], outcome: str, by: str | None) -> None:
    ruling = ruled(proposal, context)

    assert ruling.decision == outcome
    assert [hit.rule for hit in ruling.hits if hit.outcome != "allow"][:1] == ([] if by is None else [by])


def test_four_eyes_for_what_cannot_be_taken_back_and_for_crown_jewels() -> None:
    jewel = Blast(1, 0, 100, 0, in_inventory=True)
    quorums = [
        ruling.requirement.quorum
        for ruling in (ruled({}, {"policy": policy(L2)}), ruled(STOP, {}), ruled({"blast": jewel}, {}))
        if ruling.requirement is not None
    ]

    assert quorums == [1, 2, 2]


def test_nobody_who_had_a_hand_in_it_is_asked() -> None:
    proposer = Proposer("specialist:response", PrincipalKind.AGENT, requester="ana")
    requirement = ruled({"proposer": proposer}, {"policy": policy(L2), "evidence_editors": ("eve",)}).requirement

    assert requirement is not None
    assert requirement.excluded == ("ana", "eve", "lea", "specialist:response")


def test_a_veto_window_is_for_l4_only_and_says_who_may_object() -> None:
    windows = {level: ruled({}, {"policy": policy(level, veto_window_s=300)}) for level in (L2, L3, L4)}

    assert [windows[level].veto_s for level in (L2, L3, L4)] == [None, None, 300]
    assert windows[L4].requirement is not None
    assert windows[L3].requirement is None


def test_a_stated_undo_asks_nobody_again_and_still_stops_where_everything_stops() -> None:
    undo = {"action_class": "allow ip", "undo_class": "deny ip", "lease_s": None}
    at_l0 = {"policy": policy(L0), "undoes": "aa" * 32, "facts_now": replace(FACTS, is_open=False)}

    assert ruled(undo, at_l0).decision == "allow"
    assert ruled(undo, {**at_l0, "engaged": ("all",)}).decision == "deny"
    # A budget for acting does not keep a containment beyond its time.
    assert ruled(undo, {**at_l0, "spending": Spending(10_000, 0, 0, 100)}).decision == "allow"
    assert ruled(undo, {"spending": Spending(10_000, 0, 0, 100)}).decision == "deny"
    assert ruled(undo, {**at_l0, "state_digest": None}).decision == "deny"
    assert ruled(undo, {"policy": policy(L0)}).decision == "deny"


FORBID = '@id("night") @effect("deny") forbid(principal, action, resource);'
ASK = '@id("two") @effect("ask") @quorum("3") @roles("lead") forbid(principal, action, resource);'


def test_operator_policy_forbids_or_asks_for_more() -> None:
    forbidden = replace(policy(), cedar=CedarPolicies.load({"a.cedar": FORBID}))
    asked = replace(policy(), cedar=CedarPolicies.load({"a.cedar": ASK}))

    assert ruled({}, {"policy": forbidden}).decision == "deny"
    ruling = ruled({}, {"policy": asked})
    assert ruling.decision == "ask"
    assert ruling.requirement is not None
    assert (ruling.requirement.quorum, ruling.requirement.roles) == (3, ("lead",))


def test_operator_policies_whose_roles_exclude_each_other_deny() -> None:
    other = '@id("resp") @effect("ask") @roles("responder") forbid(principal, action, resource);'
    both = replace(policy(), cedar=CedarPolicies.load({"a.cedar": ASK, "b.cedar": other}))

    assert ruled({}, {"policy": both}).decision == "deny"


def test_a_models_own_confidence_is_no_field_of_anything_that_is_ruled_on() -> None:
    named = {*PROPOSAL.__dataclass_fields__, *CONTEXT.__dataclass_fields__}

    assert not {name for name in named if "confiden" in name or "certain" in name or "probab" in name}
