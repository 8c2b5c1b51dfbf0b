"""Taking a run back: what it did is undone in reverse order, each undo through the gate, and each waited for.

The run that takes back is a row like any other, without a playbook's steps: its work is one undo after the other. What
cannot be undone is told when it begins and again when it ends.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, func, insert, select

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import ConfigurationError, ConflictError, NotFoundError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.schema_authority import action_proposal, execution, lease
from watchfloor_core.store.schema_playbook import playbook_run, playbook_work
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.draft import MAX_PURPOSE
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows.authority.drafting import prepare_action
from watchfloor_workflows.authority.leases import undo_draft, undo_under_way
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.voting import void_unless_begun
from watchfloor_workflows.playbooks.records import (
    StoredRun,
    StoredWork,
    descendants,
    entry_of_run,
    list_work,
    read_run,
    told_as_of,
    wake,
    write_run,
    write_work,
)

_LOOK_AGAIN_US: Final = 2 * MICROSECONDS
"""While something of the run is still being carried out, which nobody tells a run that takes it back."""


@dataclass(frozen=True, slots=True)
class Done:
    """One action of a run that was carried out, or may have been."""

    proposal_id: str
    action_class: str
    target: str
    undo: str | None
    """The class that takes it back; None where nothing does or nothing has to."""
    left: str | None
    """Why it is not undone, in words; None where it is to be."""


def done_by(connection: Connection, tenant: str, run_id: str) -> list[Done]:
    """What a run and those inside it did, the latest first: the order in which it is taken back."""
    inside = descendants(connection, tenant, run_id)
    rows = connection.execute(
        select(playbook_work.c.proposal_id, func.max(execution.c.consumed_us).label("at"))
        .join(
            execution,
            (execution.c.tenant == playbook_work.c.tenant) & (execution.c.proposal_id == playbook_work.c.proposal_id),
        )
        .where(playbook_work.c.tenant == tenant, playbook_work.c.run_id.in_(inside), playbook_work.c.kind == "action")
        .group_by(playbook_work.c.proposal_id)
        .order_by(func.max(execution.c.consumed_us).desc(), playbook_work.c.proposal_id)
    )
    return [found for row in rows if (found := _done(connection, tenant, row.proposal_id)) is not None]


def _done(connection: Connection, tenant: str, proposal_id: str) -> Done | None:
    stored = read_proposal(connection, tenant, proposal_id)
    known = CATALOGUE.get(stored.draft.action_class)
    if known is None or stored.status not in (ProposalStatus.SUCCEEDED, ProposalStatus.UNKNOWN):
        return None
    left = None
    if stored.status is ProposalStatus.UNKNOWN:
        left = "whether it took effect is not known; look at the target"
    elif known.leaves_nothing:
        left = "nothing of it remains"
    elif known.undo is None:
        left = "it cannot be taken back"
    elif _is_ended(connection, stored):
        left = "it has ended already"
    return Done(proposal_id, known.name, str(stored.draft.target.value), known.undo, left)


def _is_ended(connection: Connection, stored: StoredProposal) -> bool:
    state = connection.execute(
        select(lease.c.state).where(lease.c.tenant == stored.tenant, lease.c.proposal_id == stored.id)
    ).scalar_one_or_none()
    if state is not None:
        return bool(state == "ended")
    undone = connection.execute(
        select(action_proposal.c.id).where(
            action_proposal.c.tenant == stored.tenant,
            action_proposal.c.undo_of == stored.id,
            action_proposal.c.status == ProposalStatus.SUCCEEDED.value,
        )
    ).first()
    return undone is not None


def undoing_of(connection: Connection, tenant: str, run_id: str) -> str | None:
    """The run that takes this one back and has not ended; None where there is none."""
    found: str | None = connection.execute(
        select(playbook_run.c.id).where(
            playbook_run.c.tenant == tenant,
            playbook_run.c.undoes_run == run_id,
            playbook_run.c.status == RunStatus.RUNNING.value,
        )
    ).scalar_one_or_none()
    return found


def start_undoing(connection: Connection, run: StoredRun, proposer: Proposer, reason: str) -> str:
    """Take a locked run back; returns the id of the run that does it, and the one under way where there is one.

    Raises `ConflictError` where it takes another one back itself, or is still going on.
    """
    latest = read_run(connection, run.tenant, run.id)
    if run.undoes_run is not None:
        raise ConflictError(f"run {run.id!r} takes run {run.undoes_run!r} back; start the playbook anew instead")
    if not latest.status.is_over:
        raise ConflictError(f"run {run.id!r} is still going on; `watchfloor playbook stop {run.id}` ends it")
    under_way = undoing_of(connection, run.tenant, run.id)
    if under_way is not None:
        return under_way
    undoing_id, now = f"pbr-{secrets.token_hex(8)}", now_us()
    done = done_by(connection, run.tenant, run.id)
    body: dict[str, JsonValue] = {
        "stage": "undoing",
        "by": undoing_id,
        "reason": reason[:MAX_PURPOSE],
        "requester": proposer.requester,
        "undone": [one.proposal_id for one in done if one.left is None],
        "left": [{"proposal": one.proposal_id, "why": one.left} for one in done if one.left is not None],
    }
    told = entry_of_run(latest, body)
    connection.execute(
        insert(playbook_run).values(
            tenant=run.tenant,
            id=undoing_id,
            incident_id=run.incident_id,
            playbook_id=run.playbook_id,
            name=run.name,
            digest=run.digest,
            content=run.content,
            signers=list(run.signers),
            proposer=proposer.name,
            proposer_kind=proposer.kind.value,
            requester=proposer.requester,
            reason=reason[:MAX_PURPOSE],
            given={},
            status=RunStatus.RUNNING.value,
            outcome="",
            depth=0,
            undoes_run=run.id,
            decision_id=told.id,
            created_us=now,
            updated_us=now,
        )
    )
    record_decisions(connection, run.tenant, [told])
    wake(connection, run.tenant, undoing_id)
    return undoing_id


def turn_back(connection: Connection, run: StoredRun) -> None:
    """One turn of a locked run that takes another one back: note how the latest undo ended, and begin the next."""
    if run.stop_reason is None and _is_still_acting(connection, run.tenant, str(run.undoes_run)):
        # What is being carried out just now is to be taken back too, and the latest comes first.
        write_run(connection, run, {"wakes_us": now_us() + _LOOK_AGAIN_US})
        return
    every = list_work(connection, run.tenant, run.id)
    decisions: list[Decision] = []
    for work in every:
        if work.status == "open" and run.stop_reason is not None:
            # One that others began goes on without this run.
            reason = f"its playbook: {run.stop_reason}"
            if read_proposal(connection, run.tenant, str(work.proposal_id)).draft.run_id == run.id:
                decisions += void_unless_begun(connection, run.tenant, str(work.proposal_id), reason)
        if work.status == "open" and not _note_end(connection, run, work, decisions):
            record_decisions(connection, run.tenant, decisions)
            return  # One at a time: the next undo may rest on this one.
    every = list_work(connection, run.tenant, run.id)
    tried = {str((work.task or {}).get("undoes")) for work in every}
    for one in done_by(connection, run.tenant, str(run.undoes_run)):
        if one.left is not None or one.proposal_id in tried:
            continue
        if run.stop_reason is not None:
            break
        if _begin(connection, run, one, len(every), decisions):
            record_decisions(connection, run.tenant, decisions)
            write_run(connection, run, {"wakes_us": None})
            return
        every = list_work(connection, run.tenant, run.id)
    _end(connection, run, every, decisions)


def _is_still_acting(connection: Connection, tenant: str, run_id: str) -> bool:
    """Whether the run, or one inside it, still goes on, or an action of theirs has not ended."""
    inside = descendants(connection, tenant, run_id)
    going_on = select(playbook_run.c.id).where(
        playbook_run.c.tenant == tenant,
        playbook_run.c.id.in_(inside),
        playbook_run.c.status == RunStatus.RUNNING.value,
    )
    acting = (
        select(playbook_work.c.proposal_id)
        .join(
            action_proposal,
            (action_proposal.c.tenant == playbook_work.c.tenant)
            & (action_proposal.c.id == playbook_work.c.proposal_id),
        )
        .where(
            playbook_work.c.tenant == tenant,
            playbook_work.c.run_id.in_(inside),
            action_proposal.c.status.in_([one.value for one in ProposalStatus if one.is_open]),
        )
    )
    return any(connection.execute(one.limit(1)).first() is not None for one in (going_on, acting))


def _note_end(connection: Connection, run: StoredRun, work: StoredWork, decisions: list[Decision]) -> bool:
    """False where the undo is still under way."""
    stored = read_proposal(connection, run.tenant, str(work.proposal_id))
    if stored.status.is_open:
        return False
    is_done = stored.status is ProposalStatus.SUCCEEDED
    reason = "" if is_done else f"{stored.status}{': ' + stored.reason if stored.reason else ''}"
    values = {"status": "ended", "is_done": is_done, "outcome": reason, "ended_us": now_us()}
    write_work(connection, run.tenant, run.id, work.number, values)
    body: dict[str, JsonValue] = {
        "stage": "undone" if is_done else "not_undone",
        "proposal": str((work.task or {}).get("undoes")),
        "undo": stored.id,
        "reason": reason,
    }
    attributes: dict[str, AttributeValue] = {
        SpanAttribute.OUTCOME: stored.status.value,
        SpanAttribute.PROPOSAL_ID: stored.id,
    }
    decisions.append(entry_of_run(run, body, start_us=work.created_us, attributes=attributes))
    return True


def _begin(connection: Connection, run: StoredRun, one: Done, number: int, decisions: list[Decision]) -> bool:
    """True where its undo is under way; else the row says why there is none."""
    row: dict[str, object] = {"status": "open", "outcome": "", "is_done": None}
    try:
        stored = read_proposal(connection, run.tenant, one.proposal_id, lock=True)
        draft = undo_draft(connection, stored, run.proposer, f"playbook run {run.undoes_run} is taken back")
        row["proposal_id"] = undo_under_way(connection, stored)
        if row["proposal_id"] is None:
            told = replace(draft, run_id=run.id)
            row["proposal_id"], decision = prepare_action(connection, run.tenant, told, starts_itself=False)
            decisions.append(told_as_of(decision, run, None))
    except (ConfigurationError, NotFoundError) as error:
        row |= {"status": "ended", "outcome": str(error), "is_done": False, "ended_us": now_us()}
    connection.execute(
        insert(playbook_work).values(
            tenant=run.tenant,
            run_id=run.id,
            number=number,
            key=f"u{number}",
            kind="undo",
            step=one.action_class,
            task={"undoes": one.proposal_id, "target": one.target},
            answers=[],
            created_us=now_us(),
            **row,
        )
    )
    return row["status"] == "open"


def _end(connection: Connection, run: StoredRun, every: list[StoredWork], decisions: list[Decision]) -> None:
    failed = [work for work in every if not work.is_done]
    still = [one for one in done_by(connection, run.tenant, str(run.undoes_run)) if one.left != "it has ended already"]
    left = [f"{one.action_class} ({one.proposal_id}): {one.left}" for one in still if one.left is not None]
    left += [f"{work.step} ({(work.task or {}).get('undoes')}): {work.outcome}" for work in failed]
    harmless = all(one.left == "nothing of it remains" for one in still if one.left is not None)
    is_whole = not failed and harmless and run.stop_reason is None
    status = (
        RunStatus.STOPPED if run.stop_reason is not None else (RunStatus.SUCCEEDED if is_whole else RunStatus.FAILED)
    )
    outcome = run.stop_reason or ("" if is_whole else "left as it is: ") + "; ".join(left)
    body: dict[str, JsonValue] = {"stage": "ended", "outcome": status.value, "reason": outcome}
    attributes: dict[str, AttributeValue] = {SpanAttribute.OUTCOME: status.value}
    decisions.append(entry_of_run(run, body, start_us=run.created_us, attributes=attributes))
    record_decisions(connection, run.tenant, decisions)
    write_run(connection, run, {"status": status.value, "outcome": outcome, "ended_us": now_us(), "wakes_us": None})
