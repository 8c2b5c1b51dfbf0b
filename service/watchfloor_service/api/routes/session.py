"""``/v1/session``: sign in with a password, see who one is, change the tenant, sign out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import RefusedError
from watchfloor_service.access.accounts import changing_accounts, load_account
from watchfloor_service.access.caller import Caller
from watchfloor_service.access.sessions import IDLE_US, csrf_token, end_session, find_session, move_session
from watchfloor_service.access.sign_in import SignedIn, sign_in_by_password
from watchfloor_service.api.authentication import CHALLENGE, Identity, Known, client_of
from watchfloor_service.api.browser import drop_cookie, session_cookie, set_session_cookie
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.identity import parsed_body, strangers_body
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.refusals import RefusalCode
from watchfloor_service.api.routes.tracing import traced

open_router = APIRouter()
"""For those who are about to prove who they are."""
router = APIRouter(prefix="/v1/session")

Me: TypeAlias = Annotated[Identity, Depends(Known())]

_WRONG: Final = "the name or the password is not right, or the account is locked for a while"


class SignInRequest(StrictModel):
    principal: str = Field(min_length=1, max_length=128)
    password: str = Field(min_length=1, max_length=1024)
    tenant: str | None = Field(default=None, max_length=64)


class TenantRequest(StrictModel):
    tenant: str = Field(max_length=64)


@dataclass(frozen=True, slots=True)
class SessionView:
    """Who the caller is, and what they may do here."""

    principal: str
    display_name: str | None
    kind: str
    via: str
    tenant: str
    roles: list[str]
    scopes: list[str]
    tenants: dict[str, list[str]]
    """Every tenant of the caller, with the roles there."""
    csrf_token: str | None
    """To be sent as X-Watchfloor-CSRF with every request that changes something; none with a token."""
    expires_at: str | None
    idle_seconds: int | None


@open_router.post("/v1/session")
async def sign_in(request: Request) -> Response:
    """A session for the right password: 200 and a cookie; 401 for everything else, without saying what was wrong."""
    parts = parts_of(request)
    identity = parts.identity
    identity.require_own_page(request)
    asked = parsed_body(SignInRequest, request, await strangers_body(request))
    client = client_of(request)
    credential = identity.credential(asked.principal, asked.password)
    parts.authenticator.admit(client, credential)

    def enter() -> SignedIn | None:
        return sign_in_by_password(
            parts.store,
            identity.passwords,
            asked.principal,
            asked.password,
            tenant=asked.tenant,
            home=identity.home,
        )

    try:
        entered = await run_in_threadpool(enter)
    except RefusedError as error:
        # They have proved who they are.
        raise ProblemError(ProblemKind.FORBIDDEN, str(error)) from None
    if entered is None:
        parts.authenticator.failed(client)
        identity.refusals.log_stranger(request, client, RefusalCode.SIGN_IN)
        raise ProblemError(ProblemKind.UNAUTHENTICATED, _WRONG, headers=CHALLENGE)
    parts.authenticator.succeeded(credential)
    return await run_in_threadpool(entered_answer, request, entered)


def entered_answer(request: Request, entered: SignedIn, response: Response | None = None) -> Response:
    """The answer to a sign-in. The session that the browser had before ends: nobody else's cookie is carried on."""
    parts = parts_of(request)
    before = session_cookie(request)
    if before is not None:
        with parts.store.write() as connection:
            old = find_session(connection, before)
            if old is not None:
                end_session(connection, old.id, now_us())
    session = entered.issued.session
    roles = entered.account.roles
    answer = response or json_answer(
        {
            "principal": session.principal,
            "tenant": session.tenant,
            "tenants": {tenant: sorted(held) for tenant, held in sorted(roles.items())},
            "csrf_token": csrf_token(entered.issued.text),
            "expires_at": to_iso(session.expires_us),
        }
    )
    set_session_cookie(request, answer, entered.issued.text)
    return answer


@router.get("")
def who_am_i(me: Me, request: Request) -> Response:
    """The caller, by session or token."""
    return json_answer(_view(request, me, me.caller))


@router.delete("")
def sign_out(me: Me, request: Request) -> Response:
    """End the session. A token is not ended so."""
    session = me.session
    if session is None:
        raise RefusedError("a token is no session; `watchfloor token revoke` ends it")
    parts = parts_of(request)
    with (
        traced(request, me.caller.tenant, me.caller.principal),
        changing_accounts(parts.store, me.caller.tenant, me.caller.principal) as changes,
    ):
        if end_session(changes.connection, session.id, changes.at_us):
            changes.record("signed_out", session.principal, session=session.id)
    answer = Response(status_code=204)
    drop_cookie(request, answer)
    return answer


@router.post("/tenant")
def choose_tenant(
    me: Me, request: Request, body: Annotated[TenantRequest, Depends(JsonBody(TenantRequest))]
) -> Response:
    """Work in another of one's tenants from now on."""
    parts = parts_of(request)
    if me.session is None:
        raise RefusedError("a token belongs to one tenant; make one for the other")
    chosen = _tenants(me).get(body.tenant)
    if chosen is None:
        detail = "this is no tenant of yours; GET /v1/session lists them"
        raise parts.identity.refusals.forbid(request, me.caller, RefusalCode.TENANT, detail)
    with traced(request, chosen.tenant, chosen.principal), parts.store.write() as connection:
        move_session(connection, me.session.id, chosen.tenant)
    return json_answer(_view(request, me, chosen))


def _view(request: Request, me: Identity, caller: Caller) -> SessionView:
    with parts_of(request).store.read() as connection:
        found = load_account(connection, caller.principal)
    session = me.session
    return SessionView(
        principal=caller.principal,
        display_name=None if found is None else found.display_name,
        kind=caller.kind.value,
        via=caller.via.value,
        tenant=caller.tenant,
        roles=sorted(caller.roles),
        scopes=sorted(caller.scopes),
        tenants={tenant: sorted(one.roles) for tenant, one in sorted(_tenants(me).items())},
        csrf_token=None if session is None else csrf_token(me.session_text),
        expires_at=None if session is None else to_iso(session.expires_us),
        idle_seconds=None if session is None else IDLE_US // 1_000_000,
    )


def _tenants(me: Identity) -> Mapping[str, Caller]:
    return me.tenants if me.tenants is not None else {me.caller.tenant: me.caller}
