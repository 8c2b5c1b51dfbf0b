"""Freezes: after an outcome that nobody knows, nothing of its action class runs until a person has looked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select, text, update

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError, RefusedError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import freeze
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.switches import refusals_to_release

_FREEZE: Final = text(
    # PostgreSQL keeps the word for itself unless it is quoted.
    'INSERT INTO "freeze" (tenant, action_class, proposal_id, reason, since_us) '
    "VALUES (:tenant, :action_class, :proposal_id, :reason, :now) ON CONFLICT DO NOTHING"
)
_LIST: Final = (
    select(freeze.c.action_class, freeze.c.proposal_id, freeze.c.reason, freeze.c.since_us)
    .where(freeze.c.tenant == bindparam("tenant"), freeze.c.lifted_us.is_(None))
    .order_by(freeze.c.since_us, freeze.c.action_class, freeze.c.proposal_id)
)
_LIST_CLASS: Final = _LIST.where(freeze.c.action_class == bindparam("action_class"))


@dataclass(frozen=True, slots=True)
class Freeze:
    """One freeze in force."""

    action_class: str
    proposal_id: str
    """Whose outcome is unknown."""
    reason: str
    since_us: int


def freeze_class(connection: Connection, tenant: str, action_class: str, proposal_id: str, reason: str) -> bool:
    """Freeze an action class because of one proposal; True where it was not frozen for it before.

    Once per proposal: what a person has lifted, a repetition does not freeze again. The caller tells the ledger, in the
    same transaction.
    """
    values = {
        "tenant": tenant,
        "action_class": action_class,
        "proposal_id": proposal_id,
        "reason": reason,
        "now": now_us(),
    }
    return connection.execute(_FREEZE, values).rowcount == 1


def list_freezes(connection: Connection, tenant: str, action_class: str | None = None) -> tuple[Freeze, ...]:
    """What is frozen, the oldest first."""
    if action_class is None:
        rows = connection.execute(_LIST, {"tenant": tenant})
    else:
        rows = connection.execute(_LIST_CLASS, {"tenant": tenant, "action_class": action_class})
    return tuple(Freeze(*row) for row in rows)


def is_frozen(connection: Connection, tenant: str, action_class: str) -> str | None:
    """Why nothing of this class runs; None where it may."""
    held = list_freezes(connection, tenant, action_class)
    if not held:
        return None
    more = f" (and {len(held) - 1} more)" if len(held) > 1 else ""
    return f"{held[0].proposal_id}: {held[0].reason}{more}"


def lift(
    store: Store,
    tenant: str,
    action_class: str,
    principal: Principal,
    reason: str,
    *,
    proposal_ids: Collection[str] | None = None,
) -> tuple[str, ...]:
    """Let an action class run again, after a person has looked at the targets; returns the proposals it was about.

    ``proposal_ids`` are those looked at; None: all that are frozen now. Raises `RefusedError` for whoever is no person,
    and `ConflictError` where nothing of it is frozen.
    """
    against = refusals_to_release(principal, reason)
    if against:
        raise RefusedError("; ".join(against))
    now = now_us()
    with store.write() as connection:
        open_now = (freeze.c.tenant == tenant, freeze.c.action_class == action_class, freeze.c.lifted_us.is_(None))
        chosen = update(freeze).where(*open_now)
        if proposal_ids is not None:
            chosen = chosen.where(freeze.c.proposal_id.in_(sorted(proposal_ids)))
        moved = chosen.values(lifted_us=now, lifted_by=principal.name).returning(freeze.c.proposal_id)
        lifted = tuple(sorted(connection.scalars(moved)))
        if not lifted:
            raise ConflictError(f"action class {action_class!r} of tenant {tenant!r} is not frozen, or not for these")
        record_decisions(connection, tenant, [_lifted(action_class, lifted, principal, reason, now)])
    return lifted


def _lifted(action_class: str, proposals: tuple[str, ...], principal: Principal, reason: str, now: int) -> Decision:
    return Decision(
        chain="control",
        kind="freeze",
        body={
            "action_class": action_class,
            "is_frozen": False,
            "proposals": list(proposals),
            "principal": principal.name,
            "reason": reason,
        },
        name=SpanName.FREEZE,
        start_us=now,
        end_us=now_us(),
        attributes={SpanAttribute.ACTION_CLASS: action_class, SpanAttribute.PRINCIPAL: principal.name},
    )
