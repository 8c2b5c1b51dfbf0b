"""Proposals whose workflow should have gone on by now: it may have been ended by whoever reaches Temporal.

The store knows where each stands, and a workflow that is started again goes on from there: nobody is asked twice and
nothing is done twice. So all that it takes is to start one anew where none runs.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, and_, or_, select

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.store.schema_authority import action_proposal, lease
from watchfloor_guardrails.proposal import ProposalStatus

AFTER_DEADLINE_US: Final = 60 * MICROSECONDS
"""A deadline that has passed for so long, and nobody has said so."""
STANDSTILL_US: Final = 15 * 60 * MICROSECONDS
"""So long between two steps that wait for no person: longer than any of them takes."""
_STEPS: Final = [ProposalStatus.DRAFTED.value, ProposalStatus.APPROVED.value, ProposalStatus.EXECUTING.value]
MOST: Final = 200


def overdue(connection: Connection, now_us: int) -> list[tuple[str, str]]:
    """(tenant, proposal id) of what stands still, of every tenant, the longest first; at most `MOST`."""
    table = action_proposal.c
    held = lease.join(action_proposal, and_(table.tenant == lease.c.tenant, table.id == lease.c.proposal_id))
    late_leases = connection.execute(
        select(lease.c.tenant, lease.c.proposal_id)
        .select_from(held)
        .where(lease.c.state != "ended", lease.c.ends_us < now_us - AFTER_DEADLINE_US)
        .order_by(lease.c.ends_us)
        .limit(MOST)
    )
    late = connection.execute(
        select(table.tenant, table.id)
        .where(
            # An undo that its lease has proposed is started by the lease.
            table.undo_of.is_(None),
            or_(
                and_(table.status == ProposalStatus.WAITING.value, table.deadline_us < now_us - AFTER_DEADLINE_US),
                and_(table.status.in_(_STEPS), table.updated_us < now_us - STANDSTILL_US),
            ),
        )
        .order_by(table.updated_us)
        .limit(MOST)
    )
    return [(row[0], row[1]) for row in (*late_leases, *late)]
