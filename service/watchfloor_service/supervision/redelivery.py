"""What an embedded Temporal may have forgotten is handed to it again when the stack starts.

Its database is a file of its own beside the store. A power cut may take the last seconds of the one and not of the
other, a person may delete or restore either. The workflow triages the incident as it stands, so that hearing of it
twice changes nothing.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from watchfloor_core.clock import now_us

_AGAIN = """
    INSERT INTO outbox (tenant, incident_id, revision, created_us, delivered_us)
    SELECT tenant, id, revision, :now, NULL FROM incident
    WHERE status = 'new' OR (status IN ('queued', 'escalated') AND (triaged_revision < revision OR :all_open))
    ON CONFLICT (tenant, incident_id, revision) DO UPDATE SET delivered_us = NULL
"""


def deliver_again(connection: Connection, *, all_open: bool) -> int:
    """Put incidents back into the outbox whose latest revision has no verdict yet; returns how many.

    ``all_open``: those that wait for a person as well, for Temporal's database is new and knows none of them.
    """
    return connection.execute(text(_AGAIN), {"now": now_us(), "all_open": all_open}).rowcount
