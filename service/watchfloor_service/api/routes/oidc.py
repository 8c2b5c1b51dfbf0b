"""``/v1/oidc``: sign in by the organisation's identity provider."""

from __future__ import annotations

import html
import logging
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from watchfloor_core.errors import RefusedError
from watchfloor_service.access import oidc_sign_in
from watchfloor_service.access.oidc_provider import OidcProvider, SignInRefusedError
from watchfloor_service.access.oidc_sign_in import LIFE_US, MAX_PARAMETER
from watchfloor_service.api.authentication import CHALLENGE, client_of
from watchfloor_service.api.browser import OIDC_SUFFIX, cookie_name, drop_cookie, set_oidc_cookie
from watchfloor_service.api.parts import ApiParts, parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after
from watchfloor_service.api.refusals import RefusalCode
from watchfloor_service.api.routes.session import entered_answer

router = APIRouter(prefix="/v1/oidc")

_LOG: Final = logging.getLogger(__name__)


@router.get("/login")
def login(request: Request) -> Response:
    """Send the browser to the provider."""
    parts, provider = _parts(request)
    client = client_of(request)
    wait_s = parts.identity.begun.retry_after_s(client, b"")
    if wait_s is not None:
        raise ProblemError(
            ProblemKind.TOO_MANY_FAILURES, "too many sign-ins begun from this address", headers=retry_after(wait_s)
        )
    parts.identity.begun.failed(client)
    begun = oidc_sign_in.begin(parts.store, provider)
    answer = RedirectResponse(begun.url, status_code=302)
    set_oidc_cookie(request, answer, begun.browser, LIFE_US // 1_000_000)
    return answer


@router.get("/callback")
def callback(
    request: Request,
    state: Annotated[str, Query(max_length=256)] = "",
    code: Annotated[str, Query(max_length=MAX_PARAMETER)] = "",
    iss: Annotated[str | None, Query(max_length=256)] = None,
) -> Response:
    """Where the provider sends the browser back: a session for whoever it vouches for, if they may come in."""
    parts, provider = _parts(request)
    client = client_of(request)
    parts.authenticator.admit(client, b"")
    name = cookie_name(request, OIDC_SUFFIX)
    browser = None if name is None else request.cookies.get(name)
    try:
        entered = oidc_sign_in.finish(
            parts.store, provider, state=state, code=code, browser=browser, issuer=iss, home=parts.identity.home
        )
    except SignInRefusedError as error:
        parts.authenticator.failed(client)
        parts.identity.refusals.log_stranger(request, client, RefusalCode.SIGN_IN)
        _LOG.warning("sign-in by the identity provider refused: %s", error)
        raise ProblemError(
            ProblemKind.UNAUTHENTICATED,
            "the identity provider's answer signs nobody in here; begin again, or ask an administrator for an account",
            headers=CHALLENGE,
        ) from None
    except RefusedError as error:
        raise ProblemError(ProblemKind.FORBIDDEN, str(error)) from None
    # A page, not a redirect: browsers do not send a strict cookie on with a redirect that began at another site.
    page = Response(_page(entered.account.display_name), media_type="text/html; charset=utf-8")
    answer = entered_answer(request, entered, page)
    drop_cookie(request, answer, OIDC_SUFFIX)
    return answer


def _parts(request: Request) -> tuple[ApiParts, OidcProvider]:
    parts = parts_of(request)
    provider = parts.identity.oidc
    if provider is None:
        raise ProblemError(ProblemKind.NOT_FOUND, "no identity provider is set here (WATCHFLOOR_OIDC_ISSUER)")
    if cookie_name(request) is None:
        raise ProblemError(ProblemKind.FORBIDDEN, "people sign in over https, or over http on this machine alone")
    return parts, provider


def _page(name: str) -> str:
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Watchfloor</title>
<p>You are signed in as {html.escape(name)}. <a href="/">Go on</a></p></html>
"""
