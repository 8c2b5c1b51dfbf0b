"""Labelled cases of single findings: what people said of a claim, beside who had claimed it.

Only people's words are labels. No row of them is ever written for what an agent did: neither its reports nor what it
closed says anything here about whether it was right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import Connection

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import to_iso
from watchfloor_core.correction import Correction, Judgement, latest_ids
from watchfloor_core.errors import LedgerError
from watchfloor_core.report import Finding, HypothesisKind, Report, Stance
from watchfloor_service.incidents.reports import StoredReport, find_report
from watchfloor_workflows.investigation.corrections import corrections_of_tenant

MODEL: Final = "model"
"""The rule of what a generative engine claims (`watchfloor_core.report.Finding.code`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingLabel:
    """One person's word on one finding, or on a technique that a report misses."""

    title: str
    """Of the incident; holds attacker-authored text."""
    correction: Correction
    is_latest: bool
    """That person has said nothing else of it since."""
    finding: Finding | None
    """None for a missed technique."""
    is_for_attack: bool
    """The finding bears out an attack, and so its techniques."""
    missed: str | None
    """The technique that took place, as the person says, and that the report does not name."""
    engine: str
    """Who made the claim; of a missed technique, who made the report."""
    version: str

    def as_json(self) -> dict[str, JsonValue]:
        said, finding = self.correction, self.finding
        return {
            "kind": "finding",
            "incident": said.incident_id,
            "revision": said.revision,
            "report": said.report_sha256,
            "title": self.title,
            "finding": None
            if finding is None
            else {
                "id": finding.id,
                "rule": finding.code,
                "text": finding.text,
                "techniques": list(finding.techniques),
                "stance": finding.stance.value,
                "is_for_attack": self.is_for_attack,
                "rests_on_external": finding.rests_on_external,
                "evidence": list(dict.fromkeys(one.evidence_id for one in finding.citations)),
            },
            "label": {
                "says": said.says.value,
                "technique": said.technique,
                "principal": said.principal,
                "comment": said.comment,
                "at": to_iso(said.decided_us),
                # Whoever corrects a finding has read it.
                "saw_agent_answer": True,
                "is_latest": self.is_latest,
            },
            "missed": self.missed,
            "agent": {"engine": self.engine, "version": self.version},
        }


def read_finding_labels(connection: Connection, tenant: str) -> Iterator[FindingLabel]:
    """Every label of a tenant's findings, report by report, the oldest first.

    Raises `LedgerError` where a report is not the one that was concluded, or not the one that was corrected.
    """
    for (incident_id, revision), some in groupby(
        corrections_of_tenant(connection, tenant), key=lambda one: (one.incident_id, one.revision)
    ):
        yield from _of_report(find_report(connection, tenant, incident_id, revision), list(some))


def _of_report(stored: StoredReport, made: list[Correction]) -> Iterator[FindingLabel]:
    report = stored.report
    findings = {} if report is None else {one.id: one for one in report.findings}
    is_theirs = all(
        one.report_sha256 == stored.sha256 and (one.finding_id is None or one.finding_id in findings) for one in made
    )
    if report is None or not is_theirs:
        raise LedgerError(
            f"the report on revision {stored.revision} of incident {stored.incident_id} is not the one that people "
            "corrected; the ledger has the SHA-256 of the right one"
        )
    latest = latest_ids(made)
    for one in made:
        if one.says is Judgement.WITHDRAWN:
            # It says that nothing is said: that is no label.
            continue
        finding = None if one.finding_id is None else findings[one.finding_id]
        engine, version = _author(stored, report, finding)
        yield FindingLabel(
            title=stored.title,
            correction=one,
            is_latest=one.id in latest,
            finding=finding,
            is_for_attack=finding is not None and _is_for_attack(finding, report),
            missed=_missed(one, report),
            engine=engine,
            version=version,
        )


def _author(stored: StoredReport, report: Report, finding: Finding | None) -> tuple[str, str]:
    """A report in which a model had a part bears its name; the rules' own findings in it stay theirs."""
    if finding is None or finding.code == MODEL or stored.engine is None:
        return report.engine, report.version
    return stored.engine, stored.engine_version or ""


def _is_for_attack(finding: Finding, report: Report) -> bool:
    kinds = {one.id: one.kind for one in report.hypotheses}
    return finding.stance is Stance.SUPPORTS and kinds.get(finding.hypothesis_id or "") is HypothesisKind.ATTACK


def _missed(one: Correction, report: Report) -> str | None:
    named = {claim.technique for claim in report.techniques}
    return one.technique if one.technique is not None and one.technique not in named else None
