"""What waits for people, and their decisions. Looking never decides: a decision is a signed request of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, TypeAlias
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field

from watchfloor_core.identity import digest16
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.decision import MAX_COMMENT, PrincipalKind
from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.caller import Caller, Via
from watchfloor_service.access.local_api import USER_AGENT
from watchfloor_service.actions.approval_record import approval_record
from watchfloor_service.actions.approvals import MAX_WAITING, list_waiting, load_approval, voter_of
from watchfloor_service.actions.listing import proposal_id_of
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.routes.tracing import traced
from watchfloor_workflows.action_messages import VoteInput
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.authority.voting import note_shown

router = APIRouter(prefix="/v1/approvals")

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_READ))]
Approver: TypeAlias = Annotated[Caller, Depends(Requires(Scope.APPROVALS_DECIDE, is_for_people=True))]
IdempotencyKey: TypeAlias = Annotated[str | None, Header(min_length=1, max_length=255)]
Base64: TypeAlias = Annotated[str, Field(min_length=1, max_length=16_384, pattern=r"^[A-Za-z0-9+/]+={0,2}$")]


def named_proposal(proposal_id: str) -> str:
    """The address's proposal, where it can be one."""
    return proposal_id_of(proposal_id)


ProposalId: TypeAlias = Annotated[str, Depends(named_proposal)]


class AssertionBody(StrictModel):
    """How the statement was signed, in base64: ``signature`` alone for an Ed25519 key, all three for a passkey."""

    signature: Base64
    authenticator_data: Base64 | None = None
    client_data: Base64 | None = None

    def as_json(self) -> str:
        return json.dumps(self.model_dump(exclude_none=True), separators=(",", ":"))


class VoteRequest(StrictModel):
    """Whoever decides is the caller; a field that names anyone is refused like every unknown one."""

    decision: VoteDecision = Field(strict=False)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the proposal as it was shown."""
    comment: str = Field(default="", max_length=MAX_COMMENT)
    key_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    assertion: AssertionBody | None = None


@dataclass(frozen=True, slots=True)
class VoteView:
    """Where the approval stands after a decision."""

    proposal_id: str
    outcome: str
    approvals: int
    quorum: int


@router.get("")
def list_(
    caller: Reader, request: Request, limit: Annotated[int, Query(ge=1, le=MAX_WAITING)] = MAX_WAITING
) -> Response:
    """What of the caller's tenant waits for people, the most urgent first."""
    with parts_of(request).store.read() as connection:
        waiting = list_waiting(connection, caller, limit=limit)
    return json_answer({"approvals": waiting})


@router.get("/{proposal_id}")
def show(caller: Reader, request: Request, proposal_id: ProposalId) -> Response:
    """One of them with its view, and what the caller would sign. When an approver first saw it is written down."""
    parts = parts_of(request)
    with parts.store.read() as connection:
        found = load_approval(connection, caller, proposal_id, parts.party)
    if caller.kind is PrincipalKind.PERSON and Scope.APPROVALS_DECIDE in caller.scopes:
        note_shown(parts.store, caller.tenant, proposal_id, caller.principal)
    return json_answer(found)


@router.get("/{proposal_id}/record")
def record(caller: Reader, request: Request, proposal_id: ProposalId) -> Response:
    """Everything that was signed about it, as `watchfloor approvals verify` checks it from the file alone."""
    with parts_of(request).store.read() as connection:
        found = approval_record(connection, caller.tenant, proposal_id)
    return json_answer(found)


@router.post("/{proposal_id}/decision")
async def decide(
    caller: Approver,
    proposal_id: ProposalId,
    body: Annotated[VoteRequest, Depends(JsonBody(VoteRequest))],
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """The caller's decision. 409 with every reason where it does not count."""
    parts = parts_of(request)
    await parts.work(_require_ours, request, caller.tenant, proposal_id)
    voter = voter_of(caller)
    vote = VoteInput(
        principal=voter.principal,
        principal_kind=voter.kind,
        roles=voter.roles,
        tenant=voter.tenant,
        decision=body.decision,
        digest=body.digest,
        comment=body.comment,
        channel=_channel(request, caller),
        key_id=body.key_id,
        assertion_json=None if body.assertion is None else body.assertion.as_json(),
        update_id=_update_id(caller, proposal_id, idempotency_key),
    )
    with traced(request, caller.tenant, caller.principal):
        result = await parts.approvals.vote(caller.tenant, proposal_id, vote)
    return json_answer(VoteView(proposal_id, result.outcome.value, result.approvals, result.quorum))


def _require_ours(request: Request, tenant: str, proposal_id: str) -> None:
    """404 before the workflow is asked: what is another tenant's does not exist."""
    with parts_of(request).store.read() as connection:
        read_proposal(connection, tenant, proposal_id)


def _channel(request: Request, caller: Caller) -> str:
    """Which of our own clients it came from, for the record; nothing rests on it."""
    is_cli = caller.via is Via.TOKEN and request.headers.get("user-agent") == USER_AGENT
    return "cli" if is_cli else "api"


def _update_id(caller: Caller, proposal_id: str, key: str | None) -> str:
    """Names the decision in Temporal. The principal is part of it: a key that someone else used returns nothing."""
    if key is None:
        return uuid4().hex
    return digest16("vote", caller.tenant, caller.principal, proposal_id, key).hex()
