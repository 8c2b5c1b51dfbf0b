"""Who calls, and in which tenant: the one place where a request gets its caller.

Every route names the scope it needs (`Requires`), or that any known caller will do (`Known`); nothing else decides
whether a caller may use it. A caller comes from a token or from a session's cookie, never from both, and has exactly
one tenant.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError, UnavailableError
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Scope, holdable
from watchfloor_service.access.caller import Caller, caller_of_token, callers_of_session
from watchfloor_service.access.sessions import SEEN_EVERY_US, Session, find_session, mark_seen
from watchfloor_service.access.tokens import verify_token
from watchfloor_service.api.browser import SAFE_METHODS, is_foreign, session_cookie, shows_csrf_token
from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after
from watchfloor_service.api.refusals import RefusalCode, Refusals
from watchfloor_service.api.throttle import FailureThrottle

SCHEME: Final = "bearer"
MAX_CREDENTIAL: Final = 256
"""Characters; a token has 63, a cookie 60."""
TENANT_HEADER: Final = "x-watchfloor-tenant"
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="watchfloor"'}


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, and of one with a session what the session's own routes need."""

    caller: Caller
    session: Session | None = None
    session_text: str = ""
    tenants: Mapping[str, Caller] | None = None
    """The same person in each tenant where they have a role."""


class Authenticator:
    """Turns what a request brings along into the caller behind it."""

    def __init__(self, store: Store, throttle: FailureThrottle, refusals: Refusals) -> None:
        self._store = store
        self._throttle = throttle
        self.refusals: Final = refusals

    def identify(self, request: Request) -> Identity:
        """The caller. Raises a 401 problem, 403 where the request is not the caller's own, or 429 where this client
        failed too often."""
        header, cookie = request.headers.get("authorization"), session_cookie(request)
        if header is not None and cookie is not None:
            self.refusals.log_stranger(request, client_of(request), RefusalCode.TWO_CREDENTIALS)
            raise _unauthenticated("a request proves who calls by a token or by a session's cookie, not by both")
        return self._by_token(request, header or "") if cookie is None else self._by_session(request, cookie)

    def _by_token(self, request: Request, header: str) -> Identity:
        scheme, _, text = header.partition(" ")
        credential = _digest(text)
        self.admit(client_of(request), credential)
        caller: Caller | None = None
        if scheme.lower() == SCHEME and len(text) <= MAX_CREDENTIAL:
            with self._store.read() as connection:
                token = verify_token(connection, text.strip())
                caller = None if token is None else caller_of_token(connection, token)
        if caller is None:
            self._fail(request)
            raise _unauthenticated(
                "send a live token as `Authorization: Bearer wf_…`; `watchfloor token create` makes one"
            )
        self._throttle.succeeded(credential)
        named = request.headers.get(TENANT_HEADER)
        if named is not None and named != caller.tenant:
            raise self._foreign_tenant(request, caller)
        return Identity(caller)

    def _by_session(self, request: Request, text: str) -> Identity:
        credential = _digest(text)
        self.admit(client_of(request), credential)
        at_us = now_us()
        with self._store.read() as connection:
            session = find_session(connection, text[:MAX_CREDENTIAL])
            tenants = {} if session is None else callers_of_session(connection, session)
        if session is None:
            self._fail(request)
            raise _unauthenticated("there is no such session; sign in")
        if not session.is_live(at_us) or not tenants:
            # Not a guess, so it does not count as one: a page left open must not lock its owner out.
            raise _unauthenticated("the session has ended; sign in again")
        self._throttle.succeeded(credential)
        usual = tenants.get(session.tenant) or tenants[min(tenants)]
        if request.method not in SAFE_METHODS and (is_foreign(request) or not shows_csrf_token(request, text)):
            raise self.refusals.forbid(
                request,
                usual,
                RefusalCode.CSRF,
                "a request with the session's cookie that changes something comes from our own pages and shows "
                "X-Watchfloor-CSRF, the csrf_token of GET /v1/session",
            )
        caller = tenants.get(request.headers.get(TENANT_HEADER, session.tenant))
        if caller is None:
            raise self._foreign_tenant(request, usual)
        if at_us - session.last_seen_us >= SEEN_EVERY_US:
            self._mark_seen(session, at_us)
        return Identity(caller, session, text, tenants)

    def _mark_seen(self, session: Session, at_us: int) -> None:
        try:
            with self._store.write() as connection:
                mark_seen(connection, session, at_us)
        except (ConflictError, UnavailableError):
            # The request can be answered all the same; at worst the session ends early.
            return

    def _foreign_tenant(self, request: Request, caller: Caller) -> ProblemError:
        detail = "X-Watchfloor-Tenant names no tenant of yours; GET /v1/session lists them"
        return self.refusals.forbid(request, caller, RefusalCode.TENANT, detail)

    def _fail(self, request: Request) -> None:
        self._throttle.failed(client_of(request))
        self.refusals.log_stranger(request, client_of(request), RefusalCode.CREDENTIAL)

    def admit(self, client: str, credential: bytes) -> None:
        """Raise a 429 problem where this client failed too often lately."""
        wait_s = self._throttle.retry_after_s(client, credential)
        if wait_s is not None:
            raise ProblemError(
                ProblemKind.TOO_MANY_FAILURES,
                "too many failed authentications from this address; wait, then try the right token",
                headers=retry_after(wait_s),
            )

    def failed(self, client: str) -> None:
        """Count a failure of another way of authenticating (a webhook's signature, a password)."""
        self._throttle.failed(client)

    def succeeded(self, credential: bytes) -> None:
        """This credential of another way proved right: it passes a throttled address for a while."""
        self._throttle.succeeded(credential)


@dataclass(frozen=True, slots=True)
class Requires:
    """A route's dependency: the caller, who holds this scope."""

    scope: Scope
    is_for_people: bool = False
    """True where neither a service nor an agent may, whatever its scopes."""

    def __call__(self, request: Request) -> Caller:
        authenticator = _authenticator(request)
        caller = authenticator.identify(request).caller
        # Asked again of the kind: a scope alone never makes a program a person.
        is_person = caller.kind is PrincipalKind.PERSON
        if not is_person and (self.is_for_people or self.scope not in holdable(caller.kind)):
            detail = "only a person decides: this needs a token of kind 'person'"
            raise authenticator.refusals.forbid(request, caller, RefusalCode.NOT_A_PERSON, detail)
        if self.scope not in caller.scopes:
            detail = f"this needs scope {self.scope.value!r}, which this {caller.via.value} does not carry"
            raise authenticator.refusals.forbid(request, caller, RefusalCode.SCOPE, detail)
        return caller


class Known:
    """A route's dependency: whoever the caller is, for what they may know and do about themselves."""

    def __call__(self, request: Request) -> Identity:
        return _authenticator(request).identify(request)


def client_of(request: Request) -> str:
    """The caller's address, as the server sees it."""
    return request.client.host if request.client is not None else ""


def _authenticator(request: Request) -> Authenticator:
    found = request.app.state.parts.authenticator
    if not isinstance(found, Authenticator):
        raise TypeError(f"app.state.parts.authenticator is {found!r}, expected Authenticator")
    return found


def _unauthenticated(detail: str) -> ProblemError:
    return ProblemError(ProblemKind.UNAUTHENTICATED, detail, headers=CHALLENGE)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
