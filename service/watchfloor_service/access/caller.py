"""Who makes a request, as authentication established it: the one value from which tenant and authority are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection

from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, Scope, holdable, roles_within, scopes_of
from watchfloor_service.access.accounts import load_account
from watchfloor_service.access.sessions import Session
from watchfloor_service.access.tokens import Token


class Via(StrEnum):
    """How a caller proved who they are."""

    TOKEN = "token"  # noqa: S105 -- a word, not a secret
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated principal in exactly one tenant, for one request."""

    tenant: str
    principal: str
    kind: PrincipalKind
    scopes: frozenset[Scope]
    roles: frozenset[Role]
    """Held in this tenant: those of the account; of a person's token without an account, those that its scopes
    amount to. A service or agent has none."""
    via: Via
    credential_id: str
    """The token's id, or the session's."""


def caller_of_token(connection: Connection, token: Token) -> Caller | None:
    """Whoever holds this live token; None where the person's account is disabled.

    A person with an account has by a token what both allow, the token and the account's roles in the token's tenant.
    """
    if token.kind is not PrincipalKind.PERSON:
        return _by_token(token, token.scopes & holdable(token.kind), frozenset())
    found = load_account(connection, token.principal)
    if found is None:
        return _by_token(token, token.scopes, roles_within(token.scopes))
    if not found.is_enabled:
        return None
    roles = found.roles.get(token.tenant, frozenset())
    return _by_token(token, token.scopes & scopes_of(roles), roles)


def callers_of_session(connection: Connection, session: Session) -> Mapping[str, Caller]:
    """Whoever holds this live session, by each tenant of theirs; empty where the account is disabled."""
    found = load_account(connection, session.principal)
    if found is None or not found.is_enabled:
        return {}
    return {
        tenant: Caller(tenant, found.principal, PrincipalKind.PERSON, scopes_of(roles), roles, Via.SESSION, session.id)
        for tenant, roles in found.roles.items()
    }


def _by_token(token: Token, scopes: frozenset[Scope], roles: frozenset[Role]) -> Caller:
    return Caller(token.tenant, token.principal, token.kind, scopes, roles, Via.TOKEN, token.id)
