"""``/v1/first-login``: the one-time link by which a person sets the password."""

from __future__ import annotations

import html
from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import Field

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, RefusedError
from watchfloor_core.ports import Json
from watchfloor_service.access.login_links import PATH, principal_of_link, use_link
from watchfloor_service.access.passwords import MIN_LENGTH
from watchfloor_service.api.authentication import client_of
from watchfloor_service.api.http_json import StrictModel, json_answer
from watchfloor_service.api.identity import media_type, parsed_body, strangers_body
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.refusals import RefusalCode

router = APIRouter(prefix=PATH)

_PAGE: Final = "text/html; charset=utf-8"


class LinkRequest(StrictModel):
    token: str = Field(max_length=128)
    password: str = Field(max_length=1024)


@router.get("")
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


@router.post("")
async def set_password(request: Request) -> Response:
    """Use the link up and set the account's password; then sign in with it. JSON or the form's fields."""
    parts = parts_of(request)
    identity = parts.identity
    identity.require_own_page(request)
    parts.authenticator.admit(client_of(request), b"")
    is_form = media_type(request) == "application/x-www-form-urlencoded"
    body = await strangers_body(request)
    asked = _from_form(body) if is_form else parsed_body(LinkRequest, request, body)
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
<form method="post" action="{PATH}">
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
