"""Tasks that a playbook has for people: who is told, and what their answer fills."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_core.alert import Integrity
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import ConfigurationError, ConflictError, Problem, RecordError
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.notice import ApprovalNotice, NoticeKind
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_playbook import playbook_work
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.endorsement import named_by
from watchfloor_guardrails.limits import APPROVER_ROLES
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.running.values import Held, checked
from watchfloor_workflows.authority.announcing import Notices
from watchfloor_workflows.playbook_messages import RunRef
from watchfloor_workflows.playbooks.records import (
    StoredRun,
    StoredWork,
    entry_of_run,
    read_run,
    read_work,
    values_to_json,
    wake,
    work_of_row,
    write_run,
    write_work,
)
from watchfloor_workflows.playbooks.starting import loaded

MAX_COMMENT: Final = 4_000
"""Characters of what people say to a task."""
MAX_VALUE: Final = 65_536
"""Characters of one answer, as of any text of a playbook."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says to a task."""

    is_done: bool
    """False: it could not be done, and the step fails."""
    values: Mapping[str, str]
    """By variable, ``__name__``."""
    comment: str


def answer_task(connection: Connection, tenant: str, run_id: str, key: str, answer: Answer, person: Principal) -> None:
    """Take a person's answer in; the run goes on with it.

    Raises `NotFoundError`, `ConflictError` where it is answered or no longer waited for, and `ConfigurationError` with
    all that is missing or wrong.
    """
    run = read_run(connection, tenant, run_id, lock=True)
    work = read_work(connection, tenant, run_id, key, lock=True)
    if work.kind != "manual":
        raise ConflictError(f"{key!r} of run {run_id!r} is no task for people")
    if work.status != "open" or run.status.is_over:
        why = f"{work.answered_by} answered it" if work.answered_by else work.outcome or f"the run is {run.status}"
        raise ConflictError(f"task {key!r} of run {run_id!r} is not waited for any more: {why}")
    filled = _filled(run, work, answer, person)
    outcome = answer.comment if answer.is_done else f"{person.name}: {answer.comment or 'it could not be done'}"
    values = {
        "status": "answered",
        "is_done": answer.is_done,
        "outcome": outcome[:MAX_COMMENT],
        "filled": values_to_json(filled),
        "answered_by": person.name,
    }
    write_work(connection, tenant, run_id, work.number, values)
    told = entry_of_run(
        run,
        {
            "stage": "answered",
            "step": work.step,
            "task": key,
            "is_done": answer.is_done,
            "values": {name: str(held.value)[:200] for name, held in filled.items()},
            "comment": answer.comment,
            "principal": person.name,
        },
        start_us=work.created_us,
        attributes={SpanAttribute.PRINCIPAL: person.name, SpanAttribute.PLAYBOOK_STEP_ID: work.step},
    )
    record_decisions(connection, tenant, [told])
    write_run(connection, run, {"decision_id": told.id})
    wake(connection, tenant, run_id)


def _filled(run: StoredRun, work: StoredWork, answer: Answer, person: Principal) -> dict[str, Held]:
    declared = declared_for(run, work)
    problems, filled = [], {}
    if len(answer.comment) > MAX_COMMENT:
        problems.append(f"the comment has {len(answer.comment):,} characters; at most {MAX_COMMENT:,} are kept")
    for name, text in answer.values.items():
        if name not in work.answers:
            wanted = ", ".join(work.answers) or "none"
            problems.append(f"{quote_untrusted(name, 60)} is not asked for; it asks for {wanted}")
        elif not text:
            # Nothing is an answer, too: there was no such account.
            filled[name] = Held(None, Integrity.HUMAN, f"person:{person.name}")
        elif len(text) > MAX_VALUE or "\0" in text:
            problems.append(f"{name} is longer than {MAX_VALUE:,} characters or holds a NUL")
        else:
            try:
                filled[name] = checked(name, declared[name], Held.of(named_by(text, person)))
            except RecordError as error:
                problems.append(str(error))
    missing = [name for name in work.answers if name not in answer.values]
    if answer.is_done and missing:
        problems.append(f"it asks for {', '.join(missing)} as well; give a value for each")
    if problems:
        raise ConfigurationError([Problem(one) for one in problems])
    return filled


def declared_for(run: StoredRun, work: StoredWork) -> dict[str, Variable]:
    """The variables that a task's answer fills, as the playbook declares them."""
    playbook = loaded(run.content)
    known = {**playbook.head.playbook_variables, **playbook.steps[work.step].step_variables}
    return {name: known[name] for name in work.answers}


def open_tasks(connection: Connection, tenant: str, *, run_id: str | None = None, limit: int = 200) -> list[StoredWork]:
    """What waits for people, the oldest first."""
    table = playbook_work.c
    statement = select(playbook_work).where(table.tenant == tenant, table.kind == "manual", table.status == "open")
    if run_id is not None:
        statement = statement.where(table.run_id == run_id)
    return [work_of_row(row) for row in connection.execute(statement.order_by(table.created_us).limit(limit))]


def tell_task(store: Store, notices: Notices, ref: RunRef, key: str, kind: NoticeKind = NoticeKind.TASK) -> None:
    """Tell people of a task, unless it is answered already."""
    with store.read() as connection:
        run = read_run(connection, ref.tenant, ref.run_id)
        work = read_work(connection, ref.tenant, ref.run_id, key)
    if work.status == "open":
        notices.send(_notice(run, work, kind))


def remind(store: Store, notices: Notices) -> int:
    """Tell people, and those who lead, of what has waited for half of its time; returns of how many tasks."""
    table, now = playbook_work.c, now_us()
    with store.write() as connection:
        due = connection.execute(
            select(playbook_work)
            .where(
                table.kind == "manual",
                table.status == "open",
                table.reminded_us.is_(None),
                table.deadline_us - (table.deadline_us - table.created_us) / 2 <= now,
            )
            .order_by(table.created_us)
            .limit(100)
            .with_for_update(skip_locked=True)
        ).all()
        for row in due:
            write_work(connection, row.tenant, row.run_id, row.number, {"reminded_us": now})
    for row in due:
        tell_task(store, notices, RunRef(row.tenant, row.run_id), row.key, NoticeKind.TASK_REMIND)
    return len(due)


def _notice(run: StoredRun, work: StoredWork, kind: NoticeKind) -> ApprovalNotice:
    task = work.task or {}
    text = quote_untrusted(str(task.get("text", "")), 300)
    return ApprovalNotice(
        tenant=run.tenant,
        proposal_id=run.id,
        incident_id=run.incident_id,
        kind=kind,
        action_class=f"task {work.key} of playbook {quote_untrusted(run.name, 80)}",
        target=text,
        digest=run.digest,
        roles=APPROVER_ROLES[:1] if kind is NoticeKind.TASK else APPROVER_ROLES,
        deadline_us=work.deadline_us or run.created_us + MICROSECONDS,
        text=f"{quote_untrusted(str(task.get('agent', '')), 80)} is asked: {text}",
    )
