"""What the routes by which people sign in work with."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from watchfloor_service.access.oidc_provider import OidcProvider
from watchfloor_service.access.passwords import Passwords
from watchfloor_service.api.authentication import client_of
from watchfloor_service.api.browser import cookie_name, is_foreign
from watchfloor_service.api.http_json import StrictModel
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.refusals import RefusalCode, Refusals
from watchfloor_service.api.throttle import FailureThrottle

Model = TypeVar("Model", bound=StrictModel)

MAX_BODY: Final = 4 * 1024
BODY_S: Final = 10.0
SIGN_INS_BEGUN: Final = 60
"""At the identity provider, of one client in a minute: each is a row in the store."""


@dataclass(frozen=True, slots=True)
class IdentityParts:
    passwords: Passwords
    refusals: Refusals
    home: str
    """The tenant in which a session begins, where the person has a role there."""
    oidc: OidcProvider | None
    begun: FailureThrottle = field(default_factory=lambda: FailureThrottle(SIGN_INS_BEGUN))
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def credential(self, *parts: str) -> bytes:
        """What the throttle remembers of a password that was right: nothing that outlives this process."""
        return hmac.new(self._key, "\0".join(parts).encode("utf-8", "replace"), hashlib.sha256).digest()

    def require_own_page(self, request: Request) -> None:
        """Raise 403 where a session could not be kept safely, and where another site's page makes a browser sign in."""
        if cookie_name(request) is None:
            raise ProblemError(
                ProblemKind.FORBIDDEN,
                "people sign in over https, or over http on this machine alone (127.0.0.1); put a proxy that ends TLS "
                "and sends X-Forwarded-Proto before the API",
            )
        if is_foreign(request):
            self.refusals.log_stranger(request, client_of(request), RefusalCode.CSRF)
            raise ProblemError(ProblemKind.FORBIDDEN, "this is for our own pages; another site's page sent it")


async def strangers_body(request: Request) -> bytes:
    """A body of at most 4 KiB within ten seconds, from somebody who has not proved who they are."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise ProblemError(ProblemKind.TOO_LARGE, f"this body may have {MAX_BODY:,} bytes")
    except TimeoutError:
        raise ProblemError(ProblemKind.BODY_TIMEOUT, f"the body was not complete after {BODY_S:g} s") from None
    return bytes(body)


def media_type(request: Request) -> str:
    """Of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parsed_body(model: type[Model], request: Request, body: bytes) -> Model:
    """The JSON body as ``model``. Raises a 415 problem for other types, which a page of another site may send without
    asking first, and 422 with every mistake."""
    if media_type(request) != "application/json":
        raise ProblemError(ProblemKind.UNSUPPORTED_MEDIA, "send the body as application/json")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None
