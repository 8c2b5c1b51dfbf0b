"""Actions: what was proposed, ruled, agreed and done; proposing; and lifting a freeze."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from watchfloor_core.canonical import MAX_INTEGER
from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_guardrails.action import MAX_TEXT
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.draft import MAX_PURPOSE
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.caller import Caller
from watchfloor_service.actions.detail import load_action
from watchfloor_service.actions.listing import MAX_PAGE, list_actions
from watchfloor_service.actions.proposing import (
    Edit,
    Wish,
    draft_of,
    id_for,
    propose,
    propose_instead,
    propose_undo,
)
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.routes.approvals import named_proposal
from watchfloor_service.api.routes.tracing import traced
from watchfloor_workflows.authority.freezes import lift, list_freezes

router = APIRouter(prefix="/v1/actions")
freezes_router = APIRouter(prefix="/v1/freezes")

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_READ))]
Asker: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_PROPOSE))]
Editor: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_PROPOSE, is_for_people=True))]
Approver: TypeAlias = Annotated[Caller, Depends(Requires(Scope.APPROVALS_DECIDE, is_for_people=True))]
IdempotencyKey: TypeAlias = Annotated[str | None, Header(min_length=1, max_length=255)]

MAX_ARGUMENTS: Final = 32
_NO_NUL: Final = r"^[^\x00]*$"
Value: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=_NO_NUL)]
Number: TypeAlias = Annotated[int, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Arguments: TypeAlias = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")], Value | Number | bool],
    Field(max_length=MAX_ARGUMENTS),
]
Seconds: TypeAlias = Annotated[int, Field(ge=1, le=366 * 86_400)]
Purpose: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_PURPOSE, pattern=_NO_NUL)]
ProposalId: TypeAlias = Annotated[str, Depends(named_proposal)]


class TargetBody(StrictModel):
    kind: str = Field(pattern=r"^[a-z]{1,16}$")
    value: Value


class ProposeRequest(StrictModel):
    incident_id: str = Field(pattern=r"^inc-[0-9a-f]{16}$")
    action_class: str = Field(min_length=1, max_length=64)
    target: TargetBody
    arguments: Arguments = Field(default_factory=dict)
    tool: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    lease_s: Seconds | None = None
    purpose: Purpose


class UndoRequest(StrictModel):
    purpose: Purpose


class EditRequest(StrictModel):
    """What is to be otherwise; what is left out stays."""

    target: Value | None = None
    arguments: Arguments | None = None
    lease_s: Seconds | None = None
    reason: Purpose


class LiftRequest(StrictModel):
    reason: Purpose
    proposal_ids: list[Annotated[str, Field(pattern=r"^act-[0-9a-f]{16}$")]] | None = Field(
        default=None, min_length=1, max_length=1000
    )
    """Those whose targets were looked at; none: all that are frozen now."""


@dataclass(frozen=True, slots=True)
class ProposedView:
    proposal_id: str


@dataclass(frozen=True, slots=True)
class LiftedView:
    action_class: str
    proposals: list[str]


@router.get("")
def list_(
    caller: Reader,
    request: Request,
    status: Annotated[list[ProposalStatus], Query()] = [],  # noqa: B006 -- FastAPI copies the default
    incident_id: Annotated[str | None, Query(pattern=r"^inc-[0-9a-f]{16}$")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> Response:
    """A page of the tenant's actions, the newest first."""
    with parts_of(request).store.read() as connection:
        try:
            page = list_actions(
                connection, caller.tenant, statuses=status, incident_id=incident_id, limit=limit, cursor=cursor
            )
        except ValueError as error:
            raise ProblemError(ProblemKind.INVALID_REQUEST, str(error)) from None
    return json_answer(page)


@router.get("/{proposal_id}")
def show(caller: Reader, request: Request, proposal_id: ProposalId) -> Response:
    """One action, whole: proposal, ruling, votes, execution, receipt with what was read back, lease."""
    with parts_of(request).store.read() as connection:
        found = load_action(connection, caller.tenant, proposal_id)
    return json_answer(found)


@router.post("")
def propose_(
    caller: Asker,
    body: Annotated[ProposeRequest, Depends(JsonBody(ProposeRequest))],
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Propose an action as the caller. What becomes of it the ruling says; 202."""
    wish = Wish(
        incident_id=body.incident_id,
        action_class=body.action_class,
        target_kind=body.target.kind,
        target=body.target.value,
        arguments=body.arguments,
        tool=body.tool,
        lease_s=body.lease_s,
        purpose=body.purpose,
    )
    with traced(request, caller.tenant, caller.principal), _drafting(), parts_of(request).store.write() as connection:
        draft = draft_of(connection, caller, wish)
        proposal_id = propose(connection, caller, draft, id_for(caller, "propose", idempotency_key))
    return json_answer(ProposedView(proposal_id), 202)


@router.post("/{proposal_id}/undo")
def undo(
    caller: Asker,
    proposal_id: ProposalId,
    body: Annotated[UndoRequest, Depends(JsonBody(UndoRequest))],
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Propose to take a succeeded action back before its time; ruled on like any other."""
    key = id_for(caller, f"undo {proposal_id}", idempotency_key)
    with traced(request, caller.tenant, caller.principal), _drafting(), parts_of(request).store.write() as connection:
        fresh_id = propose_undo(connection, caller, proposal_id, body.purpose, key)
    return json_answer(ProposedView(fresh_id), 202)


@router.post("/{proposal_id}/edit")
def edit(
    caller: Editor,
    proposal_id: ProposalId,
    body: Annotated[EditRequest, Depends(JsonBody(EditRequest))],
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Put a changed proposal in the place of one that waits, which is voided: nothing that was approved changes."""
    if body.target is None and body.arguments is None and body.lease_s is None:
        raise ProblemError(ProblemKind.INVALID_REQUEST, "nothing is changed; give target, arguments or lease_s")
    key = id_for(caller, f"edit {proposal_id}", idempotency_key)
    wanted = Edit(target=body.target, arguments=body.arguments, lease_s=body.lease_s, reason=body.reason)
    with traced(request, caller.tenant, caller.principal), _drafting(), parts_of(request).store.write() as connection:
        fresh_id = propose_instead(connection, caller, proposal_id, wanted, key)
    return json_answer(ProposedView(fresh_id), 202)


@freezes_router.get("")
def frozen(caller: Reader, request: Request) -> Response:
    """The action classes of the tenant that run no more until a person has looked."""
    with parts_of(request).store.read() as connection:
        found = list_freezes(connection, caller.tenant)
    return json_answer({"freezes": found})


@freezes_router.post("/{action_class}/lift")
def lift_(
    caller: Approver,
    action_class: str,
    body: Annotated[LiftRequest, Depends(JsonBody(LiftRequest))],
    request: Request,
) -> Response:
    """Let an action class run again, after the caller has looked at the targets."""
    if action_class not in CATALOGUE:
        raise NotFoundError(f"there is no action class {action_class[:60]!a}; known are {', '.join(CATALOGUE)}")
    person = Principal(caller.principal, caller.kind)
    with traced(request, caller.tenant, caller.principal):
        lifted = lift(
            parts_of(request).store,
            caller.tenant,
            action_class,
            person,
            body.reason,
            proposal_ids=body.proposal_ids,
        )
    return json_answer(LiftedView(action_class, list(lifted)))


@contextmanager
def _drafting() -> Iterator[None]:
    """What is wrong with a draft is the caller's to mend."""
    try:
        yield
    except ConfigurationError as error:
        if isinstance(error.__cause__, SQLAlchemyError):
            raise
        raise ProblemError(ProblemKind.INVALID_REQUEST, str(error)) from error
