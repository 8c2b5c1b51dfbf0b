"""What goes into workflows and activities and what comes out: one frozen value each.

All of it is stored in Temporal's history, so nothing here is large, secret, or part of a sealed answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from watchfloor_core.incident import IncidentStatus, Verdict


class WaitingFor(StrEnum):
    """What an open incident's workflow waits for."""

    TRIAGE = "triage"
    QUIET = "quiet"
    """More material came; further signals are awaited for a moment, so that a flood is triaged once."""
    PERSON = "person"
    NOTHING = "nothing"
    """Closed, merged or gone: the workflow is about to end."""


@dataclass(frozen=True, slots=True)
class IncidentStanding:
    """Where an incident stands in the store, as read in the transaction that changed it."""

    status: IncidentStatus
    revision: int
    settled_revision: int
    """The revision that status and verdict speak of; smaller than ``revision`` while new material waits."""
    severity: int
    """OCSF ``severity_id``."""
    verdict: Verdict | None
    """None before triage, and at L0 until a person decided."""
    level: int | None
    """Effective autonomy level of the last ruling."""
    ledger_seq: int
    """Entries in the incident's chain of the ledger: of two standings, the one with more is the newer."""

    @property
    def is_settled(self) -> bool:
        return self.settled_revision >= self.revision


@dataclass(frozen=True, slots=True)
class IncidentMemory:
    """What a run hands to the next where history grew long."""

    signalled_revision: int
    standing: IncidentStanding | None
    passes: int
    since_us: int


@dataclass(frozen=True, slots=True)
class RunIncidentInput:
    """Starts `IncidentWorkflow`."""

    tenant: str
    incident_id: str
    debounce_s: float
    """How long a re-triage waits for further changes; the first triage never waits."""
    memory: IncidentMemory | None = None


@dataclass(frozen=True, slots=True)
class RunIncidentResult:
    """How a run of `IncidentWorkflow` ended."""

    standing: IncidentStanding | None
    """None where the store does not know the incident."""
    passes: int


@dataclass(frozen=True, slots=True)
class ChangeIncidentInput:
    """Signal: correlation or a person changed what the incident holds."""

    revision: int


@dataclass(frozen=True, slots=True)
class TriageIncidentInput:
    tenant: str
    incident_id: str


@dataclass(frozen=True, slots=True)
class TriageIncidentResult:
    revision: int
    """The revision that was triaged. The answer itself stays in the store: at L0 no one may see it here."""


@dataclass(frozen=True, slots=True)
class SettleIncidentInput:
    tenant: str
    incident_id: str
    revision: int
    """Settles this revision and no other; where the incident has moved on, nothing is changed."""


@dataclass(frozen=True, slots=True)
class SettleIncidentResult:
    standing: IncidentStanding


@dataclass(frozen=True, slots=True)
class DecideIncidentInput:
    """Update: a person's verdict. ``principal`` is who the API authenticated, never a request field."""

    principal: str
    principal_kind: str
    """``person`` or ``service``; only a person decides."""
    verdict: Verdict
    close: bool
    """Close the incident with this verdict; else it stays open: escalated as TruePositive, queued otherwise."""
    comment: str
    revision: int
    """The revision that the person looked at."""
    update_id: str
    """The same id again is the same decision, and is recorded once."""
    acknowledges_newer: bool = False
    """The person knows that the incident changed, or was decided on, after the revision they looked at."""


@dataclass(frozen=True, slots=True)
class ReopenIncidentInput:
    """Update: a person takes a closed incident up again; from then on no agent closes it."""

    principal: str
    principal_kind: str
    comment: str
    update_id: str


@dataclass(frozen=True, slots=True)
class RecordHumanVerdictInput:
    tenant: str
    incident_id: str
    decision: DecideIncidentInput


@dataclass(frozen=True, slots=True)
class ReopenIncidentOrder:
    tenant: str
    incident_id: str
    request: ReopenIncidentInput


@dataclass(frozen=True, slots=True)
class ChangedIncidentResult:
    """Answers both updates, and their activities."""

    standing: IncidentStanding


@dataclass(frozen=True, slots=True)
class WorkflowState:
    """Query: what the workflow knows. Holds nothing of a sealed answer."""

    status: IncidentStatus
    verdict: Verdict | None
    level: int | None
    revision: int
    waiting_for: WaitingFor
    passes: int
    """Triage passes since the first run."""
    since_us: int
    """Workflow time since when the status holds."""
