"""What an embedded Temporal may have forgotten is handed to it again when the stack starts.

Its database is a file of its own beside the store. A power cut may take the last seconds of the one and not of the
other, a person may delete or restore either. The workflow triages the incident as it stands, so that hearing of it
twice changes nothing.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, literal, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from watchfloor_core.clock import now_us
from watchfloor_core.incident import IncidentStatus
from watchfloor_core.store.schema import incident, outbox
from watchfloor_core.store.schema_authority import action_outbox, action_proposal, lease
from watchfloor_guardrails.proposal import ProposalStatus

_OPEN = [status.value for status in IncidentStatus if status.is_open]
_ASKED = [IncidentStatus.QUEUED.value, IncidentStatus.ESCALATED.value]


def deliver_actions_again(connection: Connection) -> int:
    """Put proposals back into the outbox that are under way, or hold a lease; returns how many.

    For a Temporal database that is new and knows none of them. Their workflows go on from where the store says they
    stand: nobody is asked twice, and nothing is done twice.
    """
    held = select(lease.c.proposal_id).where(
        lease.c.tenant == action_proposal.c.tenant,
        lease.c.proposal_id == action_proposal.c.id,
        lease.c.state != "ended",
    )
    is_open = action_proposal.c.status.in_([status.value for status in ProposalStatus if status.is_open])
    rows = connection.execute(
        select(action_proposal.c.tenant, action_proposal.c.id).where(or_(is_open, held.exists()))
    ).all()
    now = now_us()
    if rows:
        connection.execute(
            insert(action_outbox),
            [
                {"tenant": row.tenant, "proposal_id": row.id, "kind": "start", "reason": "", "created_us": now}
                for row in rows
            ],
        )
    return len(rows)


def deliver_again(connection: Connection, *, all_open: bool) -> int:
    """Put incidents back into the outbox that were handed over and have no verdict yet; returns how many.

    ``all_open``: those that wait for a person as well, for Temporal's database is new and knows none of them.

    One that correlation has not handed over (its session still runs, and it looks benign) is not handed over now
    either: a restart must not change what is decided when.
    """
    # What correlation last handed over; it keeps this itself, so that it outlives the outbox's rows.
    handed_over = incident.c.features["fold"]["emitted"].as_integer()
    wanted = (incident.c.status.in_(_OPEN)) & (handed_over > incident.c.triaged_revision)
    if all_open:
        wanted = or_(wanted, incident.c.status.in_(_ASKED))
    rows = select(
        incident.c.tenant,
        incident.c.id,
        incident.c.revision,
        literal(now_us()),
        literal(None, outbox.c.delivered_us.type),
    ).where(wanted)
    columns = ["tenant", "incident_id", "revision", "created_us", "delivered_us"]
    make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = make(outbox).from_select(columns, rows)
    again = statement.on_conflict_do_update(
        index_elements=["tenant", "incident_id", "revision"], set_={"delivered_us": None}
    )
    # An INSERT … SELECT has no row count that both drivers tell; what it returns can be counted.
    return len(connection.execute(again.returning(outbox.c.id)).all())
