"""Runs and their work as the store keeps them, and the ledger's entries about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from pydantic import JsonValue as PlainJson
from pydantic import TypeAdapter
from sqlalchemy import Connection, Row, bindparam, insert, select, update

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.schema_playbook import playbook_outbox, playbook_run, playbook_work
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import Proposer
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import RunStatus

_RUN: Final = playbook_run.c
_WORK: Final = playbook_work.c
_READ: Final = select(playbook_run).where(_RUN.tenant == bindparam("of_tenant"), _RUN.id == bindparam("of_id"))
_LOCK: Final = _READ.with_for_update()
_VALUES: Final = TypeAdapter(dict[str, Held])


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """One row."""

    tenant: str
    id: str
    incident_id: str
    playbook_id: str
    name: str
    digest: str
    content: str
    signers: tuple[str, ...]
    proposer: Proposer
    reason: str
    given: Mapping[str, Held]
    state: Mapping[str, PlainJson] | None
    status: RunStatus
    outcome: str
    stop_reason: str | None
    parent_run: str | None
    parent_work: str | None
    depth: int
    undoes_run: str | None
    decision_id: str | None
    wakes_us: int | None
    created_us: int
    updated_us: int
    ended_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredWork:
    """One row."""

    run_id: str
    number: int
    key: str
    kind: str
    """``manual``, ``action``, ``playbook`` or ``undo``."""
    step: str
    proposal_id: str | None
    child_run: str | None
    task: Mapping[str, Any] | None
    answers: tuple[str, ...]
    status: str
    """``open``, ``answered``, ``ended`` or ``dropped``."""
    is_done: bool | None
    outcome: str
    filled: Mapping[str, Held]
    answered_by: str | None
    created_us: int
    deadline_us: int | None
    ended_us: int | None


def read_run(connection: Connection, tenant: str, run_id: str, *, lock: bool = False) -> StoredRun:
    """The run; with ``lock`` no one else changes it until the transaction ends. Raises `NotFoundError`."""
    row = connection.execute(_LOCK if lock else _READ, {"of_tenant": tenant, "of_id": run_id}).one_or_none()
    if row is None:
        raise NotFoundError(f"no playbook run {run_id!r} in tenant {tenant!r}; `watchfloor playbook runs` shows them")
    return run_of(row)


def list_work(connection: Connection, tenant: str, run_id: str, *statuses: str) -> list[StoredWork]:
    """The run's work in its order; with ``statuses`` only what stands so."""
    statement = select(playbook_work).where(_WORK.tenant == tenant, _WORK.run_id == run_id)
    if statuses:
        statement = statement.where(_WORK.status.in_(statuses))
    return [work_of_row(row) for row in connection.execute(statement.order_by(_WORK.number))]


def read_work(connection: Connection, tenant: str, run_id: str, key: str, *, lock: bool = False) -> StoredWork:
    """One piece of work. Raises `NotFoundError`."""
    statement = select(playbook_work).where(_WORK.tenant == tenant, _WORK.run_id == run_id, _WORK.key == key)
    row = connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    if row is None:
        raise NotFoundError(f"run {run_id!r} has no work {key!r}; `watchfloor playbook show {run_id}` lists it")
    return work_of_row(row)


def write_run(connection: Connection, run: StoredRun, values: Mapping[str, object]) -> None:
    """Change columns of a locked run."""
    connection.execute(
        update(playbook_run)
        .where(_RUN.tenant == run.tenant, _RUN.id == run.id)
        .values({**values, "updated_us": now_us()})
    )


def write_work(connection: Connection, tenant: str, run_id: str, number: int, values: Mapping[str, object]) -> None:
    connection.execute(
        update(playbook_work)
        .where(_WORK.tenant == tenant, _WORK.run_id == run_id, _WORK.number == number)
        .values(dict(values))
    )


def wait_instead(connection: Connection, tenant: str, run_id: str, old_id: str, fresh_id: str) -> None:
    """Have a run wait for another proposal in the place of one, and count what that does among its own."""
    connection.execute(
        update(playbook_work)
        .where(_WORK.tenant == tenant, _WORK.run_id == run_id, _WORK.proposal_id == old_id, _WORK.status == "open")
        .values(proposal_id=fresh_id)
    )


def wake(connection: Connection, tenant: str, run_id: str) -> None:
    """Have the run's workflow look again, at least once; it is started where none runs."""
    connection.execute(insert(playbook_outbox).values(tenant=tenant, run_id=run_id, created_us=now_us()))


def request_stop(connection: Connection, tenant: str, run_id: str, reason: str) -> None:
    """Have a run stopped, or end one that is only picked; one that has ended is left as it is."""
    run = read_run(connection, tenant, run_id, lock=True)
    if run.status is RunStatus.PICKED:
        # Nothing of it has begun, so there is no workflow that could end it.
        body: dict[str, JsonValue] = {"stage": "ended", "outcome": RunStatus.STOPPED.value, "reason": reason}
        told = entry_of_run(run, body, attributes={SpanAttribute.OUTCOME: RunStatus.STOPPED.value})
        record_decisions(connection, tenant, [told])
        values = {"status": RunStatus.STOPPED.value, "outcome": reason, "stop_reason": reason, "ended_us": now_us()}
        write_run(connection, run, values)
    elif not run.status.is_over and run.stop_reason is None:
        write_run(connection, run, {"stop_reason": reason})
        wake(connection, tenant, run_id)


def descendants(connection: Connection, tenant: str, run_id: str) -> list[str]:
    """The run and all that stood inside it."""
    found, waiting = [], [run_id]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += connection.scalars(
            select(playbook_run.c.id).where(playbook_run.c.tenant == tenant, playbook_run.c.parent_run == one)
        )
    return found


def values_to_json(values: Mapping[str, Held]) -> dict[str, JsonValue]:
    content: dict[str, JsonValue] = _VALUES.dump_python(dict(values), mode="json")
    return content


def entry_of_run(
    run: StoredRun,
    body: Mapping[str, JsonValue],
    *,
    start_us: int | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Decision:
    """A ledger entry in the chain of the run's incident, below the latest one about the run."""
    now = now_us()
    return Decision(
        chain=run.incident_id,
        kind="playbook",
        body={"run": run.id, "playbook": run.playbook_id, "digest": run.digest, **body},
        name=SpanName.PLAYBOOK,
        start_us=now if start_us is None else start_us,
        end_us=now,
        parent_id=run.decision_id,
        attributes={
            SpanAttribute.TENANT: run.tenant,
            SpanAttribute.PLAYBOOK_RUN_ID: run.id,
            SpanAttribute.PLAYBOOK_ID: run.playbook_id,
            SpanAttribute.PLAYBOOK_DIGEST: run.digest,
            **(attributes or {}),
        },
    )


def told_as_of(decision: Decision, run: StoredRun, step: str | None) -> Decision:
    """The entry of something that a run has begun, with the run and the step in it that it belongs to."""
    body: dict[str, JsonValue] = {"run": run.id}
    attributes: dict[str, AttributeValue] = {SpanAttribute.PLAYBOOK_RUN_ID: run.id}
    if step is not None:
        body["step"] = attributes[SpanAttribute.PLAYBOOK_STEP_ID] = step
    return replace(decision, body={**decision.body, **body}, attributes={**decision.attributes, **attributes})


def run_of(row: Row[Any]) -> StoredRun:
    return StoredRun(
        tenant=row.tenant,
        id=row.id,
        incident_id=row.incident_id,
        playbook_id=row.playbook_id,
        name=row.name,
        digest=row.digest,
        content=row.content,
        signers=tuple(row.signers),
        proposer=Proposer(row.proposer, PrincipalKind(row.proposer_kind), row.requester),
        reason=row.reason,
        given=_VALUES.validate_python(row.given),
        state=row.state,
        status=RunStatus(row.status),
        outcome=row.outcome,
        stop_reason=row.stop_reason,
        parent_run=row.parent_run,
        parent_work=row.parent_work,
        depth=row.depth,
        undoes_run=row.undoes_run,
        decision_id=row.decision_id,
        wakes_us=row.wakes_us,
        created_us=row.created_us,
        updated_us=row.updated_us,
        ended_us=row.ended_us,
    )


def work_of_row(row: Row[Any]) -> StoredWork:
    return StoredWork(
        run_id=row.run_id,
        number=row.number,
        key=row.key,
        kind=row.kind,
        step=row.step,
        proposal_id=row.proposal_id,
        child_run=row.child_run,
        task=row.task,
        answers=tuple(row.answers),
        status=row.status,
        is_done=row.is_done,
        outcome=row.outcome,
        filled=_VALUES.validate_python(row.filled or {}),
        answered_by=row.answered_by,
        created_us=row.created_us,
        deadline_us=row.deadline_us,
        ended_us=row.ended_us,
    )
