"""A second engine's part in an investigation: asked once, after the rules, where those leave the case open.

What it may use up is reserved in the store before, and settled after. A run that was cut off keeps its reservation and
is not repeated, since a second time could cost as much as the first. Whatever becomes of it, the investigation goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import Connection, select

from watchfloor_agents.generative.accounts import (
    DAY_S,
    MICRO_USD,
    OF_THE_DAY,
    TOKENS,
    Used,
    allowance_of,
    reserve,
    settle,
)
from watchfloor_agents.generative.settings import ModelSettings
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_core.clock import now_us
from watchfloor_core.errors import RefusedError
from watchfloor_core.incident import AutonomyLevel, Verdict
from watchfloor_core.report import Report
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import budget_charge
from watchfloor_guardrails.engine import engine_ceiling
from watchfloor_workflows.authority.budgets import charge, refund, spent
from watchfloor_workflows.investigation.records import InvestigationKey
from watchfloor_workflows.investigation.wanted import investigation_task, stopped_by
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import StoredIncident

if TYPE_CHECKING:
    # What needs the extra is imported by whoever configured a model.
    from watchfloor_agents.generative.engine import Research
    from watchfloor_agents.generative.providers import ReadyModel
    from watchfloor_agents.generative.result import GenerativeResult
    from watchfloor_agents.generative.spending import Allowance

AGENT: Final = "generative:investigation"
"""Its name in kill switches (``agent:generative:investigation``) and beside the evidence that it found."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """What came of asking a model."""

    result: GenerativeResult | None
    """None where none was asked."""
    problem: str = ""
    """Why there is no report of it, in words for people."""
    agent: str = AGENT
    """Who was to be asked."""


class SecondOpinion(Protocol):
    """Whoever looks into what the rules leave open: models, or somebody else's engine. Reserved, asked, settled."""

    @property
    def agent(self) -> str:
        """Its name in kill switches, caps of engines, and beside the evidence that it found."""
        ...

    @property
    def total_timeout_s(self) -> float: ...

    def admit(self, key: InvestigationKey) -> Allowance | str:
        """What its run may use up, reserved; or why it is not asked. Blocks."""
        ...

    async def ask(
        self,
        view: CaseView,
        specialist: Report,
        allowance: Allowance,
        put: Callable[[Question], Awaitable[Answer]],
    ) -> Opinion:
        """Raises nothing but the cancellation of the task."""
        ...

    def settle(self, key: InvestigationKey, opinion: Opinion) -> None:
        """Charge what was used in place of what was reserved. Blocks."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Researcher:
    """The models of the settings, ready to be asked."""

    store: Store
    settings: ModelSettings
    models: Sequence[ReadyModel]
    research: Research
    tools: Sequence[ToolForm] = ()
    """Reading tools of others that models are offered beside ours."""

    @property
    def agent(self) -> str:
        return AGENT

    @property
    def total_timeout_s(self) -> float:
        return self.settings.total_timeout_s

    def admit(self, key: InvestigationKey) -> Allowance | str:
        """What this investigation's research may use up, reserved; or why no model is asked. Blocks."""
        reference = reference_of(key)
        with self.store.write() as connection:
            if stopped_by(connection, key.tenant, AGENT):
                return "a kill switch is thrown over models"
            if is_charged(connection, key.tenant, reference, (TOKENS, MICRO_USD)):
                return "a model was asked before, and its run was cut off"
            allowance = allowance_of(self.settings, _used(connection, key))
            charges = reserve(self.settings, allowance, key.incident_id, reference)
            if not allowance.tokens or not charges:
                return "the budget of tokens is used up"
            try:
                charge(connection, key.tenant, charges, now_us())
            except RefusedError:
                return "the budget of models is used up"
        return allowance

    async def ask(
        self,
        view: CaseView,
        specialist: Report,
        allowance: Allowance,
        put: Callable[[Question], Awaitable[Answer]],
    ) -> Opinion:
        """Let a model look into the case. Raises nothing but the cancellation of the task."""
        result = await self.research(
            view, put, self.models, self.settings, allowance, specialist=specialist, tools=self.tools
        )
        return Opinion(result, result.detail if result.report is None else "")

    def settle(self, key: InvestigationKey, opinion: Opinion) -> None:
        """Charge what was used in place of what was reserved. Blocks."""
        if opinion.result is None:
            return
        used = settle(opinion.result.tokens, opinion.result.micro_usd, key.incident_id, reference_of(key))
        with self.store.write() as connection:
            refund(connection, key.tenant, reference_of(key))
            if used:
                charge(connection, key.tenant, used, now_us())


def is_open(report: Report) -> bool:
    """Whether the rules leave the case open."""
    return report.verdict is Verdict.UNDETERMINED


def may_ask(held: StoredIncident, policy: Policy, agent: str) -> bool:
    """From level L2 on, where the ceiling of such engines allows it. At L1 rules decide; no engine is asked."""
    if policy.matrix is None:
        return False
    task = investigation_task(held)
    ceiling = engine_ceiling(agent, policy.matrix.engine_caps)
    level = policy.matrix.row_for(task).level
    return min(level, ceiling if ceiling is not None else level) >= AutonomyLevel.L2


async def beating(work: Awaitable[Opinion], beat: Callable[[], object], every_s: float) -> Opinion:
    """Wait for it, with a sign of life now and then; it ends with whoever waits."""
    task = asyncio.ensure_future(work)
    try:
        while not (await asyncio.wait({task}, timeout=every_s))[0]:
            beat()
        return task.result()
    finally:
        task.cancel()


def reference_of(key: InvestigationKey) -> str:
    """What its charges go by."""
    return f"{key.incident_id}:{key.revision}"


def is_charged(connection: Connection, tenant: str, reference: str, budgets: Sequence[str]) -> bool:
    table = budget_charge.c
    found = select(table.reference).where(
        table.tenant == tenant, table.reference == reference, table.budget.in_(budgets)
    )
    return connection.execute(found.limit(1)).first() is not None


def _used(connection: Connection, key: InvestigationKey) -> Used:
    now = now_us()

    def used(budget: str, subject: str, window_s: int | None) -> int:
        return spent(connection, key.tenant, budget, subject, window_s, now)

    return Used(
        incident_tokens=used(TOKENS, key.incident_id, None),
        day_tokens=used(TOKENS, OF_THE_DAY, DAY_S),
        incident_micro_usd=used(MICRO_USD, key.incident_id, None),
        day_micro_usd=used(MICRO_USD, OF_THE_DAY, DAY_S),
    )
