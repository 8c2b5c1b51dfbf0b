"""An investigation's rows: the case, its questions and their answers, and the report.

Whatever was answered is kept before the next step, so that whoever goes on after a crash asks nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

import orjson
import zstandard
from sqlalchemy import Connection, func, insert, select, text, update

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.case_json import case_from_json, case_to_json
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.context import asked_from_json, asked_to_json
from watchfloor_core.errors import NotFoundError
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.query import TimeRange
from watchfloor_core.logs.source import Coverage, Health
from watchfloor_core.store.evidence import UseKey, keep_evidence, read_evidence
from watchfloor_core.store.schema_investigation import evidence_use, investigation, investigation_query


class InvestigationStatus(StrEnum):
    DUE = "due"
    """Written with the escalation; its workflow is to be started."""
    RUNNING = "running"
    DONE = "done"
    SUPERSEDED = "superseded"
    """The incident moved on before it began; a later revision is investigated instead."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class InvestigationKey:
    """One investigation: of one revision of one incident."""

    tenant: str
    incident_id: str
    revision: int

    def answer(self, digest: str) -> UseKey:
        return UseKey(self.tenant, self.incident_id, self.revision, digest)


@dataclass(frozen=True, slots=True)
class StoredInvestigation:
    """Its row, without the case."""

    key: InvestigationKey
    status: InvestigationStatus
    engine: str | None
    started_us: int | None
    round: int
    report: str | None
    problem: str | None


_DUE: Final = text(
    "INSERT INTO investigation (tenant, incident_id, revision, status, due_us, round) "
    "VALUES (:tenant, :incident_id, :revision, 'due', :due_us, 0) ON CONFLICT DO NOTHING"
)
WAIT_S: Final = 5
LONGEST_WAIT_S: Final = 3_600
_CASE: Final = ""
"""What stands for a question where evidence is part of the case itself."""


def make_due(connection: Connection, tenant: str, incident_id: str, revision: int) -> None:
    """Have this revision investigated, once. What waits for an earlier one is put aside.

    The first investigation of an incident begins at once; each further one waits longer, so that an incident that grows
    for hours is not investigated anew every few seconds.
    """
    ours = (investigation.c.tenant == tenant, investigation.c.incident_id == incident_id)
    now = now_us()
    connection.execute(
        update(investigation)
        .where(*ours, investigation.c.revision < revision, investigation.c.status == InvestigationStatus.DUE)
        .values(status=InvestigationStatus.SUPERSEDED, ended_us=now)
    )
    before = connection.execute(
        select(func.count())
        .select_from(investigation)
        .where(*ours, investigation.c.revision < revision, investigation.c.status != InvestigationStatus.SUPERSEDED)
    ).scalar_one()
    wait_s = min(LONGEST_WAIT_S, WAIT_S * before**2)
    connection.execute(
        _DUE,
        {"tenant": tenant, "incident_id": incident_id, "revision": revision, "due_us": now + wait_s * MICROSECONDS},
    )


def read_investigation(connection: Connection, key: InvestigationKey) -> StoredInvestigation:
    """Raises `NotFoundError`."""
    row = connection.execute(
        select(
            investigation.c.status,
            investigation.c.engine,
            investigation.c.started_us,
            investigation.c.round,
            investigation.c.report,
            investigation.c.problem,
        ).where(*_is(investigation, key))
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"no investigation of revision {key.revision} of incident {key.incident_id!r}")
    return StoredInvestigation(
        key, InvestigationStatus(row.status), row.engine, row.started_us, row.round, row.report, row.problem
    )


def begin(connection: Connection, key: InvestigationKey, case: InvestigationCase, engine: str, version: str) -> None:
    """Fix the case; a second time changes nothing."""
    now = now_us()
    content = zstandard.compress(orjson.dumps(case_to_json(case)), 3)
    found = connection.execute(
        update(investigation)
        .where(*_is(investigation, key), investigation.c.content.is_(None))
        .values(
            status=InvestigationStatus.RUNNING, engine=engine, engine_version=version, started_us=now, content=content
        )
    )
    if found.rowcount:
        keep_evidence(
            connection, key.answer(_CASE), [one.evidence for one in case.alerts], agent=engine, collected_us=now
        )


def read_view(connection: Connection, key: InvestigationKey) -> CaseView:
    """All that is known so far. Raises `NotFoundError` where it has not begun, and `RecordError`."""
    row = connection.execute(
        select(investigation.c.content, investigation.c.round).where(*_is(investigation, key))
    ).one_or_none()
    if row is None or row.content is None:
        raise NotFoundError(f"the investigation of revision {key.revision} of {key.incident_id!r} has not begun")
    uses = connection.execute(
        select(evidence_use.c.digest, evidence_use.c.evidence_id)
        .where(*_is(evidence_use, key))
        .order_by(evidence_use.c.digest, evidence_use.c.position)
    ).all()
    found = read_evidence(connection, key.tenant, {use.evidence_id for use in uses})
    by_answer: dict[str, list[str]] = {}
    for use in uses:
        by_answer.setdefault(use.digest, []).append(use.evidence_id)
    rows = connection.execute(
        select(investigation_query)
        .where(*_is(investigation_query, key), investigation_query.c.answered_us.is_not(None))
        .order_by(investigation_query.c.seq)
    ).mappings()
    answers = tuple(
        Answer(
            question=_question(one),
            evidence=tuple(found[id_] for id_ in by_answer.get(one["digest"], ())),
            coverage=tuple(_coverage(part) for part in one["coverage"]),
            is_cut=bool(one["is_cut"]),
        )
        for one in rows
    )
    case = case_from_json(json.loads(zstandard.decompress(row.content)), found)
    return CaseView(case, answers, row.round)


def put_questions(connection: Connection, key: InvestigationKey, questions: Sequence[Question], stage: str) -> int:
    """Note what is to be asked, in this order; returns how many are new."""
    known = set(connection.scalars(select(investigation_query.c.digest).where(*_is(investigation_query, key))).all())
    new = [one for one in dict.fromkeys(questions) if one.digest not in known]
    unique = list({one.digest: one for one in reversed(new)}.values())[::-1]
    rows = [
        {
            "tenant": key.tenant,
            "incident_id": key.incident_id,
            "revision": key.revision,
            "digest": one.digest,
            "seq": len(known) + number,
            "stage": stage,
            "tool": one.tool,
            "purpose": one.purpose,
            "query": asked_to_json(one.query),
        }
        for number, one in enumerate(unique)
    ]
    if rows:
        connection.execute(insert(investigation_query), rows)
    return len(rows)


def waiting_questions(connection: Connection, key: InvestigationKey) -> list[Question]:
    """Those without an answer yet, in their order. Raises `RecordError`."""
    rows = connection.execute(
        select(investigation_query)
        .where(*_is(investigation_query, key), investigation_query.c.answered_us.is_(None))
        .order_by(investigation_query.c.seq)
    ).mappings()
    return [_question(row) for row in rows]


def count_questions(connection: Connection, key: InvestigationKey) -> int:
    return int(
        connection.execute(
            select(func.count()).select_from(investigation_query).where(*_is(investigation_query, key))
        ).scalar_one()
    )


def keep_answer(connection: Connection, key: InvestigationKey, answer: Answer, agent: str) -> None:
    """With its evidence, in one transaction. An answer that is there already stays."""
    now = now_us()
    digest = answer.question.digest
    kept = connection.execute(
        update(investigation_query)
        .where(
            *_is(investigation_query, key),
            investigation_query.c.digest == digest,
            investigation_query.c.answered_us.is_(None),
        )
        .values(coverage=[_coverage_to_json(one) for one in answer.coverage], is_cut=answer.is_cut, answered_us=now)
    )
    if kept.rowcount:
        keep_evidence(connection, key.answer(digest), answer.evidence, agent=agent, collected_us=now)


def note_round(connection: Connection, key: InvestigationKey, round_: int) -> None:
    connection.execute(
        update(investigation).where(*_is(investigation, key), investigation.c.round < round_).values(round=round_)
    )


def end(
    connection: Connection,
    key: InvestigationKey,
    status: InvestigationStatus,
    *,
    report: str | None = None,
    report_sha256: str | None = None,
    problem: str | None = None,
) -> bool:
    """Conclude it, or say why it failed; False where it had ended before."""
    ended = connection.execute(
        update(investigation)
        .where(
            *_is(investigation, key),
            investigation.c.status.in_((InvestigationStatus.DUE, InvestigationStatus.RUNNING)),
        )
        .values(status=status, ended_us=now_us(), report=report, report_sha256=report_sha256, problem=problem)
    )
    return bool(ended.rowcount)


def _is(table: Any, key: InvestigationKey) -> tuple[Any, ...]:  # Any: SQLAlchemy types no table's columns
    return (
        table.c.tenant == key.tenant,
        table.c.incident_id == key.incident_id,
        table.c.revision == key.revision,
    )


def _question(row: Any) -> Question:
    return Question(asked_from_json(row["query"]), row["tool"], row["purpose"])


def _coverage_to_json(one: Coverage) -> dict[str, JsonValue]:
    content: dict[str, Any] = asdict(one)
    return content | {
        "health": one.health.value,
        "types": sorted(type_.value for type_ in one.types),
        "held": None if one.held is None else [one.held.start_us, one.held.end_us],
    }


def _coverage(content: Any) -> Coverage:
    held = content["held"]
    return Coverage(
        source=content["source"],
        health=Health(content["health"]),
        reason=content["reason"],
        held=None if held is None else TimeRange(held[0], held[1]),
        types=frozenset(EventType(one) for one in content["types"]),
    )
