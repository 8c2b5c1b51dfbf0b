"""Names that stand in Temporal histories: a change of one breaks every workflow that is under way.

The tests hold a snapshot of them.
"""

from __future__ import annotations

from typing import Final

INCIDENT_WORKFLOW: Final = "watchfloor.incident"

INCIDENT_CHANGED: Final = "incident_changed"
"""Signal."""

DECIDE: Final = "decide"
"""Update."""
REOPEN: Final = "reopen"
"""Update."""

STATE: Final = "state"
"""Query."""

TRIAGE_INCIDENT: Final = "triage_incident"
SETTLE_INCIDENT: Final = "settle_incident"
RECORD_HUMAN_VERDICT: Final = "record_human_verdict"
REOPEN_INCIDENT: Final = "reopen_incident"

NEEDS_OWN_ACTIVITY: Final = "NeedsOwnActivity"
"""Error type with which a worker declines an activity inside the workflow task: it will take long."""

FINAL_ERRORS: Final = ("NotFoundError", "RefusedError", "LedgerError")
"""Error types that no retry mends: class names, as Temporal's failures carry them."""


def incident_workflow_id(tenant: str, incident_id: str) -> str:
    """The one workflow of an incident."""
    return f"incident:{tenant}:{incident_id}"
