"""Containments that are just being carried out: the grant is used up, the lease is not open yet.

They count as held. Else two executions at once would each find that the other has not happened, contain one target
twice, and together more than the limits allow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select, text

from watchfloor_core.identity import digest16
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema_authority import action_proposal, execution
from watchfloor_guardrails.catalogue import CATALOGUE

_LOCK: Final = text("SELECT pg_advisory_xact_lock(:key)").execution_options(**UNAWAITED)
_ACTING: Final = (
    select(execution.c.action_class, execution.c.tool, action_proposal.c.draft)
    .join(
        action_proposal,
        (action_proposal.c.tenant == execution.c.tenant) & (action_proposal.c.id == execution.c.proposal_id),
    )
    .where(execution.c.phase == "acting", execution.c.tenant == bindparam("tenant"))
)


@dataclass(frozen=True, slots=True)
class Containment:
    """One that is under way."""

    action_class: str
    tool: str
    target_kind: str
    target_value: str


def lock_containments(connection: Connection, tenant: str) -> None:
    """Until the transaction ends the tenant begins no other containment. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(digest16("containments", tenant)[:8], "big", signed=True)
        connection.execute(_LOCK, {"key": key})


def under_way(connection: Connection, tenant: str) -> tuple[Containment, ...]:
    """Those that have begun and not ended. Read them before the leases: what ends in between is found among those."""
    rows = connection.execute(_ACTING, {"tenant": tenant})
    return tuple(
        Containment(row.action_class, row.tool, row.draft["target_kind"], str(row.draft["target"]["value"]))
        for row in rows
        if row.action_class in CATALOGUE and CATALOGUE[row.action_class].is_containment
    )
