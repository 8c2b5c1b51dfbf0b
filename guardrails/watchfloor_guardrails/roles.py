"""Who may do what: the roles of people, the scopes they carry, and what a program may never hold.

Pure tables. They are applied three times, when a credential is made, when it is loaded and when a route is called, so
that neither a forged row nor a forgotten check gives a program a person's authority.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Final, assert_never

from watchfloor_guardrails.decision import PrincipalKind


class Scope(StrEnum):
    """What a credential may be used for."""

    ALERTS_WRITE = "alerts:write"
    """For what sends alerts; no role of people carries it."""
    INCIDENTS_READ = "incidents:read"
    INCIDENTS_DECIDE = "incidents:decide"
    """Decide, reopen, merge and split; correct findings."""
    DEADLETTERS_READ = "deadletters:read"
    HEALTH_READ = "health:read"
    ACTIONS_READ = "actions:read"
    """See proposals, their rulings, approvals and receipts."""
    ACTIONS_PROPOSE = "actions:propose"
    APPROVALS_DECIDE = "approvals:decide"
    """Approve or deny; that the approver neither proposed nor shaped it is checked for each proposal."""
    KILL_ENGAGE = "kill:engage"
    POLICY_WRITE = "policy:write"
    """Put policy in force, and promote."""
    ACCOUNTS_WRITE = "accounts:write"
    LEDGER_READ = "ledger:read"


class Role(StrEnum):
    """What a person is in a tenant; one person may be several."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    RESPONDER = "responder"
    LEAD = "lead"
    ADMIN = "admin"
    """Manages accounts and may stop everything, and does not approve: who hands out authority does not use it."""
    AUDITOR = "auditor"


PEOPLE_ONLY: Final = frozenset(
    {
        Scope.INCIDENTS_DECIDE,
        Scope.APPROVALS_DECIDE,
        Scope.KILL_ENGAGE,
        Scope.POLICY_WRITE,
        Scope.ACCOUNTS_WRITE,
    }
)
"""Decide, approve, stop, promote, change policy, hand out authority: never held by a service or an agent."""

_SERVICE: Final = frozenset(
    {
        Scope.ALERTS_WRITE,
        Scope.INCIDENTS_READ,
        Scope.DEADLETTERS_READ,
        Scope.HEALTH_READ,
        Scope.ACTIONS_READ,
        Scope.ACTIONS_PROPOSE,
        Scope.LEDGER_READ,
    }
)
_AGENT: Final = frozenset({Scope.INCIDENTS_READ, Scope.HEALTH_READ, Scope.ACTIONS_READ, Scope.ACTIONS_PROPOSE})
"""An agent writes no alerts either: it would author its own evidence."""

_VIEWER: Final = frozenset({Scope.INCIDENTS_READ, Scope.ACTIONS_READ, Scope.HEALTH_READ})
_ANALYST: Final = _VIEWER | {Scope.INCIDENTS_DECIDE, Scope.DEADLETTERS_READ, Scope.ACTIONS_PROPOSE}
_RESPONDER: Final = _ANALYST | {Scope.APPROVALS_DECIDE, Scope.KILL_ENGAGE}

SCOPES_OF_ROLE: Final[Mapping[Role, frozenset[Scope]]] = {
    Role.VIEWER: _VIEWER,
    Role.ANALYST: _ANALYST,
    Role.RESPONDER: _RESPONDER,
    Role.LEAD: _RESPONDER | {Scope.POLICY_WRITE},
    Role.ADMIN: frozenset({Scope.ACCOUNTS_WRITE, Scope.HEALTH_READ, Scope.KILL_ENGAGE}),
    Role.AUDITOR: frozenset(
        {Scope.INCIDENTS_READ, Scope.ACTIONS_READ, Scope.LEDGER_READ, Scope.DEADLETTERS_READ, Scope.HEALTH_READ}
    ),
}


def scopes_of(roles: Collection[Role]) -> frozenset[Scope]:
    """Everything that these roles together carry."""
    return frozenset().union(*(SCOPES_OF_ROLE[role] for role in roles))


def roles_within(scopes: Collection[Scope]) -> frozenset[Role]:
    """The roles that somebody with these scopes amounts to: those of which no scope is missing."""
    held = frozenset(scopes)
    return frozenset(role for role, needed in SCOPES_OF_ROLE.items() if needed <= held)


def holdable(kind: PrincipalKind) -> frozenset[Scope]:
    """The scopes that a principal of this kind may hold at all. Lists, not exceptions: a new scope is a person's."""
    match kind:
        case PrincipalKind.PERSON:
            return frozenset(Scope)
        case PrincipalKind.SERVICE:
            return _SERVICE
        case PrincipalKind.AGENT:
            return _AGENT
        case unknown:
            assert_never(unknown)
