"""What a model gets to read of a case and of an answer: bounded JSON in a fence, apart by who could have written it.

Verdicts and probabilities of others are left out: a second opinion that has read the first is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final

from watchfloor_agents.generative.fence import fence
from watchfloor_agents.generative.handles import Handles
from watchfloor_agents.investigation.case import CaseAlert, InvestigationCase
from watchfloor_agents.investigation.view import Answer, CaseView
from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import to_iso
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.report import Finding

MAX_VALUE: Final = 400
"""Characters of one field; what is cut says so."""
MAX_CASE: Final = 48_000
"""Characters of all that is told at the beginning, of which each of its parts gets a share."""
MAX_ANSWER: Final = 16_000
"""Characters of one answer's evidence."""
MAX_ENTITIES: Final = 40
MAX_QUESTIONS: Final = 60
MAX_GROUPS: Final = 30
_CUT: Final = "…(cut)"


def case_text(view: CaseView, findings: Sequence[Finding], handles: Handles) -> str:
    """The case, what the specialist found, and what was asked already."""
    cited = dict.fromkeys(citation.evidence_id for one in findings for citation in one.citations)
    known = [view.evidence[id_] for id_ in cited if id_ in view.evidence]
    shown, hidden = _within(MAX_CASE // 2, [(one, _evidence(one)) for one in known], handles)
    about: dict[str, JsonValue] = {
        "findings": [_finding(one, handles) for one in findings],
        "evidence": shown,
        "evidence_not_shown": hidden,
        "asked": [_asked(one) for one in view.answers[:MAX_QUESTIONS]],
    }
    return "\n".join(
        [
            "The incident:",
            fence(_case(view.case, handles), Integrity.EXTERNAL),
            "What rules found in telemetry so far, and what was asked for it:",
            fence(about, Integrity.EXTERNAL),
        ]
    )


def answer_text(answer: Answer, handles: Handles) -> str:
    """One answer. Fenced as an attacker's even where nothing was found: its question may repeat what one wrote."""
    shown, hidden = _within(MAX_ANSWER, [(one, _evidence(one)) for one in answer.evidence], handles)
    return fence(_asked(answer) | {"evidence": shown, "evidence_not_shown": hidden}, Integrity.EXTERNAL)


def _asked(answer: Answer) -> dict[str, JsonValue]:
    return {
        "tool": answer.question.tool,
        "purpose": _cut(answer.question.purpose),
        "found": len(answer.evidence),
        "is_cut": answer.is_cut,
        "can_say_no": answer.can_say_no,
        "sources": [
            {"name": one.source, "health": one.health.value, "reason": _cut(one.reason)} for one in answer.coverage
        ],
    }


def _case(case: InvestigationCase, handles: Handles) -> dict[str, JsonValue]:
    alerts, hidden = _within(MAX_CASE // 2, [(one.evidence, _alert(one)) for one in case.alerts], handles)
    return {
        "title": _cut(case.title),
        "from": to_iso(case.range.start_us),
        "until": to_iso(case.range.end_us),
        "alerts": alerts,
        "alerts_not_shown": hidden,
        "entities": [
            {
                "kind": one.kind.value,
                "value": _cut(one.value),
                "role": one.role.value,
                "alerts": one.alerts,
                "tier": one.tier,
            }
            for one in case.entities[:MAX_ENTITIES]
        ],
    }


def _finding(finding: Finding, handles: Handles) -> JsonValue:
    return {
        "text": _cut(finding.text),
        "evidence": [handle for one in finding.citations if (handle := handles.known(one.evidence_id))],
        "techniques": list(finding.techniques),
    }


def _alert(alert: CaseAlert) -> dict[str, JsonValue]:
    return {
        "product": alert.product,
        "detector": _cut(alert.detector),
        "severity": alert.severity,
        "techniques": list(alert.techniques),
        "count": alert.count,
        "first": to_iso(alert.first_us),
        "last": to_iso(alert.last_us),
        **_by_integrity(alert.evidence),
    }


def _evidence(evidence: Evidence) -> dict[str, JsonValue]:
    shown: dict[str, JsonValue] = {"kind": evidence.kind.value, "source": evidence.source}
    if evidence.kind is EvidenceKind.COUNT:
        return shown | _count(evidence)
    if evidence.time_us is not None:
        shown["time"] = to_iso(evidence.time_us)
    if "type" in evidence.body:
        shown["type"] = evidence.body["type"]
    return shown | _by_integrity(evidence)


def _by_integrity(evidence: Evidence) -> dict[str, JsonValue]:
    """The fields that may be cited, apart by who could have written them."""
    fields = evidence.body.get("fields")
    apart: dict[str, dict[str, JsonValue]] = {"sensor": {}, "external": {}}
    for name, value in fields.items() if isinstance(fields, Mapping) else ():
        of = "external" if evidence.integrity(name) is Integrity.EXTERNAL else "sensor"
        if isinstance(value, (str, int, float)):
            apart[of][name] = _cut(value) if isinstance(value, str) else value
    return {of: held for of, held in apart.items() if held}


def _count(evidence: Evidence) -> dict[str, JsonValue]:
    """``total`` and ``health`` are names that a citation can use."""
    groups = evidence.body.get("groups")
    rows = list(groups) if isinstance(groups, (list, tuple)) else []
    return {
        "total": evidence.body.get("total"),
        "health": evidence.body.get("health"),
        "groups": [_cut_all(one) for one in rows[:MAX_GROUPS]],
        "groups_not_shown": max(0, len(rows) - MAX_GROUPS),
    }


def _within(
    limit: int, parts: Sequence[tuple[Evidence, dict[str, JsonValue]]], handles: Handles
) -> tuple[list[JsonValue], int]:
    """The first parts that fit into so many characters of JSON, each with its evidence's handle, and how many do not
    fit. What is not shown gets no handle."""
    shown: list[JsonValue] = []
    for evidence, part in parts:
        limit -= len(json.dumps(part))
        if limit < 0:
            break
        shown.append({"id": handles.of(evidence)} | part)
    return shown, len(parts) - len(shown)


def _cut_all(value: JsonValue) -> JsonValue:
    match value:
        case str():
            return _cut(value)
        case Mapping():
            return {name: _cut_all(one) for name, one in value.items()}
        case list() | tuple():
            return [_cut_all(one) for one in value]
        case _:
            return value


def _cut(text: str) -> str:
    return text if len(text) <= MAX_VALUE else text[:MAX_VALUE] + _CUT
