"""Who makes a request, as authentication established it: the one value from which tenant and authority are taken."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, Scope


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
