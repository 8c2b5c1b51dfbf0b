"""The end of a containment: its stated undo, proposed by the lease itself and ruled on like every action."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from watchfloor_core.alert import Integrity
from watchfloor_core.errors import NotFoundError
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal, lease
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_workflows.action_messages import EndLeaseResult, ProposalRef
from watchfloor_workflows.authority.drafting import prepare_action
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.records import StoredProposal, read_proposal

LEASE_AGENT = "lease"
"""Principal under which a lease proposes its own end."""


def end_lease(store: Store, ref: ProposalRef) -> EndLeaseResult:
    """Propose the undo of a containment whose time is up. Safe to repeat: one undo is under way at a time.

    Raises `NotFoundError`.
    """
    with store.write() as connection:
        stored = read_proposal(connection, ref.tenant, ref.proposal_id, lock=True)
        if _state(connection, stored) == "ended":
            return EndLeaseResult(None)
        under_way = undo_under_way(connection, stored)
        if under_way is not None:
            return EndLeaseResult(under_way)
        draft = undo_draft(connection, stored, Proposer(LEASE_AGENT, PrincipalKind.SERVICE), "its time limit is over")
        undo_id, decision = prepare_action(connection, ref.tenant, draft, starts_itself=False)
        connection.execute(
            update(lease)
            .where(lease.c.tenant == ref.tenant, lease.c.proposal_id == ref.proposal_id)
            .values(state="ending", undo_proposal_id=undo_id)
        )
        record_decisions(connection, ref.tenant, [decision])
        return EndLeaseResult(undo_id)


def undo_draft(connection: Connection, stored: StoredProposal, proposer: Proposer, purpose: str) -> ActionDraft:
    """The draft that takes a succeeded action back. Raises `NotFoundError` where there is nothing to take back."""
    proposal = stored.sealed()
    known = CATALOGUE.get(proposal.action_class)
    if known is None or known.undo is None or stored.status is not ProposalStatus.SUCCEEDED:
        raise NotFoundError(f"proposal {stored.id!r} ({stored.status}) has no effect that can be taken back")
    facts = facts_of(connection, stored.tenant, stored.incident_id, proposal.target_kind, str(proposal.target.value))
    return ActionDraft(
        incident_id=stored.incident_id,
        action_class=known.undo,
        target_kind=proposal.target_kind,
        # What was acted on is known from our own record; no alert names it anew.
        target=Labelled(proposal.target.value, Integrity.DERIVED),
        arguments={},
        tool=proposal.tool,
        lease_s=None,
        proposer=proposer,
        facts=stored.draft.facts if facts is None else facts,
        purpose=purpose,
        undo_of=stored.id,
    )


def _state(connection: Connection, stored: StoredProposal) -> str:
    state: str | None = connection.execute(
        select(lease.c.state).where(lease.c.tenant == stored.tenant, lease.c.proposal_id == stored.id)
    ).scalar_one_or_none()
    if state is None:
        raise NotFoundError(f"proposal {stored.id!r} holds no lease")
    return state


def undo_under_way(connection: Connection, stored: StoredProposal) -> str | None:
    """The proposal that takes this one back and has not ended; None where there is none."""
    found: str | None = connection.execute(
        select(action_proposal.c.id)
        .where(
            action_proposal.c.tenant == stored.tenant,
            action_proposal.c.undo_of == stored.id,
            action_proposal.c.status.in_([status.value for status in ProposalStatus if status.is_open]),
        )
        .limit(1)
    ).scalar_one_or_none()
    return found
