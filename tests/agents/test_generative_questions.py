"""What the tools ask: each call is one query of the shared algebra around the incident's own time."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")

from tests.agents.generative_bench import HOUR_US, T0, Script, Sources, call, case_view, claim, concludes, run, start
from watchfloor_agents.generative.questions import MAX_HOURS
from watchfloor_agents.investigation.view import Answer, Question
from watchfloor_core.evidence import evidence_of_event
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, Operator, Select, TimeRange, Where

pytestmark = pytest.mark.anyio

WIDEST = 30 * 24
FIND = {"match": {"field": "process.name", "value": "powershell.exe"}}


async def asked(tool: str, **arguments: object) -> Question:
    sources = Sources([start()])
    result = await run(Script([call(tool, **arguments), concludes(claim())]), sources=sources)
    assert result.report is not None, result.detail
    (question,) = sources.questions
    assert question.tool == tool
    return question


async def test_a_search_asks_for_types_and_all_of_its_matches() -> None:
    matches = [
        {"field": "process.pid", "value": "42"},
        {"field": "process.command_line", "value": "-enc", "comparison": "contains"},
    ]
    query = (await asked("search_events", types=["process_start"], matches=matches, hours_before=2)).query
    assert isinstance(query, Select)
    assert query.types == {EventType.PROCESS_START}
    assert query.range == TimeRange(T0 - 2 * HOUR_US, T0 + 2 * HOUR_US)
    assert query.conditions()[0].conditions == (  # type: ignore[union-attr]  # two matches make an AllOf
        Where(Field.PROCESS_PID, Operator.EQUALS, (42,)),
        Where(Field.PROCESS_COMMAND_LINE, Operator.CONTAINS, ("-enc",)),
    )


async def test_a_search_for_everything_is_refused() -> None:
    sources = Sources([start()])
    result = await run(Script([call("search_events", types=[], matches=[]), concludes(claim())]), sources=sources)
    assert sources.questions == []
    assert [one.code for one in result.tools] == ["bad_question"]


async def test_a_text_where_a_number_belongs_is_refused_with_a_word_to_the_model() -> None:
    script = Script([call("prevalence", match={"field": "process.pid", "value": "4a"}), concludes(claim())])
    result = await run(script)
    assert [one.code for one in result.tools] == ["bad_question"]
    assert "is a whole number" in str(script.heard[1][-1])


@pytest.mark.parametrize(
    ("tool", "arguments", "kind"),
    [
        ("logon_sessions", {"kind": "user", "value": "ann"}, Select),
        ("network_peers", {"kind": "host", "value": "ws1"}, Aggregate),
        ("file_history", {"name": "a.exe"}, Select),
        ("registry_history", {"path": "\\CurrentVersion\\Run"}, Select),
        ("prevalence", FIND, Aggregate),
        ("first_seen", FIND, Select),
        ("activity", {"kind": "host", "value": "ws1"}, Aggregate),
    ],
)
async def test_each_tool_asks_one_question_of_its_kind(tool: str, arguments: dict[str, object], kind: type) -> None:
    question = await asked(tool, **arguments)
    assert isinstance(question.query, kind)
    assert question.purpose


async def test_first_seen_looks_back_as_far_as_can_be_and_takes_one_event() -> None:
    query = (await asked("first_seen", **FIND)).query
    assert isinstance(query, Select)
    assert query.limit == 1
    assert query.range.start_us == T0 - WIDEST * HOUR_US
    assert MAX_HOURS == WIDEST


@pytest.mark.parametrize("relation", ["start", "parent", "children", "activity"])
async def test_a_process_tree_starts_from_an_event_that_was_shown(relation: str) -> None:
    search = call("search_events", types=["process_start"], matches=[])
    sources = Sources([start()])
    script = Script([search, call("process_tree", event="E2", relation=relation), concludes(claim())])
    result = await run(script, sources=sources)
    expected = 2 if relation != "parent" else 1  # the event names no parent
    assert len(sources.questions) == expected
    assert result.report is not None


async def test_an_alert_is_no_event_to_follow() -> None:
    result = await run(Script([call("process_tree", event="E1", relation="start"), concludes(claim())]))
    assert [one.code for one in result.tools] == ["bad_question"]


async def test_what_the_case_has_asked_already_is_not_asked_again() -> None:
    question = await asked("activity", kind="host", value="ws1")
    answer = Answer(question, (evidence_of_event(start("known")),), ())
    view = case_view()
    sources = Sources([start()])
    script = Script([call("activity", kind="host", value="ws1"), concludes(claim())])
    result = await run(script, sources=sources, view=type(view)(view.case, (answer,)))
    assert sources.questions == []
    assert result.answers == ()
    assert "known" in str(script.heard[1][-1])


async def test_long_values_and_long_answers_are_cut_and_say_so() -> None:
    many = [start("x" * 1_000 + str(number), number) for number in range(1, 200)]
    search = call("search_events", types=["process_start"], matches=[], limit=200)
    script = Script([search, concludes(claim())])
    await run(script, sources=Sources(many))
    shown = str(script.heard[1][-1])
    assert len(shown) < 40_000
    assert "(cut)" in shown
    assert '"evidence_not_shown":0' not in shown
