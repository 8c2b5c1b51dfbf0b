"""Runs of playbooks to be shown: as a list, and one whole."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue
from sqlalchemy import Connection, select

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import NotFoundError
from watchfloor_core.store.schema_playbook import playbook_run, playbook_step
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_playbooks.running.state import state_from_json
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.playbooks.records import StoredRun, StoredWork, list_work, read_run, run_of
from watchfloor_workflows.playbooks.tasks import declared_for, open_tasks
from watchfloor_workflows.playbooks.undoing import done_by

MAX_PAGE: Final = 200
_RUN_ID: Final = re.compile(r"pbr-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a list."""

    run_id: str
    incident_id: str
    playbook_id: str
    name: str
    """In the playbook's words."""
    status: str
    outcome: str
    """Why it ended so, or what is left."""
    requester: str | None
    undoes_run: str | None
    inside_run: str | None
    waits_for: int
    """Tasks and actions that are not ended."""
    created_at: str
    ended_at: str | None


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One variable that a task asks for."""

    name: str
    type: str
    description: str | None


@dataclass(frozen=True, slots=True)
class WorkView:
    """One piece of work of a run."""

    key: str
    kind: str
    step: str
    """The step's name, in the playbook's words."""
    status: str
    outcome: str
    proposal_id: str | None
    proposal_status: str | None
    action_class: str | None
    target_shown: str | None
    run_inside: str | None
    task: str | None
    """Of a task for people: the text, in quotes with everything invisible made visible."""
    asked: str | None
    answers: list[AnswerView]
    answered_by: str | None
    deadline_at: str | None


@dataclass(frozen=True, slots=True)
class StepView:
    name: str
    step: str
    outcome: str
    reason: str
    round: int
    started_at: str
    ended_at: str


@dataclass(frozen=True, slots=True)
class DoneView:
    """One effect of a run, and what would become of it if the run were taken back."""

    proposal_id: str
    action_class: str
    target_shown: str
    undo: str | None
    left: str | None


@dataclass(frozen=True, slots=True)
class ValueView:
    """What a variable holds, and who could have written it."""

    value: JsonValue
    integrity: str
    endorsed_by: str | None


@dataclass(frozen=True, slots=True)
class RunView:
    """One run, whole."""

    run: RunSummary
    digest: str
    signers: list[str]
    proposer: str
    reason: str
    values: dict[str, ValueView]
    """Each variable's value with who could have written it, as it is now."""
    work: list[WorkView]
    steps: list[StepView]
    done: list[DoneView]


@dataclass(frozen=True, slots=True)
class TaskView:
    """A task that waits for people."""

    run_id: str
    incident_id: str
    playbook: str
    work: WorkView


def run_id_of(text: str) -> str:
    """``text``, where it can be a run's id. Raises `NotFoundError`: PostgreSQL looks for no text with a NUL."""
    if _RUN_ID.fullmatch(text) is None:
        raise NotFoundError(f"no playbook run {text[:40]!a} in this tenant; `watchfloor playbook runs` shows them")
    return text


def list_runs(
    connection: Connection,
    tenant: str,
    *,
    incident_id: str | None = None,
    statuses: Sequence[RunStatus] = (),
    limit: int = 50,
) -> list[RunSummary]:
    """The tenant's runs, the newest first."""
    table = playbook_run.c
    statement = select(playbook_run).where(table.tenant == tenant)
    if incident_id is not None:
        statement = statement.where(table.incident_id == incident_id)
    if statuses:
        statement = statement.where(table.status.in_([one.value for one in statuses]))
    ordered = statement.order_by(table.created_us.desc(), table.id).limit(min(limit, MAX_PAGE))
    return [_summary(connection, run_of(row)) for row in connection.execute(ordered)]


def load_run(connection: Connection, tenant: str, run_id: str) -> RunView:
    """Raises `NotFoundError`."""
    run = read_run(connection, tenant, run_id_of(run_id))
    names = _names(run)
    rows = connection.execute(
        select(playbook_step)
        .where(playbook_step.c.tenant == tenant, playbook_step.c.run_id == run.id)
        .order_by(playbook_step.c.id)
    )
    return RunView(
        run=_summary(connection, run),
        digest=run.digest,
        signers=list(run.signers),
        proposer=run.proposer.name,
        reason=run.reason,
        values=_values(run),
        work=[_work(connection, run, names, one) for one in list_work(connection, tenant, run.id)],
        steps=[
            StepView(
                names.get(row.step, row.step),
                row.step,
                row.outcome,
                row.reason,
                row.round,
                to_iso(row.started_us),
                to_iso(row.ended_us),
            )
            for row in rows
        ],
        done=[
            DoneView(one.proposal_id, one.action_class, quote_untrusted(one.target), one.undo, one.left)
            for one in done_by(connection, tenant, run.id)
        ],
    )


def list_tasks(connection: Connection, tenant: str) -> list[TaskView]:
    """What waits for people, the oldest first."""
    found = []
    for work in open_tasks(connection, tenant):
        run = read_run(connection, tenant, work.run_id)
        found.append(TaskView(run.id, run.incident_id, run.name, _work(connection, run, _names(run), work)))
    return found


def _summary(connection: Connection, run: StoredRun) -> RunSummary:
    waiting = list_work(connection, run.tenant, run.id, "open")
    return RunSummary(
        run_id=run.id,
        incident_id=run.incident_id,
        playbook_id=run.playbook_id,
        name=run.name,
        status=run.status.value,
        outcome=run.outcome,
        requester=run.proposer.requester,
        undoes_run=run.undoes_run,
        inside_run=run.parent_run,
        waits_for=0 if run.status.is_over else len(waiting),
        created_at=to_iso(run.created_us),
        ended_at=None if run.ended_us is None else to_iso(run.ended_us),
    )


def _work(connection: Connection, run: StoredRun, names: dict[str, str], work: StoredWork) -> WorkView:
    stored = None if work.proposal_id is None else read_proposal(connection, run.tenant, work.proposal_id)
    task = work.task or {}
    declared = declared_for(run, work) if work.kind == "manual" else {}
    return WorkView(
        key=work.key,
        kind=work.kind,
        step=names.get(work.step, work.step),
        status=work.status,
        outcome=work.outcome,
        proposal_id=work.proposal_id,
        proposal_status=None if stored is None else stored.status.value,
        action_class=None if stored is None else stored.draft.action_class,
        target_shown=None if stored is None else quote_untrusted(str(stored.draft.target.value)),
        run_inside=work.child_run,
        task=quote_untrusted(str(task["text"]), 2_000) if "text" in task else None,
        asked=quote_untrusted(str(task["agent"]), 200) if "agent" in task else None,
        answers=[AnswerView(name, one.type, one.description) for name, one in declared.items()],
        answered_by=work.answered_by,
        deadline_at=None if work.deadline_us is None else to_iso(work.deadline_us),
    )


def _values(run: StoredRun) -> dict[str, ValueView]:
    held = run.given if run.state is None or run.undoes_run is not None else state_from_json(run.state).values
    return {name: ValueView(one.value, one.integrity.name.lower(), one.endorsed_by) for name, one in held.items()}


def _names(run: StoredRun) -> dict[str, str]:
    steps = json.loads(run.content)["workflow"]
    return {key: str(one.get("name") or key) for key, one in steps.items()}
