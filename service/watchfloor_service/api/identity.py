"""What the routes by which people sign in work with."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Final

from fastapi import Request

from watchfloor_service.access.oidc_provider import OidcProvider
from watchfloor_service.access.passwords import Passwords
from watchfloor_service.api.authentication import client_of
from watchfloor_service.api.browser import cookie_name, is_foreign
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.refusals import RefusalCode, Refusals
from watchfloor_service.api.throttle import FailureThrottle

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
