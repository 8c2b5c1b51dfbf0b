"""What goes into investigations' workflows and what comes out. All of it is stored in Temporal's history."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunInvestigationInput:
    """Starts `InvestigationWorkflow`; names the investigation's row in the store."""

    tenant: str
    incident_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class RunInvestigationResult:
    is_done: bool
    """False where it failed; the store says why."""
    rounds: int


@dataclass(frozen=True, slots=True)
class FailInvestigationInput:
    investigation: RunInvestigationInput
    problem: str
    """Activity and class of error."""
