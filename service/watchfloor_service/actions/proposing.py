"""Taking in what a caller wants done: drafts of their own, undoes and edits. Who proposes is the caller, always."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError, NotFoundError
from watchfloor_core.identity import digest16
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_guardrails.action import Scalar
from watchfloor_guardrails.budget import Charge
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.draft import ActionDraft, draft_to_json
from watchfloor_guardrails.endorsement import named_by
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_service.access.caller import Caller
from watchfloor_service.actions.listing import summary_of
from watchfloor_workflows.authority.budgets import charge
from watchfloor_workflows.authority.drafting import announce, draft_action, prepare_action
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.leases import undo_draft
from watchfloor_workflows.authority.records import (
    StoredProposal,
    entry_about,
    opened,
    read_proposal,
    write_proposal,
)
from watchfloor_workflows.playbooks.records import wait_instead

PROPOSALS_PER_HOUR: Final[Mapping[PrincipalKind, int]] = {
    PrincipalKind.PERSON: 200,
    PrincipalKind.SERVICE: 40,
    PrincipalKind.AGENT: 40,
}
"""Of one principal. Each puts a question before people, who would not find the one that matters in a flood."""
_HOUR_S: Final = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An action as a caller asks for it."""

    incident_id: str
    action_class: str
    target_kind: str
    target: str
    arguments: Mapping[str, Scalar]
    tool: str | None
    lease_s: int | None
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What a caller wants otherwise in a proposal that waits; None leaves a part as it is."""

    target: str | None
    arguments: Mapping[str, Scalar] | None
    """All of them, where any is changed."""
    lease_s: int | None
    reason: str


def id_for(caller: Caller, act: str, key: str | None) -> str | None:
    """The proposal's id by the caller's own idempotency key: the same request again is the same proposal."""
    if key is None:
        return None
    return "act-" + digest16("proposal", caller.tenant, caller.principal, act, key).hex()[:16]


def draft_of(connection: Connection, caller: Caller, wish: Wish) -> ActionDraft:
    """The draft of a wish. Raises `NotFoundError` where the incident is not of the caller's tenant.

    What a person typed counts as theirs; what a program names could have come from an attacker, and so it asks.
    """
    facts = facts_of(connection, caller.tenant, wish.incident_id, wish.target_kind, wish.target)
    if facts is None:
        where = f"in tenant {caller.tenant!r}; `watchfloor incident list` shows them"
        raise NotFoundError(f"no incident {wish.incident_id!r} {where}")
    by = Principal(caller.principal, caller.kind)
    return ActionDraft(
        incident_id=wish.incident_id,
        action_class=wish.action_class,
        target_kind=wish.target_kind,
        target=named_by(wish.target, by),
        arguments={name: named_by(value, by) for name, value in wish.arguments.items()},
        tool=wish.tool,
        lease_s=wish.lease_s,
        proposer=Proposer(caller.principal, caller.kind),
        facts=facts,
        purpose=wish.purpose,
    )


def propose(connection: Connection, caller: Caller, draft: ActionDraft, proposal_id: str | None) -> str:
    """Take a draft in; returns the proposal's id.

    Raises `ConflictError` where the id was used for something else before, `RefusedError` where the caller has proposed
    too much in the last hour, and what `draft_action` raises.
    """
    if proposal_id is not None and _is_known(connection, caller.tenant, proposal_id, draft):
        return proposal_id
    proposal_id = _counted(connection, caller, proposal_id)
    return draft_action(connection, caller.tenant, draft, proposal_id=proposal_id)


def propose_undo(connection: Connection, caller: Caller, origin_id: str, purpose: str, proposal_id: str | None) -> str:
    """Propose to take a succeeded action back before its time.

    Raises `NotFoundError` where there is nothing to take back, and `ConflictError` where that is under way already.
    """
    stored = read_proposal(connection, caller.tenant, origin_id, lock=True)
    draft = undo_draft(connection, stored, Proposer(caller.principal, caller.kind), purpose)
    if proposal_id is not None and _is_known(connection, caller.tenant, proposal_id, draft):
        return proposal_id
    under_way = connection.execute(
        select(action_proposal.c.id)
        .where(
            action_proposal.c.tenant == caller.tenant,
            action_proposal.c.undo_of == origin_id,
            action_proposal.c.status.in_([status.value for status in ProposalStatus if status.is_open]),
        )
        .limit(1)
    ).scalar_one_or_none()
    if under_way is not None:
        raise ConflictError(f"proposal {under_way!r} to undo it is under way already")
    proposal_id = _counted(connection, caller, proposal_id)
    return draft_action(connection, caller.tenant, draft, proposal_id=proposal_id)


def propose_instead(connection: Connection, caller: Caller, old_id: str, edit: Edit, proposal_id: str | None) -> str:
    """Void a proposal that waits and put a changed one in its place: nobody's approval of the old one counts for it.

    Both happen in this transaction. Raises `ConflictError` where nothing about the old one can be changed any more.
    """
    stored = read_proposal(connection, caller.tenant, old_id, lock=True)
    draft = _edited(connection, caller, stored, edit)
    if proposal_id is not None and _is_known(connection, caller.tenant, proposal_id, draft):
        return proposal_id
    if stored.status not in (ProposalStatus.DRAFTED, ProposalStatus.WAITING):
        raise ConflictError(f"proposal {old_id!r} is {stored.status} already; propose the action anew")
    proposal_id = _counted(connection, caller, proposal_id)
    fresh_id, drafted = prepare_action(connection, caller.tenant, draft, proposal_id=proposal_id)
    if draft.run_id is not None and draft.undo_of == stored.draft.undo_of:
        wait_instead(connection, caller.tenant, draft.run_id, old_id, fresh_id)
    because = f"{caller.principal} put {fresh_id} in its place: {edit.reason}"
    voided = entry_about(
        stored,
        "approval_outcome",
        {
            "outcome": "voided",
            "reason": because,
            "principal": caller.principal,
            "replaced_by": fresh_id,
            **opened(stored),
        },
    )
    record_decisions(connection, caller.tenant, [voided, drafted])
    write_proposal(
        connection, caller.tenant, old_id, {"status": ProposalStatus.VOIDED.value, "reason": because}, voided
    )
    # The workflow that waits is told as well; whatever it does meanwhile finds the row ended.
    announce(connection, caller.tenant, old_id, "void", because)
    return fresh_id


def _edited(connection: Connection, caller: Caller, stored: StoredProposal, edit: Edit) -> ActionDraft:
    """The draft with the changes. What was left as it was keeps its label: passing a value on vouches for nothing."""
    old, by = stored.draft, Principal(caller.principal, caller.kind)
    target = old.target if edit.target in (None, old.target.value) else named_by(str(edit.target), by)
    arguments = dict(old.arguments)
    if edit.arguments is not None:
        arguments = {
            name: held if (held := old.arguments.get(name)) is not None and held.value == value else named_by(value, by)
            for name, value in edit.arguments.items()
        }
    facts = facts_of(connection, caller.tenant, stored.incident_id, old.target_kind, str(target.value))
    # Whoever asked for it first still may not approve it.
    asked = old.proposer.name if old.proposer.kind is PrincipalKind.PERSON else old.proposer.requester
    before = {*old.named_by, *(one for one in (old.proposer.requester, asked) if one is not None)}
    return replace(
        old,
        target=target,
        arguments=arguments,
        lease_s=old.lease_s if edit.lease_s is None else edit.lease_s,
        proposer=Proposer(caller.principal, caller.kind, None if asked == caller.principal else asked),
        facts=old.facts if facts is None else facts,
        named_by=tuple(sorted(before - {caller.principal, asked})),
        # Of another target it is no undo of what was done to this one.
        undo_of=old.undo_of if target.value == old.target.value else None,
    )


def _counted(connection: Connection, caller: Caller, proposal_id: str | None) -> str:
    """The id of one more proposal of the caller. Raises `RefusedError` where that is one too many."""
    proposal_id = proposal_id or f"act-{secrets.token_hex(8)}"
    # A reference of its own: an action that fails gives back what was charged under its id, and this was used.
    one = Charge("proposals", caller.principal, 1, PROPOSALS_PER_HOUR[caller.kind], _HOUR_S, f"proposed {proposal_id}")
    charge(connection, caller.tenant, [one], now_us())
    return proposal_id


def _is_known(connection: Connection, tenant: str, proposal_id: str, draft: ActionDraft) -> bool:
    try:
        stored = read_proposal(connection, tenant, proposal_id)
    except NotFoundError:
        return False
    # The incident may have moved on since; what the caller asked for is the same.
    if draft_to_json(replace(draft, facts=stored.draft.facts)) != draft_to_json(stored.draft):
        asked = summary_of(stored)
        raise ConflictError(
            f"this Idempotency-Key was used for {asked.action_class} of {asked.target_shown} before; "
            "send this with a key of its own"
        )
    return True
