"""Somebody else's engine as the one who gives the second opinion: the same gates, budgets and records as for models."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from watchfloor_agents.generative.spending import Allowance
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_agents.opinion.budget import RUNS, OpinionBudget
from watchfloor_agents.opinion.consulting import PluggedEngine, consult
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_core.clock import now_us
from watchfloor_core.errors import RefusedError
from watchfloor_core.report import Report
from watchfloor_core.store.engine import Store
from watchfloor_workflows.authority.budgets import charge
from watchfloor_workflows.investigation.records import InvestigationKey
from watchfloor_workflows.investigation.researching import Opinion, is_charged, reference_of
from watchfloor_workflows.investigation.wanted import stopped_by


@dataclass(frozen=True, slots=True, kw_only=True)
class Consultant:
    """A `SecondOpinion` of an engine that came by an entry point."""

    store: Store
    engine: PluggedEngine
    tools: Sequence[ToolForm] = ()
    """Reading tools of others that it may call."""
    budget: OpinionBudget = field(default_factory=OpinionBudget)

    @property
    def agent(self) -> str:
        return self.engine.agent

    @property
    def total_timeout_s(self) -> float:
        return self.budget.total_timeout_s

    def admit(self, key: InvestigationKey) -> Allowance | str:
        """Nothing of the budget of models: it is given none. Its run is counted."""
        reference = reference_of(key)
        with self.store.write() as connection:
            if stopped_by(connection, key.tenant, self.agent):
                return f"a kill switch is thrown over {self.agent}"
            if is_charged(connection, key.tenant, reference, (RUNS,)):
                return "it was asked before, and its run was cut off"
            try:
                charge(connection, key.tenant, self.budget.charges(key.incident_id, reference), now_us())
            except RefusedError:
                return "the budget of runs is used up"
        return Allowance(tokens=0, micro_usd=0)

    async def ask(
        self,
        view: CaseView,
        specialist: Report,
        allowance: Allowance,  # noqa: ARG002  # none is given
        put: Callable[[Question], Awaitable[Answer]],
    ) -> Opinion:
        result = await consult(self.engine, view, put, self.budget, specialist=specialist, tools=self.tools)
        return Opinion(result, result.detail if result.report is None else "", self.agent)

    def settle(self, key: InvestigationKey, opinion: Opinion) -> None:
        """A run that was made is used, whatever came of it."""
