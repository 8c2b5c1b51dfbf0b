"""Reading tools of others, called by models and agents on the real server: counted, recorded and guarded like ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")

from dataclasses import replace

from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolReturnPart
from pydantic_ai.models.function import AgentInfo
from sqlalchemy import select

from tests.agents.generative_bench import Script, call, claim, concludes, fenced, ready
from tests.agents.generative_bench import settings as model_settings
from tests.workflows.investigations import InvestigationBench, write_routine
from tests.workflows.plug_ins import TOOL_NAMES, install, install_tools
from watchfloor_agents.generative.engine import version_of
from watchfloor_agents.generative.extra import load_research
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import Verdict
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_investigation import evidence_use, investigation_query
from watchfloor_workflows.client import connect
from watchfloor_workflows.investigation.consultant import Consultant
from watchfloor_workflows.investigation.researching import AGENT, Researcher
from watchfloor_workflows.plugged.loading import load_engine, load_tools

pytestmark = pytest.mark.anyio

ENGINE = """
from watchfloor_agents.investigation.view import Question
from watchfloor_agents.opinion import ModelClaim, Proposal, cite
from watchfloor_core.context import call_tool
from watchfloor_core.incident import Verdict


class Caller:
    name, version = "caller", "1"

    def opinion(self, case):
        [tool] = case.tools
        answer = case.ask(Question(call_tool(tool.name, {"address": "203.0.113.9"}), tool.name, "whose it is"))
        seen = cite(answer.evidence[0], "network.owner")
        claim = ModelClaim(text="It is known.", citations=(seen,), about="attack")
        return Proposal(verdict=Verdict.UNDETERMINED, confidence=0.5, summary="In short.", claims=(claim,))
"""


@pytest.fixture(autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("plug-ins")
    install_tools(folder, monkeypatch)
    return folder


@pytest.fixture
async def lab(settings: Settings, sqlite_store: Store) -> InvestigationBench:
    bench = InvestigationBench.over(await connect(settings), sqlite_store, settings, write_routine)
    bench.set_level("L2")
    bench.make_due()
    return bench


def offer(lab: InvestigationBench, name: str, timeout_s: float | None = None) -> None:
    """Have the tool of that name offered to whoever is asked."""
    found = load_tools(lab.settings.model_copy(update={"tools_allowed": (name,)}))
    lab.tools = {one: tool if timeout_s is None else replace(tool, timeout_s=timeout_s) for one, tool in found.items()}


def use(lab: InvestigationBench, *steps: Any, **changes: object) -> Script:
    """Configure a model that follows a script."""
    script = Script(list(steps))
    lab.researcher = Researcher(
        store=lab.store,
        settings=model_settings(**changes),
        models=[ready(script)],
        research=load_research(),
        tools=[one.form for one in lab.tools.values()],
    )
    return script


def report_of(lab: InvestigationBench) -> Report:
    stored = lab.stored()
    assert stored.report is not None, stored.problem
    return report_from_json(json.loads(stored.report))


def heard(script: Script) -> str:
    """What the last answer of a tool was."""
    last = script.heard[-1][-1]
    assert isinstance(last, ModelRequest)
    return "\n".join(str(part.content) for part in last.parts if isinstance(part, ToolReturnPart))


def cites(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Claims what the tool has said, for an attack and for a benign cause."""
    last = messages[-1]
    assert isinstance(last, ModelRequest)
    [answer] = fenced(str(next(part.content for part in last.parts if isinstance(part, ToolReturnPart))))
    assert isinstance(answer, dict)
    [fact] = answer["evidence"]
    seen = {"evidence": fact["id"], "field_": "network.owner", "text": "guests of 203.0.113.9"}
    return concludes(
        claim(**seen, says_="It is known."),
        claim(**seen, says_="It is routine.", about="benign"),
        verdict=Verdict.UNDETERMINED,
    )


ASKS = call("owner", address="203.0.113.9")


async def test_what_a_tool_says_is_fenced_kept_as_evidence_and_can_be_cited(lab: InvestigationBench) -> None:
    offer(lab, "owner")
    script = use(lab, ASKS, cites)
    await lab.result()

    assert "integrity=external" in heard(script)
    report = report_of(lab)
    assert [one.text for one in report.findings if one.id.startswith("M")] == ["It is known."]
    with lab.store.read() as connection:
        rows = connection.execute(select(investigation_query).where(investigation_query.c.stage == "research")).all()
        agents = set(connection.scalars(select(evidence_use.c.agent)).all())
    assert [(row.tool, row.query) for row in rows] == [
        ("owner", {"tool": "owner", "arguments": {"address": "203.0.113.9"}})
    ]
    assert AGENT in agents


async def test_a_claim_for_a_benign_cause_that_rests_on_a_tool_is_dropped(lab: InvestigationBench) -> None:
    offer(lab, "owner")
    use(lab, ASKS, cites)
    await lab.result()
    assert any("an attacker could have written" in one.reason for one in report_of(lab).dropped)


async def test_a_model_is_told_of_the_tools_that_are_allowed_and_no_others(lab: InvestigationBench) -> None:
    offer(lab, "plainly")
    script = use(lab, call("plainly", address="x"), concludes(verdict=Verdict.UNDETERMINED))
    await lab.result()

    [offered] = [one for one in script.offered[0].function_tools if one.name in TOOL_NAMES]
    assert (offered.name, offered.description) == ("plainly", "Whose an address is.")
    assert '"network.owner":"x"' in heard(script)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("raising", "it failed with LookupError"),
        ("dying", "it ended without an answer"),
        ("flooding", "it said more than 262,144 bytes at once"),
        ("slow", "it gave no answer within 3 seconds"),
    ],
)
async def test_one_that_fails_is_dark_for_the_model_and_in_the_report(
    lab: InvestigationBench, name: str, told: str
) -> None:
    offer(lab, name, timeout_s=3.0)
    script = use(lab, call(name, address="x"), concludes(verdict=Verdict.UNDETERMINED))
    await lab.result()

    assert told in heard(script)
    assert f"tool:{name}: {told}" in [one.text for one in report_of(lab).unknowns]
    assert "attacker" not in heard(script)


async def test_arguments_that_do_not_fit_are_refused_and_counted(lab: InvestigationBench) -> None:
    offer(lab, "owner")
    script = use(
        lab, call("owner", address="x" * 100), call("owner", where="x"), concludes(verdict=Verdict.UNDETERMINED)
    )
    await lab.result()
    assert heard(script) == "Refused: the arguments are not of the tool's form."


async def test_its_calls_count_among_the_questions_of_the_run(lab: InvestigationBench) -> None:
    offer(lab, "owner")
    script = use(
        lab, ASKS, call("owner", address="203.0.113.10"), concludes(verdict=Verdict.UNDETERMINED), max_tool_calls=1
    )
    await lab.result()
    assert heard(script) == "Refused: no more questions may be asked; conclude now."


async def test_an_agent_of_others_may_call_it(
    lab: InvestigationBench, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(installed, monkeypatch, ENGINE, "watchfloor.engines", {"caller": "Caller"}, module="acme_engine")
    offer(lab, "owner")
    chosen = {"investigation_engine": "plugin:caller", "engines_allowed": ("caller",)}
    engine = load_engine(lab.settings.model_copy(update=chosen))
    assert engine is not None
    lab.researcher = Consultant(store=lab.store, engine=engine, tools=[one.form for one in lab.tools.values()])
    await lab.result()
    assert [one.text for one in report_of(lab).findings if one.id.startswith("M")] == ["It is known."]


def test_what_a_model_is_offered_is_part_of_the_version_of_its_answers(tmp_path: Path) -> None:
    tools = load_tools(Settings(data_dir=tmp_path, tools_allowed=("owner",)))
    forms = [one.form for one in tools.values()]
    changed = [replace(one, version="4") for one in forms]
    assert len({version_of([]), version_of([], forms), version_of([], changed)}) == 3


@pytest.mark.parametrize(
    ("allowed", "problem"),
    [
        ("mute", "description is no plain line"),
        ("gone", "cannot be loaded: it failed with AttributeError"),
        ("search_events", "its name is one of ours"),
        ("../x", "not of a-z"),
        ("nobody", "not installed"),
    ],
)
def test_one_that_cannot_be_used_stops_the_start_with_the_reason(tmp_path: Path, allowed: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        load_tools(Settings(data_dir=tmp_path, tools_allowed=("owner", allowed)))
