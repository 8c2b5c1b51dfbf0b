"""What somebody else's engine may use up. The figures are those that hold for models where no file says otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watchfloor_agents.generative.accounts import DAY_S, OF_THE_DAY
from watchfloor_guardrails.budget import Charge

RUNS: Final = "engine_runs"
"""The budget's name in the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpinionBudget:
    total_timeout_s: float = 600.0
    """For one run, from its process's start to its end."""
    max_calls: int = 24
    max_events: int = 1_000
    """Events, counts and facts that its questions may bring in all."""
    runs_per_incident: int = 20
    runs_per_day: int = 2_000
    """Of the tenant."""

    def charges(self, incident_id: str, reference: str) -> tuple[Charge, ...]:
        """For one run. It is never given back: a run that was cut off is not repeated."""
        return (
            Charge(RUNS, incident_id, 1, self.runs_per_incident, None, reference),
            Charge(RUNS, OF_THE_DAY, 1, self.runs_per_day, DAY_S, reference),
        )
