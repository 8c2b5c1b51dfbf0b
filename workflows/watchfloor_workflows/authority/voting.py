"""Recording people's decisions: the transaction in which a vote counts, or does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, String, bindparam, insert, literal, select, text

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import NotFoundError, RefusedError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema_authority import approval_shown, approval_vote, approver_key
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_guardrails.approval import (
    ApprovalOutcome,
    OpenApproval,
    Vote,
    VoteDecision,
    Voter,
    refusals,
    statement,
)
from watchfloor_guardrails.assertion import ApproverKey, KeyKind, RelyingParty, verify_assertion
from watchfloor_guardrails.budget import Charge
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_guardrails.verified_approval import ApprovalRecord, VoteRecord
from watchfloor_guardrails.view import view_digest
from watchfloor_workflows.action_messages import EndProposalInput, ProposalRef, VoteInput, VoteResult
from watchfloor_workflows.authority.budgets import charge
from watchfloor_workflows.authority.drafting import announce
from watchfloor_workflows.authority.records import (
    StoredProposal,
    entry_about,
    opened,
    read_proposal,
    write_proposal,
)
from watchfloor_workflows.authority.sealing import requirement_from_json, terms_of
from watchfloor_workflows.authority.voters import held_now, standing_of
from watchfloor_workflows.policy import Policy

HOUR_S = 3_600
MAX_ASSERTION = 65_536
"""Characters."""


_SHOWN = text(
    "INSERT INTO approval_shown (tenant, proposal_id, principal, first_us) "
    "VALUES (:tenant, :proposal_id, :principal, :now) ON CONFLICT DO NOTHING"
)
_VOTE = insert(approval_vote).execution_options(**UNAWAITED)
_KEY_COLUMNS = tuple(column.label(f"of_key_{column.name}") for column in approver_key.c)
_VOTES = (
    select(approval_vote, *_KEY_COLUMNS, *standing_of(approval_vote.c.principal))
    .outerjoin(approver_key, approver_key.c.id == approval_vote.c.key_id)
    .where(
        approval_vote.c.tenant == bindparam("tenant"),
        approval_vote.c.proposal_id == bindparam("proposal_id"),
    )
    .order_by(approval_vote.c.decided_us, approval_vote.c.principal)
)
_VOTER: Select[Any] = select(
    *_KEY_COLUMNS,
    *standing_of(bindparam("principal", type_=String)),
    select(approval_shown.c.first_us)
    .where(
        approval_shown.c.tenant == bindparam("tenant"),
        approval_shown.c.proposal_id == bindparam("proposal_id"),
        approval_shown.c.principal == bindparam("principal"),
    )
    .scalar_subquery()
    .label("shown_us"),
).select_from(
    # One row, whether the key is known or not.
    select(literal(1)).subquery("asked").outerjoin(approver_key, approver_key.c.id == bindparam("key_id"))
)


def record_vote(
    store: Store, policy: Policy, ref: ProposalRef, vote: VoteInput, party: RelyingParty | None
) -> VoteResult:
    """Record a person's decision once; the same ``update_id`` again gives the same answer.

    Raises `RefusedError` with every reason against it, and `NotFoundError`.
    """
    with store.write() as connection:
        stored = read_proposal(connection, ref.tenant, ref.proposal_id, lock=True)
        rows = _vote_rows(connection, stored)
        approval = _approval(stored, rows)
        if _is_recorded(rows, vote):
            # What the votes decided stays the answer, whatever has come of the proposal since.
            is_voided = stored.status is ProposalStatus.VOIDED
            return _result(approval if is_voided else replace(approval, voided=None), now_us())
        return _record(connection, stored, approval, policy, vote, party)


def end_proposal(store: Store, order: EndProposalInput) -> ProposalStatus:
    """Record that an approval ended without a decision of people; returns where the proposal stands.

    What a person decided stays: a deadline that passes while the last vote is being recorded takes nothing back.
    """
    with store.write() as connection:
        stored = read_proposal(connection, order.ref.tenant, order.ref.proposal_id, lock=True)
        if stored.status not in (ProposalStatus.DRAFTED, ProposalStatus.WAITING):
            return stored.status
        status = _STATUS_OF[order.outcome]
        ended = _outcome_entry(stored, order.outcome, order.reason)
        record_decisions(connection, stored.tenant, [ended])
        write_proposal(
            connection, stored.tenant, stored.id, {"status": status.value, "reason": order.reason or None}, ended
        )
        return status


_STATUS_OF: Mapping[ApprovalOutcome, ProposalStatus] = {
    ApprovalOutcome.PENDING: ProposalStatus.WAITING,
    ApprovalOutcome.APPROVED: ProposalStatus.APPROVED,
    ApprovalOutcome.DENIED: ProposalStatus.DENIED,
    ApprovalOutcome.EXPIRED: ProposalStatus.EXPIRED,
    ApprovalOutcome.VOIDED: ProposalStatus.VOIDED,
}


def void_proposal(connection: Connection, stored: StoredProposal, reason: str) -> Decision:
    """End a locked proposal that waits, and have its workflow told; the decision is for the caller to record."""
    ended = _outcome_entry(stored, ApprovalOutcome.VOIDED, reason)
    values = {"status": ProposalStatus.VOIDED.value, "reason": reason}
    write_proposal(connection, stored.tenant, stored.id, values, ended)
    announce(connection, stored.tenant, stored.id, "void", reason)
    return ended


def void_unless_begun(connection: Connection, tenant: str, proposal_id: str, reason: str) -> list[Decision]:
    """End a proposal that is not wanted any more, however far it has come, but for one that is being carried out.

    At once, whatever its workflow does meanwhile: one that nobody has to be asked about waits for no signal. The
    decision is for the caller to record. Raises `NotFoundError`.
    """
    stored = read_proposal(connection, tenant, proposal_id, lock=True)
    if not stored.status.is_open or stored.status is ProposalStatus.EXECUTING:
        return []
    return [void_proposal(connection, stored, reason)]


def open_approval(connection: Connection, stored: StoredProposal) -> OpenApproval:
    """The approval as it stands. Raises `RefusedError` where nobody is asked about the proposal."""
    return _approval(stored, _vote_rows(connection, stored))


def _approval(stored: StoredProposal, rows: Sequence[Row[Any]]) -> OpenApproval:
    terms = terms_of(stored)
    if terms is None or stored.digest is None or stored.view is None:
        raise RefusedError(f"proposal {stored.id!r} is {stored.status}; nobody is asked about it")
    is_open = stored.status is ProposalStatus.WAITING
    return OpenApproval(
        tenant=stored.tenant,
        proposal_id=stored.id,
        digest=stored.digest,
        view_digest=view_digest(stored.view),
        requirement=requirement_from_json(terms.requirement_json),
        deadline_us=terms.deadline_us,
        votes=tuple(_vote_of(row, tuple(row.roles)) for row in rows),
        voided=None if is_open else f"the action is {stored.status} already",
    )


def approval_record(connection: Connection, stored: StoredProposal) -> ApprovalRecord | None:
    """What of its approval moves something now: each vote with the roles that its voter still has; None where nobody
    was asked."""
    if stored.deadline_us is None:
        return None
    records = tuple(_record_of(row, held_now(row, row.roles)) for row in _vote_rows(connection, stored))
    return ApprovalRecord(stored.id, stored.deadline_us, records)


def read_votes(connection: Connection, stored: StoredProposal) -> tuple[VoteRecord, ...]:
    """Every vote as it was cast, the first first."""
    return tuple(_record_of(row, tuple(row.roles)) for row in _vote_rows(connection, stored))


def _vote_rows(connection: Connection, stored: StoredProposal) -> Sequence[Row[Any]]:
    return connection.execute(_VOTES, {"tenant": stored.tenant, "proposal_id": stored.id}).all()


def _record_of(row: Row[Any], roles: tuple[str, ...]) -> VoteRecord:
    return VoteRecord(
        _vote_of(row, roles),
        row.statement.encode(),
        row.assertion,
        None if row.of_key_id is None else _key(row),
    )


def _vote_of(row: Row[Any], roles: tuple[str, ...]) -> Vote:
    return Vote(row.principal, VoteDecision(row.decision), roles, row.decided_us)


def _key(row: Row[Any]) -> ApproverKey:
    return ApproverKey(
        key_id=row.of_key_id,
        principal=row.of_key_principal,
        kind=KeyKind(row.of_key_kind),
        public_key=row.of_key_public_key,
        credential_id=row.of_key_credential_id,
        created_us=row.of_key_created_us,
        revoked_us=row.of_key_revoked_us,
    )


def _record(
    connection: Connection,
    stored: StoredProposal,
    approval: OpenApproval,
    policy: Policy,
    vote: VoteInput,
    party: RelyingParty | None,
) -> VoteResult:
    now = now_us()
    asked = {"tenant": stored.tenant, "proposal_id": stored.id, "principal": vote.principal}
    known = connection.execute(_VOTER, {**asked, "key_id": vote.key_id}).one()
    # The store has the last word on roles, whoever brought the vote and however long it was under way.
    vote = replace(vote, roles=held_now(known, vote.roles))
    voter = Voter(vote.principal, vote.principal_kind, vote.roles, vote.tenant)
    against = refusals(voter, vote.decision, vote.digest, vote.comment, approval, now)
    if against:
        raise RefusedError("; ".join(against))
    said = statement(approval, vote.principal, vote.decision)
    key = None if known.of_key_id is None else _key(known)
    assertion = _checked_assertion(vote, key, said, now, party)
    _charge_rate(connection, stored, policy, vote, now)
    row = {
        **asked,
        "decision": vote.decision.value,
        "roles": sorted(vote.roles),
        "statement": said.decode(),
        "assertion": assertion,
        "key_id": vote.key_id if assertion is not None else None,
        "comment": vote.comment,
        "channel": vote.channel,
        "shown_us": known.shown_us,
        "decided_us": now,
        "update_id": vote.update_id,
    }
    connection.execute(_VOTE, row)
    # The proposal is locked: nobody else has voted since the votes were read.
    cast = Vote(vote.principal, vote.decision, tuple(sorted(vote.roles)), now)
    counted = replace(approval, votes=tuple(sorted((*approval.votes, cast), key=_place)))
    spoken = _vote_entry(stored, vote, said, assertion, known.shown_us)
    _settle(connection, stored, counted, spoken, now)
    return _result(counted, now)


def _place(vote: Vote) -> tuple[int, str]:
    return vote.decided_us, vote.principal


def _settle(connection: Connection, stored: StoredProposal, counted: OpenApproval, spoken: Decision, now: int) -> None:
    outcome = counted.outcome(now)
    terms = terms_of(stored)
    # Silence is a yes in a veto window; a yes in words changes nothing there.
    if outcome is ApprovalOutcome.PENDING or (
        terms is not None and terms.is_veto and outcome is ApprovalOutcome.APPROVED
    ):
        record_decisions(connection, stored.tenant, [spoken])
        write_proposal(connection, stored.tenant, stored.id, {}, spoken)
        return
    reason = "denied by a person" if outcome is ApprovalOutcome.DENIED else ""
    ended = _outcome_entry(stored, outcome, reason, parent_id=spoken.id)
    record_decisions(connection, stored.tenant, [spoken, ended])
    values = {"status": _STATUS_OF[outcome].value, "reason": reason or None}
    write_proposal(connection, stored.tenant, stored.id, values, ended)


def _checked_assertion(
    vote: VoteInput, key: ApproverKey | None, said: bytes, now: int, party: RelyingParty | None
) -> Mapping[str, JsonValue] | None:
    """The assertion of a yes, once it holds. A no needs none: it loosens nothing."""
    if vote.decision is VoteDecision.DENY:
        return None
    if key is None or vote.assertion_json is None:
        raise RefusedError(
            "an approval is signed: with a passkey, or by `watchfloor approvals approve` with a key that "
            "`watchfloor keys new` made"
        )
    if key.principal != vote.principal:
        raise RefusedError(f"key {key.key_id!r} is not a key of {vote.principal!r}")
    assertion = _parsed(vote.assertion_json)
    verify_assertion(said, assertion, key, now, party)
    return assertion


def _parsed(text: str) -> Mapping[str, JsonValue]:
    if len(text) > MAX_ASSERTION:
        raise RefusedError(f"the assertion has {len(text):,} characters; at most {MAX_ASSERTION:,} are read")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise RefusedError("the assertion is no JSON") from error
    if not isinstance(content, dict):
        raise RefusedError("the assertion is no JSON object")
    return content


def _charge_rate(connection: Connection, stored: StoredProposal, policy: Policy, vote: VoteInput, now: int) -> None:
    """Nobody approves faster than one can read. A no is never held back."""
    if vote.decision is VoteDecision.DENY:
        return
    in_use = policy.in_force(stored.tenant, stored.draft.action_class)
    if in_use is None:
        raise RefusedError("the policy cannot be read, so nothing is approved; `watchfloor policy show` says why")
    if stored.is_decoy:
        # What is planted to measure people takes nothing away from what they may really approve.
        return
    rate = Charge("approvals", vote.principal, 1, in_use.limits.approvals_per_hour, HOUR_S, f"approval {stored.id}")
    charge(connection, stored.tenant, [rate], now)


def _is_recorded(rows: Sequence[Row[Any]], vote: VoteInput) -> bool:
    said = (vote.principal, vote.update_id, vote.decision.value)
    return any((row.principal, row.update_id, row.decision) == said for row in rows)


def _result(approval: OpenApproval, now: int) -> VoteResult:
    approvals = sum(vote.decision is VoteDecision.APPROVE for vote in approval.votes)
    return VoteResult(approval.outcome(now), approvals, approval.requirement.quorum)


def _vote_entry(
    stored: StoredProposal,
    vote: VoteInput,
    said: bytes,
    assertion: Mapping[str, JsonValue] | None,
    shown_us: int | None,
) -> Decision:
    return entry_about(
        stored,
        "approval_vote",
        {
            "decision": vote.decision.value,
            "principal": vote.principal,
            "roles": sorted(vote.roles),
            "channel": vote.channel,
            "comment": vote.comment,
            "statement": said.decode(),
            "assertion": assertion,
            "key": vote.key_id if assertion is not None else None,
            "seconds_to_decide": None if shown_us is None else max(0, now_us() - shown_us) // MICROSECONDS,
        },
        attributes={
            SpanAttribute.PRINCIPAL: vote.principal,
            SpanAttribute.APPROVAL_DECISION: vote.decision.value,
            SpanAttribute.APPROVAL_CHANNEL: vote.channel,
        },
    )


def _outcome_entry(
    stored: StoredProposal, outcome: ApprovalOutcome, reason: str, *, parent_id: str | None = None
) -> Decision:
    return entry_about(
        stored,
        "approval_outcome",
        {"outcome": outcome.value, "reason": reason, **opened(stored)},
        parent_id=parent_id,
        attributes={SpanAttribute.APPROVAL_DECISION: outcome.value},
    )


def note_shown(store: Store, tenant: str, proposal_id: str, principal: str) -> None:
    """Remember when a person was first shown the view. Raises `NotFoundError`."""
    with store.write() as connection:
        stored = read_proposal(connection, tenant, proposal_id)
        if stored.view is None:
            raise NotFoundError(f"proposal {proposal_id!r} has nothing to show yet")
        values = {"tenant": tenant, "proposal_id": proposal_id, "principal": principal, "now": now_us()}
        connection.execute(_SHOWN, values)
