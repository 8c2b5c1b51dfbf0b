"""A model beside the rules, on the real server: it is asked once, within its budgets, and decides nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")

from pydantic_ai.messages import ModelResponse
from pydantic_ai.usage import RequestUsage
from sqlalchemy import func, select

from tests.agents.generative_bench import Script, call, claim, concludes, ready, says
from tests.agents.generative_bench import settings as model_settings
from tests.workflows.investigations import InvestigationBench, write_routine
from watchfloor_agents.generative.accounts import OF_THE_DAY, TOKENS
from watchfloor_agents.generative.extra import load_research
from watchfloor_agents.generative.settings import Price
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_core.incident import Verdict
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal, budget_charge
from watchfloor_core.store.schema_investigation import evidence_use
from watchfloor_guardrails.budget import Charge
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_workflows.authority.budgets import charge
from watchfloor_workflows.authority.kill_switch import engage
from watchfloor_workflows.client import connect
from watchfloor_workflows.investigation.researching import AGENT, Researcher

pytestmark = pytest.mark.anyio

SEEN = claim("E1", "process.command_line", "sync.exe --all", says_="A copying tool was run.")
ASKS = call("search_events", types=["process_start"], matches=[])


@pytest.fixture
async def lab(settings: Settings, sqlite_store: Store) -> InvestigationBench:
    bench = InvestigationBench.over(await connect(settings), sqlite_store, settings, write_routine)
    bench.set_level("L2")
    bench.make_due()
    return bench


def use(lab: InvestigationBench, *steps: Any, price: Price | None = None, **changes: object) -> Script:
    """Configure a model that follows a script."""
    script = Script(list(steps))
    chosen = ready(script) if price is None else ready(script, price=price)
    lab.researcher = Researcher(
        store=lab.store, settings=model_settings(**changes), models=[chosen], research=load_research()
    )
    return script


def report_of(lab: InvestigationBench) -> Report:
    stored = lab.stored()
    assert stored.report is not None, stored.problem
    return report_from_json(json.loads(stored.report))


def charged(lab: InvestigationBench, subject: str) -> int:
    table = budget_charge.c
    with lab.store.read() as connection:
        return int(
            connection.execute(
                select(func.coalesce(func.sum(table.amount), 0)).where(table.budget == TOKENS, table.subject == subject)
            ).scalar_one()
        )


def model_entry(lab: InvestigationBench) -> dict[str, Any]:
    [entry] = lab.ledger()
    found: dict[str, Any] = entry["model"]
    return found


def texts(report: Report) -> Sequence[str]:
    return [one.text for one in report.unknowns]


async def test_what_the_rules_leave_open_a_model_looks_into_and_its_claims_are_cited(lab: InvestigationBench) -> None:
    spent = RequestUsage(input_tokens=900, output_tokens=100)
    script = use(lab, ASKS, concludes(SEEN, verdict=Verdict.UNDETERMINED, usage=spent))
    await lab.result()

    report = report_of(lab)
    assert script.turns == 2
    assert report.engine == "generative:openai:scripted"
    assert [one.text for one in report.findings if one.id.startswith("M")] == ["A copying tool was run."]
    assert model_entry(lab)["asked"] is True
    assert model_entry(lab)["questions"] == 1
    assert model_entry(lab)["stated_confidence"] == 0.9
    with lab.store.read() as connection:
        agents = set(connection.scalars(select(evidence_use.c.agent)).all())
    assert AGENT in agents


async def test_what_it_used_is_charged_and_nothing_more(lab: InvestigationBench) -> None:
    spent = RequestUsage(input_tokens=900, output_tokens=100)
    use(lab, concludes(SEEN, verdict=Verdict.UNDETERMINED, usage=spent))
    await lab.result()

    assert charged(lab, "inc-1") == charged(lab, OF_THE_DAY) == model_entry(lab)["tokens"] == 1_000


async def test_a_model_that_contradicts_the_rules_leaves_it_to_a_person_and_nothing_is_proposed(
    lab: InvestigationBench,
) -> None:
    use(lab, ASKS, concludes(SEEN, verdict=Verdict.TRUE_POSITIVE, confidence=1.0))
    await lab.result()

    report = report_of(lab)
    assert report.verdict is Verdict.UNDETERMINED
    assert any("engines disagree on the verdict" in one for one in texts(report))
    assert model_entry(lab)["disagreements"] == ["verdict"]
    with lab.store.read() as connection:
        assert connection.execute(select(action_proposal.c.id)).all() == []


async def test_a_model_is_not_asked_what_the_rules_have_decided(settings: Settings, sqlite_store: Store) -> None:
    lab = InvestigationBench.over(await connect(settings), sqlite_store, settings)
    lab.set_level("L2")
    lab.make_due()
    script = use(lab, concludes(SEEN))
    await lab.result()

    assert report_of(lab).verdict is Verdict.TRUE_POSITIVE
    assert script.turns == 0
    assert "model" not in lab.ledger()[0]


@pytest.mark.parametrize("level", ["L1", "L2"])
async def test_below_l2_no_model_is_asked(lab: InvestigationBench, level: str) -> None:
    lab.set_level(level)
    script = use(lab, concludes(SEEN, verdict=Verdict.UNDETERMINED))
    await lab.result()
    assert script.turns == (1 if level == "L2" else 0)


@pytest.mark.parametrize(
    ("steps", "failure"),
    [
        ([RuntimeError("boom")], "unavailable"),
        ([says("no form")], "bad_output"),
        ([ASKS], "too_many_calls"),
    ],
)
async def test_a_model_that_fails_costs_the_incident_nothing_but_its_help(
    lab: InvestigationBench, steps: list[ModelResponse | Exception], failure: str
) -> None:
    use(lab, *steps)
    result = await lab.result()

    report = report_of(lab)
    assert result.is_done
    assert report.engine == "specialist"
    assert any("No model could help" in one for one in texts(report))
    assert model_entry(lab)["failure"] == failure


async def test_a_budget_that_is_used_up_keeps_the_model_from_being_asked(lab: InvestigationBench) -> None:
    script = use(lab, concludes(SEEN), tokens_per_day=1_000)
    with lab.store.write() as connection:
        used = Charge(TOKENS, OF_THE_DAY, 1_000, 1_000, 86_400, "another")
        charge(connection, lab.settings.tenant, [used], 1)
        connection.execute(budget_charge.update().values(at_us=2**52))
    await lab.result()

    assert script.turns == 0
    assert model_entry(lab) == {"asked": False, "problem": "the budget of tokens is used up"}


async def test_a_run_that_was_cut_off_is_not_paid_for_twice(lab: InvestigationBench) -> None:
    script = use(lab, concludes(SEEN), price=Price(input=Decimal(1), output=Decimal(1)))
    assert lab.researcher is not None
    # As if the worker had died while the model thought.
    assert not isinstance(lab.researcher.admit(lab.key), str)
    await lab.result()

    assert script.turns == 0
    assert model_entry(lab)["problem"] == "a model was asked before, and its run was cut off"


async def test_a_kill_switch_over_models_stops_models_and_not_the_rules(lab: InvestigationBench) -> None:
    script = use(lab, concludes(SEEN))
    lead = Principal("ben", PrincipalKind.PERSON)
    engage(lab.store, lab.settings.tenant, f"tenant:{lab.settings.tenant}/agent:{AGENT}", lead, "a drill")
    result = await lab.result()

    assert result.is_done
    assert script.turns == 0
    assert model_entry(lab)["problem"] == "a kill switch is thrown over models"


async def test_a_kill_switch_that_is_thrown_meanwhile_ends_its_questions(lab: InvestigationBench) -> None:
    lead = Principal("ben", PrincipalKind.PERSON)

    def throw(*_: object) -> ModelResponse:
        engage(lab.store, lab.settings.tenant, f"tenant:{lab.settings.tenant}/agent:{AGENT}", lead, "a drill")
        return ASKS

    use(lab, throw, concludes(verdict=Verdict.UNDETERMINED))
    asked = lab.source.asked
    await lab.result()
    with lab.store.read() as connection:
        agents = set(connection.scalars(select(evidence_use.c.agent)).all())
    assert AGENT not in agents
    assert asked
