"""``/v1/session``: sign in with a password, see who one is, change the tenant, sign out; and the one-time link."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias, TypeVar
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import ConfigurationError, RefusedError
from watchfloor_core.ports import Json
from watchfloor_service.access.accounts import changing_accounts, load_account
from watchfloor_service.access.caller import Caller
from watchfloor_service.access.login_links import PATH as LINK_PATH
from watchfloor_service.access.login_links import principal_of_link, use_link
from watchfloor_service.access.passwords import MIN_LENGTH
from watchfloor_service.access.sessions import IDLE_US, csrf_token, end_session, find_session, move_session
from watchfloor_service.access.sign_in import SignedIn, sign_in_by_password
from watchfloor_service.api.authentication import CHALLENGE, Identity, Known, client_of
from watchfloor_service.api.browser import drop_cookie, session_cookie, set_session_cookie
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.identity import strangers_body
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.refusals import RefusalCode
from watchfloor_service.api.routes.tracing import traced

open_router = APIRouter()
"""For those who are about to prove who they are."""
router = APIRouter(prefix="/v1/session")

Me: TypeAlias = Annotated[Identity, Depends(Known())]

_Model = TypeVar("_Model", bound=StrictModel)

_WRONG: Final = "the name or the password is not right, or the account is locked for a while"
_PAGE: Final = "text/html; charset=utf-8"


class SignInRequest(StrictModel):
    principal: str = Field(min_length=1, max_length=128)
    password: str = Field(min_length=1, max_length=1024)
    tenant: str | None = Field(default=None, max_length=64)


class TenantRequest(StrictModel):
    tenant: str = Field(max_length=64)


class LinkRequest(StrictModel):
    token: str = Field(max_length=128)
    password: str = Field(max_length=1024)


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
    asked = _parsed(SignInRequest, request, await strangers_body(request))
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


@open_router.get(LINK_PATH)
def show_link(request: Request, token: Annotated[str, Query(max_length=128)] = "") -> Response:
    """A form for the new password. Nothing is used up, for programs open links before people do."""
    parts = parts_of(request)
    parts.authenticator.admit(client_of(request), b"")
    with parts.store.read() as connection:
        principal = principal_of_link(connection, token, now_us())
    if principal is None:
        parts.authenticator.failed(client_of(request))
        raise ProblemError(ProblemKind.NOT_FOUND, "this link is not, or no longer, good; ask for a new one")
    if "text/html" not in request.headers.get("accept", ""):
        return json_answer({"principal": principal, "post": {"token": "…", "password": f"{MIN_LENGTH} characters"}})
    return Response(_form(principal, token), media_type=_PAGE)


@open_router.post(LINK_PATH)
async def set_password(request: Request) -> Response:
    """Use the link up and set the account's password; then sign in with it. JSON or the form's fields."""
    parts = parts_of(request)
    identity = parts.identity
    identity.require_own_page(request)
    parts.authenticator.admit(client_of(request), b"")
    is_form = _media_type(request) == "application/x-www-form-urlencoded"
    body = await strangers_body(request)
    asked = _from_form(body) if is_form else _parsed(LinkRequest, request, body)
    try:
        principal = await run_in_threadpool(
            use_link, parts.store, identity.passwords, asked.token, asked.password, identity.home, now_us()
        )
    except RefusedError as error:
        parts.authenticator.failed(client_of(request))
        identity.refusals.log_stranger(request, client_of(request), RefusalCode.SIGN_IN)
        raise ProblemError(ProblemKind.NOT_FOUND, str(error)) from None
    except ConfigurationError as error:
        errors: list[Json] = [{"path": "password", "message": problem.message} for problem in error.problems]
        raise ProblemError(
            ProblemKind.INVALID_REQUEST, "this password is not taken; see errors", extensions={"errors": errors}
        ) from None
    if is_form:
        return Response(_done(principal), media_type=_PAGE)
    return json_answer({"principal": principal})


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


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _parsed(model: type[_Model], request: Request, body: bytes) -> _Model:
    if _media_type(request) != "application/json":
        # Other types a page of another site may send without asking first.
        raise ProblemError(ProblemKind.UNSUPPORTED_MEDIA, "send the body as application/json")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None


def _from_form(body: bytes) -> LinkRequest:
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=4)
    except ValueError:
        raise ProblemError(ProblemKind.MALFORMED_BODY, "the form's fields cannot be read") from None
    token, password = (fields.get(name, [""])[0][:1024] for name in ("token", "password"))
    return LinkRequest.model_construct(token=token[:128], password=password)


def _form(principal: str, token: str) -> str:
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Watchfloor: set your password</title>
<h1>Set the password of {html.escape(principal)}</h1>
<form method="post" action="{LINK_PATH}">
<input type="hidden" name="token" value="{html.escape(token)}">
<input type="text" name="username" value="{html.escape(principal)}" autocomplete="username" hidden>
<p><label>New password, {MIN_LENGTH} characters or more
<input type="password" name="password" minlength="{MIN_LENGTH}" maxlength="256" autocomplete="new-password" required>
</label></p>
<p><button>Set it and use up this link</button></p>
</form></html>
"""


def _done(principal: str) -> str:
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Watchfloor</title>
<p>The password of {html.escape(principal)} is set. Sign in with it.</p></html>
"""
