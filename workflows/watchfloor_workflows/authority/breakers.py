"""What breakers are decided from: how the latest executions of an action class by a tool ended."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from watchfloor_core.store.schema_authority import execution
from watchfloor_guardrails.breaker import Outcome

RECENT: Final = 20
"""Outcomes that are looked at."""


def recent_outcomes(
    connection: Connection, tenant: str, action_class: str, tool: str, limit: int = RECENT
) -> tuple[Outcome, ...]:
    """The outcomes of the latest executions that have ended, the latest begun first; for `breaker_state`."""
    acts = execution.c
    names = connection.scalars(
        select(acts.outcome)
        .where(acts.tenant == tenant, acts.action_class == action_class, acts.tool == tool, acts.phase == "done")
        .order_by(acts.consumed_us.desc(), acts.grant_id)
        .limit(limit)
    )
    return tuple(_outcome(name) for name in names)


def _outcome(name: str | None) -> Outcome:
    try:
        return Outcome(name or "")
    except ValueError:
        # Another version's name, or none: what it means is not known here.
        return Outcome.UNKNOWN
