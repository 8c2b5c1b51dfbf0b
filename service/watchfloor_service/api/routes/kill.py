"""``/v1/kill``: see what is stopped, stop it, let it go again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.roles import Role, Scope
from watchfloor_guardrails.switches import KillScope, may_touch, parse_scope
from watchfloor_service.access.caller import Caller
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.parts import ApiParts, parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after
from watchfloor_service.api.refusals import RefusalCode
from watchfloor_service.api.routes.tracing import traced
from watchfloor_workflows.authority.kill_switch import Engaged, Switch, engage, list_switches, release
from watchfloor_workflows.authority.stillness import POLL_S, InFlight, StillReport, StillWatch

router = APIRouter(prefix="/v1/kill")

STILL_S: Final = 15.0
"""So long an answer waits for what is under way."""
IN_CHARGE: Final = frozenset({Role.LEAD, Role.ADMIN})
"""Who lets go again, and who stops what reaches over tenants."""

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_READ))]
Stopper: TypeAlias = Annotated[Caller, Depends(Requires(Scope.KILL_ENGAGE))]
Reason: TypeAlias = Annotated[str, Field(min_length=1, max_length=4000)]


class SwitchRequest(StrictModel):
    scope: str = Field(min_length=1, max_length=200)
    reason: Reason


@dataclass(frozen=True, slots=True)
class SwitchView:
    scope: str
    is_engaged: bool
    epoch: int
    changed_at: str
    changed_by: str | None
    """None, as is the reason, for other tenants' people where a switch reaches over tenants."""
    reason: str | None

    @classmethod
    def of(cls, switch: Switch, caller: Caller, home: str) -> SwitchView:
        is_ours = may_touch(switch.scope, caller.tenant, home)
        return cls(
            switch.scope,
            switch.is_engaged,
            switch.epoch,
            to_iso(switch.changed_us),
            switch.changed_by if is_ours else None,
            switch.reason if is_ours else None,
        )


@router.get("")
def show(caller: Reader, request: Request) -> Response:
    """The switches over the caller's tenant that were ever thrown."""
    parts = parts_of(request)
    with parts.store.read() as connection:
        switches = list_switches(connection, caller.tenant)
    return json_answer({"switches": [SwitchView.of(switch, caller, parts.identity.home) for switch in switches]})


@router.post("/engage")
async def engage_(
    caller: Stopper, body: Annotated[SwitchRequest, Depends(JsonBody(SwitchRequest))], request: Request
) -> Response:
    """Stop a scope. 200 where nothing in it acts any more; 503 where it is stopped and that cannot be confirmed yet."""
    parts = parts_of(request)
    # Here and below in threads of another pool: a stop must not queue behind requests that read.
    scope = await asyncio.to_thread(_stoppable, parts, request, caller, body.scope)
    principal = Principal(caller.principal, caller.kind)
    with traced(request, caller.tenant, caller.principal):
        thrown = await asyncio.to_thread(engage, parts.store, caller.tenant, str(scope), principal, body.reason)
        try:
            report = await _until_still(parts, thrown.scope)
        except UnavailableError:
            raise _unconfirmed(thrown, "the store does not answer any more") from None
    if not report.is_engaged:
        raise ProblemError(ProblemKind.CONFLICT, f"{thrown.scope!r} was stopped, and somebody has let it go since")
    if not report.is_still:
        raise _unconfirmed(thrown, report.text, acting=report.acting, unknown=report.unknown)
    return json_answer(
        {"scope": thrown.scope, "epoch": thrown.epoch, "is_still": True, "waited_ms": report.waited_us / 1_000}
    )


@router.post("/release")
def release_(
    caller: Stopper, body: Annotated[SwitchRequest, Depends(JsonBody(SwitchRequest))], request: Request
) -> Response:
    """Let a scope act again: a lead or an admin. What was granted before stays dead."""
    parts = parts_of(request)
    scope = _touchable(parts, request, caller, body.scope)
    _require_in_charge(parts, request, caller)
    principal = Principal(caller.principal, caller.kind)
    with traced(request, caller.tenant, caller.principal):
        released = release(parts.store, caller.tenant, str(scope), principal, body.reason)
    return json_answer(released)


def _touchable(parts: ApiParts, request: Request, caller: Caller, text: str) -> KillScope:
    try:
        scope = parse_scope(text)
    except ConfigurationError as error:
        raise ProblemError(ProblemKind.INVALID_REQUEST, str(error)) from None
    if not may_touch(text, caller.tenant, parts.identity.home):
        detail = f"this switch is not your tenant's; {f'tenant:{caller.tenant}'!r} and what stands under it are"
        raise parts.identity.refusals.forbid(request, caller, RefusalCode.TENANT, detail)
    return scope


def _stoppable(parts: ApiParts, request: Request, caller: Caller, text: str) -> KillScope:
    scope = _touchable(parts, request, caller, text)
    if scope.tenant is None:
        _require_in_charge(parts, request, caller)
    return scope


def _require_in_charge(parts: ApiParts, request: Request, caller: Caller) -> None:
    if not caller.roles & IN_CHARGE:
        detail = "this needs the role lead or admin"
        raise parts.identity.refusals.forbid(request, caller, RefusalCode.SCOPE, detail)


async def _until_still(parts: ApiParts, scope: str) -> StillReport:
    """As `wait_until_still`, and the event loop goes on meanwhile."""
    deadline = time.monotonic() + STILL_S
    watch = StillWatch(parts.store, scope)
    while (report := await asyncio.to_thread(watch.look)).is_worth_waiting and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
    return report


def _unconfirmed(
    thrown: Engaged, why: str, *, acting: tuple[InFlight, ...] = (), unknown: tuple[InFlight, ...] = ()
) -> ProblemError:
    return ProblemError(
        ProblemKind.UNAVAILABLE,
        f"{thrown.scope!r} is stopped, but it cannot be called still: {why}",
        headers=retry_after(),
        extensions={
            "scope": thrown.scope,
            "epoch": thrown.epoch,
            "is_still": False,
            "acting": [one.proposal_id for one in acting],
            "unknown": [one.proposal_id for one in unknown],
        },
    )
