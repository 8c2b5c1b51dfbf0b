"""Somebody else's engine beside the rules, on the real server: the same gates, budgets and records as for a model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from tests.workflows.investigations import InvestigationBench, write_routine
from tests.workflows.plug_ins import ENGINE_NAMES, install_engines
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_agents.opinion.budget import RUNS, OpinionBudget
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import Verdict
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal, budget_charge
from watchfloor_core.store.schema_investigation import evidence_use, investigation_query
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_workflows.authority.kill_switch import engage
from watchfloor_workflows.client import connect
from watchfloor_workflows.investigation.consultant import Consultant
from watchfloor_workflows.plugged.loading import load_engine

pytestmark = pytest.mark.anyio

LEAD = Principal("ben", PrincipalKind.PERSON)
ALLOWED = (*ENGINE_NAMES, "breaks", "gone")


@pytest.fixture(autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("plug-ins")
    install_engines(folder, monkeypatch)
    return folder


@pytest.fixture
async def lab(settings: Settings, sqlite_store: Store) -> InvestigationBench:
    bench = InvestigationBench.over(await connect(settings), sqlite_store, settings, write_routine)
    bench.set_level("L2")
    bench.make_due()
    return bench


def chosen(settings: Settings, name: str) -> Settings:
    return settings.model_copy(update={"investigation_engine": f"plugin:{name}", "engines_allowed": ALLOWED})


def use(lab: InvestigationBench, name: str, **budget: Any) -> Consultant:
    """Have the engine of that name asked."""
    engine = load_engine(chosen(lab.settings, name))
    assert engine is not None
    lab.researcher = found = Consultant(store=lab.store, engine=engine, budget=OpinionBudget(**budget))
    return found


def report_of(lab: InvestigationBench) -> Report:
    stored = lab.stored()
    assert stored.report is not None, stored.problem
    return report_from_json(json.loads(stored.report))


def entry(lab: InvestigationBench) -> dict[str, Any]:
    [found] = lab.ledger()
    model: dict[str, Any] = found["model"]
    return model


def unknowns(lab: InvestigationBench) -> list[str]:
    return [one.text for one in report_of(lab).unknowns]


def agents(lab: InvestigationBench) -> set[str]:
    with lab.store.read() as connection:
        return set(connection.scalars(select(evidence_use.c.agent)).all())


async def test_its_claims_are_cited_and_its_name_and_version_stand_in_report_and_ledger(
    lab: InvestigationBench,
) -> None:
    use(lab, "good")
    await lab.result()

    report = report_of(lab)
    assert report.engine == "plugin:good"
    assert [one.text for one in report.findings if one.id.startswith("M")] == ["A copying tool was run."]
    assert report.verdict is Verdict.UNDETERMINED
    assert (entry(lab)["agent"], entry(lab)["plug_in"], entry(lab)["failure"]) == ("plugin:good", "plugin:good 7", None)
    assert entry(lab)["version"] == report.version
    assert "plugin:good" in agents(lab)


async def test_what_it_asks_is_kept_under_names_of_ours(lab: InvestigationBench) -> None:
    use(lab, "good")
    await lab.result()

    with lab.store.read() as connection:
        rows = connection.execute(select(investigation_query).where(investigation_query.c.stage == "research")).all()
    assert [(row.tool, row.purpose) for row in rows] == [("search_events", "what started")]


async def test_one_that_contradicts_the_rules_leaves_it_to_a_person_and_nothing_is_proposed(
    lab: InvestigationBench,
) -> None:
    use(lab, "contrary")
    await lab.result()

    assert report_of(lab).verdict is Verdict.UNDETERMINED
    assert any("plugin:contrary says TruePositive" in one for one in unknowns(lab))
    assert entry(lab)["disagreements"] == ["verdict"]
    with lab.store.read() as connection:
        assert connection.execute(select(action_proposal.c.id)).all() == []


async def test_what_it_makes_up_is_dropped_and_a_benign_verdict_on_it_stands_for_nothing(
    lab: InvestigationBench,
) -> None:
    use(lab, "liar")
    await lab.result()

    report = report_of(lab)
    assert [one for one in report.findings if one.id.startswith("M")] == []
    reasons = " ".join(one.reason for one in report.dropped)
    assert "evidence that does not exist" in reasons
    assert "does not hold the text cited" in reasons
    assert "an attacker could have written" in reasons
    assert report.verdict is Verdict.UNDETERMINED


@pytest.mark.parametrize(
    ("name", "failure", "told"),
    [
        ("raises", "broken", "it failed with KeyError"),
        ("exits", "broken", "it ended without an answer"),
        ("greedy", "broken", "it failed with MemoryError"),
        ("huge", "broken", "it said more than 262,144 bytes at once"),
        ("rubbish", "broken", "it failed with TypeError"),
        ("forged", "bad_output", "its answer was not in the form asked for"),
        ("endless", "too_many_calls", "6 calls of tools were refused, the last one as calls_used_up"),
    ],
)
async def test_one_that_fails_costs_the_incident_nothing_but_its_help(
    lab: InvestigationBench, name: str, failure: str, told: str
) -> None:
    use(lab, name)
    result = await lab.result()

    assert result.is_done
    assert report_of(lab).engine == "specialist"
    assert f"The engine plugin:{name} could not help: {told}" in unknowns(lab)
    assert entry(lab)["failure"] == failure
    assert "attacker" not in json.dumps(lab.ledger())


async def test_an_endless_loop_ends_with_its_time(lab: InvestigationBench) -> None:
    use(lab, "hangs", total_timeout_s=3.0)
    result = await lab.result()

    assert result.is_done
    assert "The engine plugin:hangs could not help: no opinion within 3 seconds" in unknowns(lab)
    assert entry(lab)["failure"] == "timeout"


async def test_what_it_has_started_ends_with_it(lab: InvestigationBench) -> None:
    use(lab, "spawns", total_timeout_s=4.0)
    await lab.result()

    with lab.store.read() as connection:
        purposes = connection.scalars(
            select(investigation_query.c.purpose).where(investigation_query.c.stage == "research")
        ).all()
    [child] = [int(found.group(1)) for one in purposes if (found := re.fullmatch(r"pid (\d+)", one))]
    assert is_over(child)


def is_over(pid: int) -> bool:
    """It is gone, or nothing but an entry that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def test_questions_and_runs_are_bounded(lab: InvestigationBench) -> None:
    use(lab, "endless", max_calls=3)
    await lab.result()

    assert entry(lab)["questions"] == 3
    with lab.store.read() as connection:
        total = select(func.sum(budget_charge.c.amount)).where(
            budget_charge.c.budget == RUNS, budget_charge.c.subject == "inc-1"
        )
        assert connection.execute(total).scalar_one() == 1


async def test_a_time_far_from_the_incident_is_not_asked_for(lab: InvestigationBench) -> None:
    use(lab, "far")
    await lab.result()

    assert "bad_question" in unknowns(lab)
    assert entry(lab)["questions"] == 0


async def test_it_gets_no_variable_of_ours_and_not_the_verdicts_of_others(
    lab: InvestigationBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHFLOOR_VAULT_TOKEN", "secret")
    monkeypatch.setenv("SOME_SECRET", "secret")
    monkeypatch.setenv("CURIOUS_KEY", "its own")
    use(lab, "curious")
    await lab.result()

    told = [one for one in unknowns(lab) if one in ("CURIOUS_KEY", "None None", "/")]
    assert told == ["CURIOUS_KEY", "None None", "/"]


@pytest.mark.parametrize("over", ["agent:plugin:good", "function:investigation"])
async def test_a_kill_switch_keeps_it_from_being_asked(lab: InvestigationBench, over: str) -> None:
    consultant = use(lab, "good")
    engage(lab.store, lab.settings.tenant, f"tenant:{lab.settings.tenant}/{over}", LEAD, "a drill")

    assert consultant.admit(lab.key) == "a kill switch is thrown over plugin:good"


async def test_a_run_that_was_cut_off_is_not_repeated(lab: InvestigationBench) -> None:
    consultant = use(lab, "good")
    # As if the worker had died while the engine worked.
    assert not isinstance(consultant.admit(lab.key), str)
    await lab.result()

    assert entry(lab) == {
        "asked": False,
        "problem": "it was asked before, and its run was cut off",
        "agent": "plugin:good",
    }


async def test_a_budget_of_runs_that_is_used_up_keeps_it_from_being_asked(lab: InvestigationBench) -> None:
    use(lab, "good", runs_per_day=0)
    await lab.result()
    assert entry(lab)["problem"] == "the budget of runs is used up"


@pytest.mark.parametrize(
    ("level", "caps"), [("L1", ""), ("L2", "caps: {plugin: L1}\n"), ("L2", "caps: {'plugin:good': L0}\n")]
)
async def test_where_policy_holds_it_below_l2_it_is_not_asked(lab: InvestigationBench, level: str, caps: str) -> None:
    lab.set_level(level)
    file = lab.settings.data_dir / "autonomy.yaml"
    file.write_text(file.read_text() + caps)
    use(lab, "good")
    await lab.result()
    assert "model" not in lab.ledger()[0]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("misnamed", "does not say who it is"),
        ("unversioned", "does not say who it is"),
        ("breaks", "cannot be loaded: it failed with RuntimeError"),
        ("gone", "cannot be loaded: it failed with AttributeError"),
        ("thing", "cannot be loaded: it failed with TypeError"),
    ],
)
def test_one_that_cannot_be_used_stops_the_start_with_the_reason(
    settings_alone: Settings, name: str, problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem) as raised:
        load_engine(chosen(settings_alone, name))
    assert "take it out of engines_allowed" in str(raised.value)
    assert "attacker" not in str(raised.value)


@pytest.fixture
def settings_alone(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_one_that_is_not_allowed_or_not_installed_is_not_started(settings_alone: Settings) -> None:
    with pytest.raises(ConfigurationError, match="not allowed; add its name to engines_allowed"):
        load_engine(settings_alone.model_copy(update={"investigation_engine": "plugin:good"}))
    with pytest.raises(ConfigurationError, match="not installed"):
        load_engine(
            settings_alone.model_copy(update={"investigation_engine": "plugin:nobody", "engines_allowed": ("nobody",)})
        )


def test_without_the_setting_there_is_none(settings_alone: Settings) -> None:
    assert load_engine(settings_alone) is None


@pytest.mark.parametrize("value", ["good", "plugin:", "plugin:Good", "plugin:../x", "generative:x"])
def test_a_setting_that_names_no_plug_in_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="expected plugin:NAME"):
        Settings(investigation_engine=value)
