"""What breakers are decided from: how the latest executions of an action class by a tool ended."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from watchfloor_core.store.schema_authority import execution
from watchfloor_guardrails.breaker import Outcome

RECENT: Final = 20
"""Outcomes that are looked at."""
_ACTS: Final = execution.c
_ENDED: Final = (
    select(func.coalesce(_ACTS.outcome, "").label("outcome"))
    .where(
        _ACTS.tenant == bindparam("tenant"),
        _ACTS.action_class == bindparam("action_class"),
        _ACTS.tool == bindparam("tool"),
        _ACTS.phase == "done",
    )
    .order_by(_ACTS.consumed_us.desc(), _ACTS.grant_id)
)
_LATEST: Final = _ENDED.limit(bindparam("most"))
SELECT_LAST_OUTCOME: Final = _ENDED.limit(1)
"""How the latest execution of `action_class` by `tool` that has ended did so; no row where none has."""


def recent_outcomes(
    connection: Connection, tenant: str, action_class: str, tool: str, limit: int = RECENT
) -> tuple[Outcome, ...]:
    """The outcomes of the latest executions that have ended, the latest begun first; for `breaker_state`."""
    asked = {"tenant": tenant, "action_class": action_class, "tool": tool, "most": limit}
    names = connection.scalars(_LATEST, asked)
    return tuple(_outcome(name) for name in names)


def is_closed(last_outcome: str | None) -> bool:
    """Whether a breaker is closed whatever came before this, the latest outcome, or None where there was none yet."""
    return last_outcome is None or _outcome(last_outcome) is Outcome.SUCCEEDED


def _outcome(name: str) -> Outcome:
    try:
        return Outcome(name)
    except ValueError:
        # Another version's name, or none: what it means is not known here.
        return Outcome.UNKNOWN
