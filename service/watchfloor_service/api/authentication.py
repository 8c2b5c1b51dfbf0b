"""Who calls: every route names the scope it needs, and nothing else decides whether a caller may use it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from fastapi import Request

from watchfloor_core.store.engine import Store
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Scope, holdable, roles_within
from watchfloor_service.access.caller import Caller, Via
from watchfloor_service.access.tokens import Token, verify_token
from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after
from watchfloor_service.api.throttle import FailureThrottle

SCHEME: Final = "bearer"
MAX_CREDENTIAL: Final = 256
"""Characters; a token has 63."""
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="watchfloor"'}


class Authenticator:
    """Turns a request's ``Authorization`` header into the caller behind it."""

    def __init__(self, store: Store, throttle: FailureThrottle) -> None:
        self._store = store
        self._throttle = throttle

    def authenticate(self, header: str | None, client: str) -> Caller:
        """The caller. Raises a 401 problem, or 429 where this client failed too often."""
        scheme, _, text = (header or "").partition(" ")
        credential = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        self.admit(client, credential)
        token: Token | None = None
        if scheme.lower() == SCHEME and len(text) <= MAX_CREDENTIAL:
            with self._store.read() as connection:
                token = verify_token(connection, text.strip())
        if token is None:
            self._throttle.failed(client)
            raise ProblemError(
                ProblemKind.UNAUTHENTICATED,
                "send a live token as `Authorization: Bearer wf_…`; `watchfloor token create` makes one",
                headers=CHALLENGE,
            )
        self._throttle.succeeded(credential)
        return _caller(token)

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
        """Count a failure of another way of authenticating (a webhook's signature)."""
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
        authenticator: Authenticator = request.app.state.parts.authenticator
        caller = authenticator.authenticate(request.headers.get("authorization"), client_of(request))
        if self.scope not in caller.scopes:
            raise ProblemError(ProblemKind.FORBIDDEN, f"this needs a token with scope {self.scope.value!r}")
        # Asked again of the kind: a scope alone never makes a program a person.
        if caller.kind is not PrincipalKind.PERSON and (self.is_for_people or self.scope not in holdable(caller.kind)):
            raise ProblemError(ProblemKind.FORBIDDEN, "only a person decides: this needs a token of kind 'person'")
        return caller


def _caller(token: Token) -> Caller:
    roles = roles_within(token.scopes) if token.kind is PrincipalKind.PERSON else frozenset()
    return Caller(token.tenant, token.principal, token.kind, token.scopes, roles, Via.TOKEN, token.id)


def client_of(request: Request) -> str:
    """The caller's address, as the server sees it."""
    return request.client.host if request.client is not None else ""
