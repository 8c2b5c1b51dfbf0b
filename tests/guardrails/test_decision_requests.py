"""Which decision of a person is acceptable."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_guardrails.decision import DecideRequest, IncidentState, Principal, PrincipalKind, refusals

ALICE = Principal("alice", PrincipalKind.PERSON)
REQUEST = DecideRequest("inc-1", 3, "FalsePositive", "the nightly scan")
STATE = IncidentState("acme", "inc-1", 3, IncidentStatus.QUEUED)


@pytest.mark.parametrize("status", [IncidentStatus.NEW, IncidentStatus.QUEUED, IncidentStatus.ESCALATED])
@pytest.mark.parametrize("verdict", Verdict)
def test_a_person_decides_on_an_open_incident_with_any_verdict(status: IncidentStatus, verdict: Verdict) -> None:
    assert refusals(replace(REQUEST, verdict=verdict.value), ALICE, replace(STATE, status=status)) == []


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        (replace(REQUEST, incident_id="inc-2"), "the decision is about incident 'inc-2', not 'inc-1'"),
        (replace(REQUEST, verdict="Benign"), "verdict 'Benign' is not one of TruePositive, BenignPositive, "),
        (replace(REQUEST, verdict="falsepositive"), "verdict 'falsepositive' is not one of"),
        (replace(REQUEST, verdict=""), "verdict '' is not one of"),
        (replace(REQUEST, verdict="Undetermined", comment=" "), "closed only with a comment on why it cannot be"),
        (replace(REQUEST, comment="x" * 4_001), "the comment has 4,001 characters; at most 4,000 are kept"),
        (replace(REQUEST, comment="a\0b"), "the comment holds a NUL"),
        (replace(REQUEST, comment="a\ud800b"), "the comment holds a NUL or half a surrogate pair"),
        (replace(REQUEST, revision=2), "is about revision 2, the incident is at 3; look again, or acknowledge"),
        (replace(REQUEST, revision=4), "is about revision 4, the incident is at 3"),
        (replace(REQUEST, revision=1, acknowledged_revision=2), "the incident is at 3"),
        (replace(REQUEST, revision=3, acknowledged_revision=2), "the incident is at 3"),
        (replace(REQUEST, revision=4, acknowledged_revision=3), "the incident is at 3"),
    ],
)
def test_a_request_that_cannot_be_taken_is_refused_with_its_reason(request_: DecideRequest, refusal: str) -> None:
    found = refusals(request_, ALICE, STATE)
    assert len(found) == 1
    assert refusal in found[0]


def test_a_newer_revision_may_be_acknowledged() -> None:
    assert refusals(replace(REQUEST, revision=1, acknowledged_revision=3), ALICE, STATE) == []


@pytest.mark.parametrize("status", [IncidentStatus.CLOSED, IncidentStatus.MERGED])
def test_an_incident_that_is_not_open_is_not_decided(status: IncidentStatus) -> None:
    assert refusals(REQUEST, ALICE, replace(STATE, status=status)) == [
        f"the incident is {status}; reopen it to decide again"
    ]


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_a_principal_without_a_storable_name_is_refused(name: str) -> None:
    assert refusals(REQUEST, replace(ALICE, name=name), STATE) == [
        f"the principal's name has {len(name)} characters; 1 to 128 are expected"
    ]


def test_all_reasons_are_given_at_once() -> None:
    request = DecideRequest("inc-2", 1, "?", "x" * 4_001)
    state = replace(STATE, status=IncidentStatus.CLOSED)
    assert len(refusals(request, Principal("soar", PrincipalKind.SERVICE), state)) == 6


@given(
    st.builds(DecideRequest, st.text(), st.integers(), st.text(), st.text(), st.none() | st.integers()),
    st.builds(Principal, st.text(), st.sampled_from(PrincipalKind)),
    st.builds(IncidentState, st.text(), st.text(), st.integers(), st.sampled_from(IncidentStatus)),
)
def test_only_a_person_on_an_open_incident_at_its_revision_is_ever_accepted(
    request: DecideRequest, principal: Principal, incident: IncidentState
) -> None:
    if not refusals(request, principal, incident):
        assert principal.kind is PrincipalKind.PERSON
        assert incident.status.is_open
        assert incident.revision in (request.revision, request.acknowledged_revision)
