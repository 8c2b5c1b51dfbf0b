"""What waits for a person, as that person sees it: what it is, why they are asked, and whether they may decide."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, select
from webauthn.helpers import bytes_to_base64url

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import RefusedError
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_guardrails.approval import OpenApproval, VoteDecision, Voter, refusals, statement
from watchfloor_guardrails.assertion import KeyKind, RelyingParty, challenge_of
from watchfloor_guardrails.gates import RulingDecision
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.approver_keys import HeldKey, list_keys
from watchfloor_service.access.caller import Caller
from watchfloor_service.actions.listing import ActionSummary, summary_of
from watchfloor_workflows.authority.kill_switch import read_switches
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.sealing import terms_of
from watchfloor_workflows.authority.surroundings import scopes_of
from watchfloor_workflows.authority.voting import open_approval

MAX_WAITING: Final = 200
WEBAUTHN_TIMEOUT_S: Final = 300


@dataclass(frozen=True, slots=True)
class ApprovalSummary:
    """One proposal that waits."""

    action: ActionSummary
    purpose: str
    """Why, in the proposer's words."""
    why_asked: list[str]
    """The rules that ask for a person, in words."""
    seconds_left: int
    is_veto: bool
    """Silence is a yes: it happens at the deadline unless somebody denies it."""
    quorum: int
    approvals: int
    roles: list[str]
    """Whoever holds one of these may decide."""
    may_decide: bool
    """Whether the caller may approve it now."""
    why_not: list[str]
    """Every reason against that; empty where they may."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    key_id: str
    kind: str
    label: str


@dataclass(frozen=True, slots=True)
class ApprovalDetail:
    """What a person needs to decide, and to sign."""

    approval: ApprovalSummary
    view: str
    """Rendered from what the digest covers, and nothing else. Show it as plain text."""
    view_digest: str
    digest: str
    statement: str
    """Base64 of the canonical bytes with which the caller approves; what a key signs is their DSSE encoding."""
    keys: list[SigningKey]
    """The caller's live ones."""
    webauthn: dict[str, Any] | None  # Any: JSON for the browser
    """``PublicKeyCredentialRequestOptions`` as JSON; None where the caller has no passkey for this address."""


def list_waiting(connection: Connection, caller: Caller, *, limit: int = MAX_WAITING) -> list[ApprovalSummary]:
    """What of the caller's tenant waits for people, the most urgent first."""
    # By deadline, so that a flood of new proposals hides none that is about to expire.
    ids = connection.execute(
        select(action_proposal.c.id)
        .where(action_proposal.c.tenant == caller.tenant, action_proposal.c.status == ProposalStatus.WAITING.value)
        .order_by(action_proposal.c.deadline_us, action_proposal.c.id)
        .limit(min(limit, MAX_WAITING))
    ).scalars()
    waiting = [read_proposal(connection, caller.tenant, proposal_id) for proposal_id in ids.all()]
    at_us = now_us()
    asked = [(stored, _asked(connection, stored)) for stored in waiting]
    return [_summary(connection, stored, approval, caller, at_us) for stored, approval in asked if approval is not None]


def load_approval(
    connection: Connection, caller: Caller, proposal_id: str, party: RelyingParty | None
) -> ApprovalDetail:
    """One of them, decided ones too. Raises `NotFoundError`, and `RefusedError` where nobody is asked about it."""
    stored = read_proposal(connection, caller.tenant, proposal_id)
    approval = open_approval(connection, stored)
    said = statement(approval, caller.principal, VoteDecision.APPROVE)
    at_us = now_us()
    live = [one for one in list_keys(connection, caller.principal) if one.key.is_live(at_us)]
    return ApprovalDetail(
        approval=_summary(connection, stored, approval, caller, at_us),
        view=stored.view or "",
        view_digest=approval.view_digest,
        digest=approval.digest,
        statement=base64.b64encode(said).decode(),
        keys=[SigningKey(one.key.key_id, one.key.kind.value, one.label) for one in live],
        webauthn=_request_options(said, live, party),
    )


def _asked(connection: Connection, stored: StoredProposal) -> OpenApproval | None:
    try:
        return open_approval(connection, stored)
    except RefusedError:
        return None


def _summary(
    connection: Connection, stored: StoredProposal, approval: OpenApproval, caller: Caller, at_us: int
) -> ApprovalSummary:
    why_not = [*_why_not(approval, caller, at_us), *_stopped(connection, stored)]
    terms = terms_of(stored)
    return ApprovalSummary(
        action=summary_of(stored),
        purpose=stored.draft.purpose,
        why_asked=_why_asked(stored),
        seconds_left=max(0, (approval.deadline_us - at_us) // MICROSECONDS),
        is_veto=terms is not None and terms.is_veto,
        quorum=approval.requirement.quorum,
        approvals=sum(vote.decision is VoteDecision.APPROVE for vote in approval.votes),
        roles=list(approval.requirement.roles),
        may_decide=not why_not,
        why_not=why_not,
    )


def _why_not(approval: OpenApproval, caller: Caller, at_us: int) -> list[str]:
    voter = voter_of(caller)
    against = refusals(voter, VoteDecision.APPROVE, approval.digest, "", approval, at_us)
    if Scope.APPROVALS_DECIDE not in caller.scopes:
        against.append(f"this takes scope {Scope.APPROVALS_DECIDE.value!r}")
    return against


def _stopped(connection: Connection, stored: StoredProposal) -> list[str]:
    """What the kill switches have against what waits: the ruling before the act would refuse it, so nobody signs it."""
    if stored.status is not ProposalStatus.WAITING or stored.proposal is None:
        return []
    scopes = scopes_of(stored.tenant, stored.draft.action_class, stored.proposal.tool, stored.draft.proposer.name)
    switches = read_switches(connection, scopes)
    if switches.engaged:
        return [f"a kill switch is engaged for {', '.join(map(repr, switches.engaged))}"]
    if switches.epoch != stored.proposal.kill_epoch:
        return ["a kill switch was thrown since it was proposed; deny it, and propose anew what is still wanted"]
    return []


def voter_of(caller: Caller) -> Voter:
    """The caller as a voter: all of it from authentication."""
    return Voter(caller.principal, caller.kind, tuple(sorted(role.value for role in caller.roles)), caller.tenant)


def _why_asked(stored: StoredProposal) -> list[str]:
    hits = (stored.ruling or {}).get("hits", [])
    return [hit["text"] for hit in hits if hit["outcome"] == RulingDecision.ASK.value]


def _request_options(said: bytes, live: list[HeldKey], party: RelyingParty | None) -> dict[str, Any] | None:
    credentials = [one.key.credential_id for one in live if one.key.kind is KeyKind.WEBAUTHN]
    if party is None or not credentials:
        return None
    return {
        "challenge": bytes_to_base64url(challenge_of(said)),
        "rpId": party.rp_id,
        "allowCredentials": [
            {"type": "public-key", "id": bytes_to_base64url(credential)}
            for credential in credentials
            if credential is not None
        ],
        "userVerification": "required",
        "timeout": WEBAUTHN_TIMEOUT_S * 1000,
    }
