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

FINAL_FOR_ACTIONS: Final = (*FINAL_ERRORS, "RecordError", "ConfigurationError")
"""Those of actions and approvals: a proposal that cannot be read again is put before people, not tried for ever."""


def incident_workflow_id(tenant: str, incident_id: str) -> str:
    """The one workflow of an incident."""
    return f"incident:{tenant}:{incident_id}"


ACTION_WORKFLOW: Final = "watchfloor.action"
APPROVAL_WORKFLOW: Final = "watchfloor.approval"

VOTE: Final = "vote"
"""Update."""
VOID: Final = "void"
"""Signal."""
APPROVAL_STATE: Final = "approval_state"
"""Query."""

OBSERVE_TARGET: Final = "observe_target"
EXECUTE_ACTION: Final = "execute_action"
"""These two run in the executor's process and nowhere else."""
SEAL_PROPOSAL: Final = "seal_proposal"
RECORD_VOTE: Final = "record_vote"
END_PROPOSAL: Final = "end_proposal"
ISSUE_GRANT: Final = "issue_grant"
END_LEASE: Final = "end_lease"
ANNOUNCE: Final = "announce"


def action_workflow_id(tenant: str, proposal_id: str) -> str:
    """The one workflow of a proposal."""
    return f"action:{tenant}:{proposal_id}"


def approval_workflow_id(tenant: str, proposal_id: str) -> str:
    """The one workflow that waits for people about a proposal: parallel approvals cannot cross."""
    return f"approval:{tenant}:{proposal_id}"


INVESTIGATION_WORKFLOW: Final = "watchfloor.investigation"
INVESTIGATION_GRAPH: Final = "watchfloor.investigate"
"""The graph's nodes are activities of this name, a dot, and the stage's."""
FAIL_INVESTIGATION: Final = "fail_investigation"


def investigation_workflow_id(tenant: str, incident_id: str, revision: int) -> str:
    """The one workflow that investigates a revision of an incident."""
    return f"investigation:{tenant}:{incident_id}:{revision}"


PLAYBOOK_WORKFLOW: Final = "watchfloor.playbook"
WAKE: Final = "wake"
"""Signal."""
TAKE_TURN: Final = "take_turn"
TELL_TASK: Final = "tell_task"


def playbook_workflow_id(tenant: str, run_id: str) -> str:
    """The one workflow of a playbook's run."""
    return f"playbook:{tenant}:{run_id}"
