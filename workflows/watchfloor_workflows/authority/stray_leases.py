"""Containments in force that the configured tools cannot end: another tool made them than the one of that name by now.

Whoever changes where a tool acts (another folder, list, firewall) leaves what it did at the old place. Its undo goes to
the new one, finds nothing there, and what was done stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_core.errors import RecordError
from watchfloor_core.store.schema_authority import action_proposal, lease
from watchfloor_guardrails.proposal import parse_preimage

PinOf = Callable[[str, str], "str | None"]
"""Of a tenant's tool of that name, its pin; None where there is no such tool."""
MAX_LOOKED_AT: Final = 10_000
"""The oldest."""


@dataclass(frozen=True, slots=True)
class StrayLease:
    tenant: str
    proposal_id: str
    action_class: str
    tool: str
    target_value: str
    """May be text that an attacker wrote."""
    why: str


def stray_leases(connection: Connection, pin_of: PinOf) -> Iterator[StrayLease]:
    """Those of every tenant, the oldest first. No tool is made or asked; pins are compared."""
    rows = connection.execute(
        select(lease, action_proposal.c.preimage)
        .join(
            action_proposal,
            (action_proposal.c.tenant == lease.c.tenant) & (action_proposal.c.id == lease.c.proposal_id),
        )
        .where(lease.c.state != "ended")
        .order_by(lease.c.opened_us, lease.c.proposal_id)
        .limit(MAX_LOOKED_AT)
    )
    for row in rows:
        why = _why(pin_of(row.tenant, row.tool), row.tool, row.preimage)
        if why is not None:
            yield StrayLease(row.tenant, row.proposal_id, row.action_class, row.tool, row.target_value, why)


def _why(pin: str | None, tool: str, preimage: str | None) -> str | None:
    if pin is None:
        return f"there is no tool {tool!r} any more"
    try:
        made_by = parse_preimage((preimage or "").encode()).tool_pin
    except RecordError:
        return "its proposal cannot be read"
    return None if pin == made_by else f"the tool {tool!r} acts in another way or at another place since"
