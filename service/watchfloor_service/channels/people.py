"""Who somebody is here: from a channel's own name for a person to a principal and the roles of their account.

The map is the operator's and the roles are the store's; nothing that a message says about either is read. Refusals
are entered in the ledger, the first few of one user a minute: pressing a button again and again fills nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import select

from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError, RefusedError
from watchfloor_core.ledger import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.roles import Role, Scope, scopes_of
from watchfloor_service.access.accounts import CONTROL
from watchfloor_service.channels.parts import ChannelParts

MAX_USER: Final = 128
_ROLES: Final = {role.value: role for role in Role}


class ChannelKind(StrEnum):
    """How votes name where they came from."""

    SLACK = "slack"
    TEAMS = "teams"
    WEBHOOK = "webhook"


class RefusalCode(StrEnum):
    UNMAPPED_USER = "channel_unmapped_user"
    NO_ACCOUNT_OR_ROLE = "channel_no_account_or_role"
    MAY_NOT_DECIDE = "channel_may_not_decide"


@dataclass(frozen=True, slots=True)
class Message:
    """One proven message, as far as it says who wants what."""

    tenant: str
    kind: ChannelKind
    user: str
    """The person, as the channel names them."""
    proposal_id: str


@dataclass(frozen=True, slots=True)
class ChannelPerson:
    """A person with an account who may decide on approvals."""

    principal: str
    roles: tuple[str, ...]


def identify(store: Store, parts: ChannelParts, users: Mapping[str, str], message: Message) -> ChannelPerson:
    """Who wrote ``message``. Raises `RefusedError`, and records it, where it is nobody who may decide."""
    principal = users.get(message.user)
    if principal is None:
        raise _refusal(
            store,
            parts,
            message,
            RefusalCode.UNMAPPED_USER,
            None,
            f"you are not known to Watchfloor here as {escape_untrusted(message.user[:MAX_USER])!r}; an administrator "
            "names you under users in channels.yaml",
        )
    held = parts.roles(principal, message.tenant)
    if not held:
        raise _refusal(
            store,
            parts,
            message,
            RefusalCode.NO_ACCOUNT_OR_ROLE,
            principal,
            f"{principal!r} is no enabled account with a role in tenant {message.tenant!r}; an administrator gives one",
        )
    if Scope.APPROVALS_DECIDE not in scopes_of([_ROLES[name] for name in held if name in _ROLES]):
        raise _refusal(
            store,
            parts,
            message,
            RefusalCode.MAY_NOT_DECIDE,
            principal,
            f"{principal!r} is {', '.join(held)} here, and none of that decides on approvals; a responder or lead does",
        )
    return ChannelPerson(principal, held)


def proposal_digest(store: Store, tenant: str, proposal_id: str) -> str:
    """The digest of a sealed proposal. A proposal has one for ever: changed arguments are another proposal.

    Raises `NotFoundError`.
    """
    columns = action_proposal.c
    with store.read() as connection:
        digest: str | None = connection.execute(
            select(columns.digest).where(columns.tenant == tenant, columns.id == proposal_id)
        ).scalar_one_or_none()
    if digest is None:
        raise NotFoundError(f"no proposal {proposal_id!r} waits in this tenant")
    return digest


def _refusal(
    store: Store, parts: ChannelParts, message: Message, code: RefusalCode, principal: str | None, reason: str
) -> RefusedError:
    whose = f"{message.kind.value} {message.tenant} {message.user}"
    is_one_too_many = parts.recorded.retry_after_s(whose, b"") is not None
    parts.recorded.failed(whose)
    if is_one_too_many:
        return RefusedError(reason)
    now = now_us()
    decision = Decision(
        CONTROL,
        "refusal",
        {
            "code": code.value,
            "channel": message.kind.value,
            "user": escape_untrusted(message.user[:MAX_USER]),
            "principal": principal,
            "proposal": message.proposal_id,
            "reason": reason,
        },
        SpanName.REFUSAL,
        now,
        now,
        attributes={
            SpanAttribute.REFUSAL_CODE: code.value,
            SpanAttribute.APPROVAL_CHANNEL: message.kind.value,
            SpanAttribute.PROPOSAL_ID: message.proposal_id,
            **({SpanAttribute.PRINCIPAL: principal} if principal is not None else {}),
        },
    )
    with store.write() as connection:
        record_decisions(connection, message.tenant, [decision])
    return RefusedError(reason)
