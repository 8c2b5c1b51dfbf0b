"""One action, whole: what was proposed, how it was ruled on, who agreed, what was done and what was found then."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from watchfloor_core.clock import MICROSECONDS, to_iso
from watchfloor_core.store.schema_authority import (
    action_grant,
    action_proposal,
    approval_vote,
    execution,
    lease,
)
from watchfloor_service.actions.listing import ActionSummary, iso, summary_of
from watchfloor_workflows.authority.records import StoredProposal, read_proposal


@dataclass(frozen=True, slots=True)
class VoteView:
    """A person's decision."""

    principal: str
    decision: str
    roles: list[str]
    comment: str
    channel: str
    key_id: str | None
    decided_at: str
    seconds_to_decide: int | None
    """Since they were first shown the view; None where they never were."""


@dataclass(frozen=True, slots=True)
class GrantView:
    """The permit, without its signature: an envelope is for the executor alone."""

    grant_id: str
    issued_at: str
    expires_at: str


@dataclass(frozen=True, slots=True)
class ExecutionView:
    grant_id: str
    tool: str
    executor: str
    phase: str
    """``acting`` or ``done``."""
    outcome: str | None
    """``succeeded``, ``failed`` or ``unknown``."""
    state_before: Any  # Any: JSON as the tool wrote it, passed on as it is
    receipt: Any  # Any: as above
    """What was found on reading back."""
    consumed_at: str
    ended_at: str | None


@dataclass(frozen=True, slots=True)
class LeaseView:
    """A containment in force, or that was."""

    state: str
    """``open``, ``ending`` or ``ended``."""
    opened_at: str
    ends_at: str | None
    """None: until a person ends it."""
    ended_at: str | None
    undo_proposal_id: str | None


@dataclass(frozen=True, slots=True)
class ActionDetail:
    action: ActionSummary
    purpose: str
    digest: str | None
    """None until it is sealed."""
    view: str | None
    content: Any  # Any: JSON of the sealed proposal
    """What the digest covers."""
    ruling: Any  # Any: JSON of the ruling
    """Level, caps and every rule that took part."""
    votes: list[VoteView]
    grants: list[GrantView]
    execution: ExecutionView | None
    lease: LeaseView | None
    undos: list[str]
    """Proposals that take it back."""


def load_action(connection: Connection, tenant: str, proposal_id: str) -> ActionDetail:
    """One action. Raises `NotFoundError`."""
    stored = read_proposal(connection, tenant, proposal_id)
    return ActionDetail(
        action=summary_of(stored),
        purpose=stored.draft.purpose,
        digest=stored.digest,
        view=stored.view,
        content=None if stored.proposal is None else json.loads(stored.proposal.preimage()),
        ruling=None if stored.ruling is None else {k: v for k, v in stored.ruling.items() if k != "terms"},
        votes=_votes(connection, stored),
        grants=_grants(connection, stored),
        execution=_execution(connection, stored),
        lease=_lease(connection, stored),
        undos=_undos(connection, stored),
    )


def _votes(connection: Connection, stored: StoredProposal) -> list[VoteView]:
    rows = connection.execute(
        select(approval_vote)
        .where(approval_vote.c.tenant == stored.tenant, approval_vote.c.proposal_id == stored.id)
        .order_by(approval_vote.c.decided_us, approval_vote.c.principal)
    )
    return [
        VoteView(
            principal=row.principal,
            decision=row.decision,
            roles=list(row.roles),
            comment=row.comment,
            channel=row.channel,
            key_id=row.key_id,
            decided_at=to_iso(row.decided_us),
            seconds_to_decide=None if row.shown_us is None else max(0, row.decided_us - row.shown_us) // MICROSECONDS,
        )
        for row in rows
    ]


def _grants(connection: Connection, stored: StoredProposal) -> list[GrantView]:
    rows = connection.execute(
        select(action_grant.c.id, action_grant.c.issued_us, action_grant.c.expires_us)
        .where(action_grant.c.tenant == stored.tenant, action_grant.c.proposal_id == stored.id)
        .order_by(action_grant.c.issued_us, action_grant.c.id)
    )
    return [GrantView(row.id, to_iso(row.issued_us), to_iso(row.expires_us)) for row in rows]


def _execution(connection: Connection, stored: StoredProposal) -> ExecutionView | None:
    row = connection.execute(
        select(execution).where(execution.c.tenant == stored.tenant, execution.c.proposal_id == stored.id)
    ).one_or_none()
    if row is None:
        return None
    return ExecutionView(
        grant_id=row.grant_id,
        tool=row.tool,
        executor=row.executor,
        phase=row.phase,
        outcome=row.outcome,
        state_before=row.state_before,
        receipt=row.receipt,
        consumed_at=to_iso(row.consumed_us),
        ended_at=iso(row.ended_us),
    )


def _lease(connection: Connection, stored: StoredProposal) -> LeaseView | None:
    row = connection.execute(
        select(lease).where(lease.c.tenant == stored.tenant, lease.c.proposal_id == stored.id)
    ).one_or_none()
    if row is None:
        return None
    return LeaseView(
        state=row.state,
        opened_at=to_iso(row.opened_us),
        ends_at=iso(row.ends_us),
        ended_at=iso(row.ended_us),
        undo_proposal_id=row.undo_proposal_id,
    )


def _undos(connection: Connection, stored: StoredProposal) -> list[str]:
    found = select(action_proposal.c.id).where(
        action_proposal.c.tenant == stored.tenant, action_proposal.c.undo_of == stored.id
    )
    return list(connection.execute(found.order_by(action_proposal.c.created_us, action_proposal.c.id)).scalars())
