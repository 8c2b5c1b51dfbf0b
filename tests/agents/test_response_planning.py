"""From a report to steps: only on what was found, only with what the catalogue knows, the least disruptive first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from watchfloor_agents.response.planning import MAX_STEPS, plan_response
from watchfloor_core.alert import Integrity
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.incident import Verdict
from watchfloor_core.report import Citation, Finding, Phase, Recommendation, Report


def seen(**fields: str) -> Evidence:
    names = {name.replace("_", "."): value for name, value in fields.items()}
    return Evidence(EvidenceKind.EVENT, "lab", {"type": "other", "fields": names})


CONNECTION = seen(source_ip="203.0.113.7")
LOGON = seen(user_name="eve")
FACTS = {one.id: one for one in (CONNECTION, LOGON)}


def finding(id_: str, evidence: Evidence, field: str) -> Finding:
    value = evidence.value(field)
    assert value is not None
    return Finding(id=id_, code="test", text="seen", citations=(Citation(evidence.id, field, value),))


def advice(action_class: str, kind: str, target: str, *findings: str, phase: Phase = Phase.CONTAIN) -> Recommendation:
    return Recommendation(
        phase=phase, action_class=action_class, target_kind=kind, target=target, purpose="stop it",
        expected_effect="it stops", undo="let it go", finding_ids=findings,
    )  # fmt: skip


def report(*recommendations: Recommendation) -> Report:
    return Report(
        tenant="acme", incident_id="inc-1", revision=1, verdict=Verdict.TRUE_POSITIVE, probability=0.9, certainty=0.9,
        summary="", hypotheses=(), timeline=(), root_cause=None, recommendations=recommendations,
        findings=(finding("F1", CONNECTION, "source.ip"), finding("F2", LOGON, "user.name")),
    )  # fmt: skip


DENY = advice("deny ip", "ip", "203.0.113.7", "F1")
DISABLE = advice("disable user", "user", "EVE", "F2")


def test_the_least_disruptive_step_of_the_first_phase_comes_first() -> None:
    later = advice("deny ip", "ip", "203.0.113.7", "F1", phase=Phase.ERADICATE)
    steps = plan_response(report(DISABLE, DENY, later), FACTS)
    assert [(one.action_class, one.value) for one in steps] == [("deny ip", "203.0.113.7"), ("disable user", "EVE")]


def test_a_target_keeps_the_label_of_the_field_that_names_it() -> None:
    deny, disable = plan_response(report(DISABLE, DENY), FACTS)
    assert (deny.integrity, deny.sources) == (Integrity.SENSOR, frozenset({"lab"}))
    assert (disable.integrity, disable.sources) == (Integrity.EXTERNAL, frozenset())


@pytest.mark.parametrize(
    "unfit",
    [
        advice("erase host", "host", "203.0.113.7", "F1"),
        advice("deny ip", "user", "203.0.113.7", "F1"),
        advice("deny ip", "ip", "198.51.100.1", "F1"),
        advice("deny ip", "ip", "203.0.113", "F1"),
        advice("deny ip", "ip", "203.0.113.7", "F2"),
        advice("deny ip", "ip", "203.0.113.7", "F9"),
        advice("deny ip", "ip", "203.0.113.7"),
        advice("", "", "", "F1"),
    ],
)
def test_what_no_cited_field_names_or_no_class_fits_is_left_to_people(unfit: Recommendation) -> None:
    assert plan_response(report(unfit), FACTS) == ()


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.TRUE_POSITIVE])
def test_nothing_is_proposed_on_a_report_that_finds_no_attack(verdict: Verdict) -> None:
    assert plan_response(replace(report(DENY), verdict=verdict), FACTS) == ()


def test_evidence_that_is_gone_bears_out_no_step() -> None:
    assert plan_response(report(DENY), {}) == ()


def test_one_report_leads_to_few_proposals() -> None:
    addresses = [seen(source_ip=f"203.0.113.{number}") for number in range(1, 20)]
    findings = tuple(finding(f"F{number}", one, "source.ip") for number, one in enumerate(addresses))
    advised = tuple(
        advice("deny ip", "ip", one.value("source.ip") or "", f"F{number}") for number, one in enumerate(addresses)
    )
    many = replace(report(*advised), findings=findings)
    assert len(plan_response(many, {one.id: one for one in addresses})) == MAX_STEPS
