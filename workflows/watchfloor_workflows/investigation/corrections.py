"""What people say of single findings, recorded beside the report and in the incident's ledger in one transaction.

Nothing follows from a correction by itself: no verdict changes, and what was proposed stays proposed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Row, bindparam, insert, select

from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_connectors.attack import technique_name
from watchfloor_core.attack_ids import current_technique
from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us
from watchfloor_core.correction import Correction, Judgement
from watchfloor_core.errors import LedgerError, NotFoundError, RefusedError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.report import Report
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_investigation import finding_correction, investigation
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.correction import CorrectionRequest, refusals
from watchfloor_guardrails.decision import Principal
from watchfloor_workflows.investigation.records import InvestigationKey
from watchfloor_workflows.standing import lock_incident

_REPORT: Final = select(investigation.c.report, investigation.c.report_sha256).where(
    investigation.c.tenant == bindparam("tenant"),
    investigation.c.incident_id == bindparam("incident_id"),
    investigation.c.revision == bindparam("revision"),
)
_OF_REPORT: Final = (
    select(finding_correction)
    .where(
        finding_correction.c.tenant == bindparam("tenant"),
        finding_correction.c.incident_id == bindparam("incident_id"),
        finding_correction.c.revision == bindparam("revision"),
    )
    .order_by(finding_correction.c.id)
)
_OF_TENANT: Final = (
    select(finding_correction)
    .where(finding_correction.c.tenant == bindparam("tenant"))
    .order_by(finding_correction.c.incident_id, finding_correction.c.revision, finding_correction.c.id)
)
_CONCLUSIONS: Final = (
    select(ledger_entry.c.id, ledger_entry.c.body)
    .where(
        ledger_entry.c.tenant == bindparam("tenant"),
        ledger_entry.c.chain == bindparam("incident_id"),
        ledger_entry.c.kind == "investigation",
    )
    .order_by(ledger_entry.c.seq.desc())
)
_ADD: Final = insert(finding_correction)


def record_correction(
    store: Store, key: InvestigationKey, request: CorrectionRequest, principal: Principal
) -> Correction:
    """Record it, and give what then stands. The same again changes nothing.

    Raises `RefusedError` with every reason against it, `NotFoundError` where there is no such report or finding, and
    `LedgerError` where the report is not the one that was concluded.
    """
    if request.technique is not None:
        request = replace(request, technique=current_technique(request.technique))
    with store.write() as connection:
        # The incident's row is the lock: two that say the same at once are one.
        lock_incident(connection, key.tenant, key.incident_id)
        report, digest = _report(connection, key)
        against = refusals(
            request,
            principal,
            named={one.technique for one in report.techniques},
            is_technique=lambda technique: technique_name(technique) is not None,
        )
        if against:
            raise RefusedError("; ".join(against))
        _require_finding(report, request.finding_id)
        wanted = Correction(
            id=0,
            incident_id=key.incident_id,
            revision=key.revision,
            report_sha256=digest,
            finding_id=request.finding_id,
            says=request.says,
            technique=request.technique,
            comment=request.comment,
            principal=principal.name,
            decided_us=now_us(),
        )
        before = [one for one in read_corrections(connection, key) if one.subject == wanted.subject]
        if before and _content(before[-1]) == _content(wanted):
            return before[-1]
        if wanted.says is Judgement.WITHDRAWN and (not before or before[-1].says is Judgement.WITHDRAWN):
            what = wanted.finding_id or wanted.technique
            raise RefusedError(f"{principal.name!r} says nothing of {what} in this report, so nothing is taken back")
        return _keep(connection, key, wanted, _conclusion(connection, key, digest))


def read_corrections(connection: Connection, key: InvestigationKey) -> tuple[Correction, ...]:
    """All that were made of one report, also those replaced or taken back, the oldest first."""
    asked = {"tenant": key.tenant, "incident_id": key.incident_id, "revision": key.revision}
    return tuple(_correction(row) for row in connection.execute(_OF_REPORT, asked))


def corrections_of_tenant(connection: Connection, tenant: str) -> Iterator[Correction]:
    """All of a tenant; those of one report stand together, the oldest first."""
    for row in connection.execute(_OF_TENANT, {"tenant": tenant}):
        yield _correction(row)


def _report(connection: Connection, key: InvestigationKey) -> tuple[Report, str]:
    asked = {"tenant": key.tenant, "incident_id": key.incident_id, "revision": key.revision}
    row = connection.execute(_REPORT, asked).one_or_none()
    if row is None or row.report is None:
        raise NotFoundError(
            f"there is no report on revision {key.revision} of incident {key.incident_id!r}; "
            "`watchfloor incident report` shows which there is"
        )
    if hashlib.sha256(row.report.encode()).hexdigest() != row.report_sha256:
        raise LedgerError(
            f"the report on revision {key.revision} of incident {key.incident_id} is not the one that was concluded: "
            "its SHA-256 differs; the ledger has the right one"
        )
    return report_from_json(orjson.loads(row.report)), row.report_sha256


def _require_finding(report: Report, finding_id: str | None) -> None:
    known = [one.id for one in report.findings]
    if finding_id is not None and finding_id not in known:
        has = f"it has {known[0]} to {known[-1]}" if known else "it has none"
        raise NotFoundError(f"the report has no finding {finding_id[:16]!r}; {has}")


def _conclusion(connection: Connection, key: InvestigationKey, digest: str) -> str:
    """Id of the ledger entry that vouches for the report: what is said of a forged one must not become a label."""
    for entry in connection.execute(_CONCLUSIONS, {"tenant": key.tenant, "incident_id": key.incident_id}):
        if json.loads(entry.body)["body"].get("report_sha256") == digest:
            return str(entry.id)
    raise LedgerError(
        f"the ledger has no investigation of {key.incident_id} whose report has the SHA-256 {digest}: the report on "
        f"revision {key.revision} is not the one that was concluded"
    )


def _content(one: Correction) -> tuple[Judgement, str | None, str]:
    return one.says, one.technique, one.comment


def _keep(connection: Connection, key: InvestigationKey, wanted: Correction, parent_id: str) -> Correction:
    said: dict[str, JsonValue] = {
        "revision": wanted.revision,
        "report_sha256": wanted.report_sha256,
        "finding_id": wanted.finding_id,
        "says": wanted.says.value,
        "technique": wanted.technique,
        "comment": wanted.comment,
        "principal": wanted.principal,
    }
    values = {**said, "tenant": key.tenant, "incident_id": key.incident_id, "decided_us": wanted.decided_us}
    kept = connection.execute(_ADD.returning(finding_correction), values).one()
    decision = Decision(
        chain=key.incident_id,
        kind="correction",
        body=said,
        name=SpanName.CORRECTION,
        start_us=wanted.decided_us,
        end_us=wanted.decided_us,
        parent_id=parent_id,
        attributes={
            SpanAttribute.TENANT: key.tenant,
            SpanAttribute.INCIDENT_REVISION: key.revision,
            SpanAttribute.REPORT_DIGEST: wanted.report_sha256,
            SpanAttribute.CORRECTION_SAYS: wanted.says.value,
            SpanAttribute.PRINCIPAL: wanted.principal,
        },
    )
    record_decisions(connection, key.tenant, [decision])
    return _correction(kept)


def _correction(row: Row[*tuple[Any, ...]]) -> Correction:  # Any: columns of several types
    return Correction(
        id=row.id,
        incident_id=row.incident_id,
        revision=row.revision,
        report_sha256=row.report_sha256,
        finding_id=row.finding_id,
        says=Judgement(row.says),
        technique=row.technique,
        comment=row.comment,
        principal=row.principal,
        decided_us=row.decided_us,
    )
