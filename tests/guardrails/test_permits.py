"""Nothing closes without a permit, and only the decision point and people make one."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import AutonomyLevel, ClosedBy, IncidentStatus, Verdict
from watchfloor_guardrails.decision import DecideRequest, IncidentState, Principal, PrincipalKind
from watchfloor_guardrails.permit import ClosurePermit, person_permit
from watchfloor_guardrails.ruling import ClosureProposal, RulingContext, permit_of, rule
from watchfloor_guardrails.ruling_json import ruling_from_json, ruling_to_json

Contexts = dict[AutonomyLevel, RulingContext]
ROOT = Path(__file__).parents[2]

ALICE = Principal("alice", PrincipalKind.PERSON)
REQUEST = DecideRequest("inc-1", 3, "FalsePositive", "the nightly scan")
STATE = IncidentState("acme", "inc-1", 3, IncidentStatus.QUEUED)


def test_a_ruling_that_allows_gives_a_permit_for_exactly_what_was_ruled(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    ruling = rule(quiet_proposal, calm_contexts[AutonomyLevel.L4])
    permit = permit_of(ruling)
    assert (permit.tenant, permit.incident_id, permit.revision) == ("acme", "inc-0123456789abcdef", 3)
    assert (permit.verdict, permit.closed_by) == (Verdict.BENIGN_POSITIVE, ClosedBy.AGENT)
    assert (permit.policy_digest, permit.principal) == (ruling.policy_digest, None)


@pytest.mark.parametrize("level", [AutonomyLevel.L0, AutonomyLevel.L2])
def test_a_ruling_that_does_not_allow_gives_none(
    level: AutonomyLevel, quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    with pytest.raises(RefusedError, match=f"L{level:d}: a person"):
        permit_of(rule(quiet_proposal, calm_contexts[level]))


def test_a_stored_ruling_gives_none(quiet_proposal: ClosureProposal, calm_contexts: Contexts) -> None:
    stored = ruling_from_json(ruling_to_json(rule(quiet_proposal, calm_contexts[AutonomyLevel.L4])))
    with pytest.raises(RefusedError, match="rule again in the transaction that closes"):
        permit_of(stored)


def test_a_permit_cannot_be_made_changed_copied_or_sent(
    quiet_proposal: ClosureProposal, calm_contexts: Contexts
) -> None:
    permit = permit_of(rule(quiet_proposal, calm_contexts[AutonomyLevel.L4]))
    with pytest.raises(TypeError, match="comes from permit_of"):
        ClosurePermit("acme", "inc-1", 1, Verdict.FALSE_POSITIVE, ClosedBy.AGENT, "0" * 64, None, object())
    with pytest.raises(TypeError, match="comes from permit_of"):
        replace(permit, incident_id="inc-other", authority=None)
    with pytest.raises(FrozenInstanceError):
        permit.incident_id = "inc-other"  # type: ignore[misc]  # what is tried
    for leave in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="does not leave its process"):
            leave(permit)


def test_only_the_two_issuers_hold_the_authority_to_make_permits() -> None:
    holders = {
        source.relative_to(ROOT).as_posix()
        for folder in ("core", "guardrails", "playbooks", "agents", "connectors", "workflows", "service")
        for source in (ROOT / folder).rglob("*.py")
        if re.search(r"\b_AUTHORITY\b|\bClosurePermit\(", source.read_text("utf-8"))
    }
    assert holders == {
        "guardrails/watchfloor_guardrails/permit.py",
        "guardrails/watchfloor_guardrails/ruling.py",
        # These two have an authority of their own, over effects.
        "guardrails/watchfloor_guardrails/effect.py",
        "guardrails/watchfloor_guardrails/grant.py",
    }


def test_a_persons_decision_gives_a_permit_in_that_persons_name() -> None:
    permit = person_permit(REQUEST, ALICE, STATE)
    assert (permit.closed_by, permit.principal, permit.verdict) == (ClosedBy.PERSON, "alice", Verdict.FALSE_POSITIVE)
    assert (permit.tenant, permit.incident_id, permit.revision) == ("acme", "inc-1", 3)


def test_a_person_may_close_a_true_positive() -> None:
    assert person_permit(replace(REQUEST, verdict="TruePositive"), ALICE, STATE).verdict is Verdict.TRUE_POSITIVE


def test_the_permit_is_for_the_revision_that_was_acknowledged() -> None:
    request = replace(REQUEST, revision=2, acknowledged_revision=3)
    assert person_permit(request, ALICE, STATE).revision == 3


def test_a_service_principal_gets_no_permit() -> None:
    with pytest.raises(RefusedError, match="only a person decides"):
        person_permit(REQUEST, Principal("soar", PrincipalKind.SERVICE), STATE)


def test_a_stale_decision_gets_no_permit() -> None:
    with pytest.raises(RefusedError, match="is at 4"):
        person_permit(REQUEST, ALICE, replace(STATE, revision=4))
