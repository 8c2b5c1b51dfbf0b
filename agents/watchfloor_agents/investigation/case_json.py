"""A case as JSON: what an investigation began with stays the same, however its incident changes meanwhile.

The alerts' evidence is kept apart, under its ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from watchfloor_agents.investigation.case import CaseAlert, CaseEntity, InvestigationCase
from watchfloor_core.alert import EntityKind, EntityRole, Integrity, TimePrecision
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RecordError
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.query import TimeRange

FORMAT: Final = 1


def case_to_json(case: InvestigationCase) -> dict[str, JsonValue]:
    """Without the bodies of the alerts' evidence."""
    return {
        "v": FORMAT,
        "tenant": case.tenant,
        "incident_id": case.incident_id,
        "revision": case.revision,
        "title": case.title,
        "start_us": case.range.start_us,
        "end_us": case.range.end_us,
        "triage_verdict": case.triage_verdict.value if case.triage_verdict else None,
        "triage_probability": case.triage_probability,
        "triage_reasons": list(case.triage_reasons),
        "entities": [
            {
                "kind": one.kind.value,
                "value": one.value,
                "role": one.role.value,
                "integrity": int(one.integrity),
                "alerts": one.alerts,
                "tier": one.tier,
            }
            for one in case.entities
        ],
        "alerts": [
            {
                "evidence": one.evidence.id,
                "product": one.product,
                "detector": one.detector,
                "severity": one.severity,
                "tactics": list(one.tactics),
                "techniques": list(one.techniques),
                "entities": [[kind.value, value, role.value] for kind, value, role in one.entities],
                "count": one.count,
                "first_us": one.first_us,
                "last_us": one.last_us,
                "of_rule": one.of_rule,
                "precision": one.precision.value,
            }
            for one in case.alerts
        ],
    }


def case_from_json(content: Mapping[str, Any], evidence: Mapping[str, Evidence]) -> InvestigationCase:
    """The inverse, with the alerts' evidence by id. Raises `RecordError` where something of it is missing or wrong."""
    try:
        if content["v"] != FORMAT:
            raise ValueError(f"format {content['v']!r}, expected {FORMAT}")
        verdict = content["triage_verdict"]
        return InvestigationCase(
            tenant=content["tenant"],
            incident_id=content["incident_id"],
            revision=content["revision"],
            title=content["title"],
            range=TimeRange(content["start_us"], content["end_us"]),
            alerts=tuple(_alert(one, evidence[one["evidence"]]) for one in content["alerts"]),
            entities=tuple(_entity(one) for one in content["entities"]),
            triage_verdict=None if verdict is None else Verdict(verdict),
            triage_probability=content["triage_probability"],
            triage_reasons=tuple(content.get("triage_reasons", ())),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"a kept case cannot be read: {type(error).__name__}: {error}") from error


def _alert(content: Mapping[str, Any], evidence: Evidence) -> CaseAlert:
    return CaseAlert(
        evidence=evidence,
        product=content["product"],
        detector=content["detector"],
        severity=content["severity"],
        tactics=tuple(content["tactics"]),
        techniques=tuple(content["techniques"]),
        entities=tuple((EntityKind(kind), value, EntityRole(role)) for kind, value, role in content["entities"]),
        count=content["count"],
        first_us=content["first_us"],
        last_us=content["last_us"],
        of_rule=content.get("of_rule", 0),
        precision=TimePrecision(content.get("precision", TimePrecision.SECOND)),
    )


def _entity(content: Mapping[str, Any]) -> CaseEntity:
    return CaseEntity(
        kind=EntityKind(content["kind"]),
        value=content["value"],
        role=EntityRole(content["role"]),
        integrity=Integrity(content["integrity"]),
        alerts=content["alerts"],
        tier=content["tier"],
    )
