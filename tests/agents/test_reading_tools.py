"""Reading tools of others: the template keeps the contract, the kit finds what does not, and a call is guarded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.agents.test_opinion_engine import CASE, Scripted, said
from watchfloor_agents.generative.desk import RefusedQuestionError
from watchfloor_agents.investigation.loop import InvestigationBudget, ask, can_be_asked
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_agents.opinion.budget import OpinionBudget
from watchfloor_agents.opinion.consulting import PluggedEngine, consult
from watchfloor_agents.plugged.messages import GiveOpinion, Order, PlugInError, Refused
from watchfloor_agents.tooling import template
from watchfloor_agents.tooling.calling import MAX_FACTS, PluggedTool
from watchfloor_agents.tooling.form import form_of
from watchfloor_agents.tooling.template import NetworkOwner
from watchfloor_agents.tooling.testing import check_tool
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue
from watchfloor_core.context import asked_digest, asked_from_json, asked_to_json, call_tool, evidence_of_tool
from watchfloor_core.errors import RecordError
from watchfloor_core.logs.source import Coverage, Health

FORM = form_of(NetworkOwner())
CALL = Question(call_tool("network_owner", {"address": "203.0.113.9"}), "network_owner", "whose it is")
KNOWS: Mapping[str, JsonValue] = {"address": "203.0.113.9"}
DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-tool.md"


@dataclass
class Says:
    """In place of a process."""

    value: Any

    async def __call__(self, order: Order, reply: Callable[[Mapping[str, Any]], Awaitable[object]]) -> JsonValue:
        if isinstance(self.value, Exception):
            raise self.value
        if self.value == "asks":
            await reply({"say": "ask"})
        if self.value == "sleeps":
            await anyio.sleep_forever()
        value: JsonValue = self.value
        return value


async def answered(value: object) -> Answer:
    return await PluggedTool(form=FORM, converse=Says(value), timeout_s=0.05).answer(CALL)


class TestCall:
    pytestmark = pytest.mark.anyio

    async def test_what_it_says_is_evidence_that_nobody_vouches_for(self) -> None:
        answer = await answered([{"network.owner": "guests"}])
        [fact] = answer.evidence
        assert (fact.source, fact.value("network.owner")) == ("tool:network_owner", "guests")
        assert fact.integrity("network.owner") is Integrity.EXTERNAL
        assert answer.coverage == (Coverage("tool:network_owner", Health.WHOLE),)
        assert not answer.is_about_telemetry

    async def test_a_fact_cannot_take_another_label_or_another_name(self) -> None:
        answer = await answered([{"context": "inventory", "source": "inventory"}])
        [fact] = answer.evidence
        assert fact.integrity("context") is Integrity.EXTERNAL
        assert fact.source == "tool:network_owner"

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (PlugInError("it failed with KeyError", "KeyError"), "it failed with KeyError"),
            ("sleeps", "no answer within 0.05 seconds"),
            ("asks", "a tool has nobody to ask"),
            ({"a": "b"}, "no facts"),
            (None, "no facts"),
            ([{f"f{number}": "ä" * 4_000 for number in range(40)}], "larger than evidence"),
            ([{"a": 2**60}], "larger than evidence"),
        ],
        ids=["raises", "slow", "asks", "object", "nothing", "huge", "number"],
    )
    async def test_one_that_fails_is_dark_and_says_why(self, value: object, reason: str) -> None:
        answer = await answered(value)
        [coverage] = answer.coverage
        assert (answer.evidence, coverage.health) == ((), Health.DARK)
        assert reason in coverage.reason

    @pytest.mark.parametrize(
        "fact",
        [{}, {"a": {"b": 1}}, {"a": [1]}, {"a b": 1}, {"a": None}, {"a": 1.5}, "text", {f"f{n}": 1 for n in range(41)}],
    )
    async def test_what_is_no_fact_is_left_out_and_the_answer_says_so(self, fact: object) -> None:
        answer = await answered([fact, {"a": "b"}])
        assert [one.body["fields"] for one in answer.evidence] == [{"a": "b"}]
        assert answer.is_cut

    async def test_what_is_too_much_is_cut(self) -> None:
        answer = await answered([{"a": number, "b": "x" * 9_000} for number in range(MAX_FACTS + 5)])
        assert (len(answer.evidence), answer.is_cut) == (MAX_FACTS, True)
        assert len(answer.evidence[0].value("b") or "") == 4_000

    async def test_arguments_that_are_not_of_its_form_are_refused(self) -> None:
        with pytest.raises(RefusedQuestionError, match="not of the tool's form"):
            await answered(PlugInError("it failed with BadArgumentsError", "BadArgumentsError"))


class TestEngine:
    pytestmark = pytest.mark.anyio

    async def test_an_agent_may_call_the_tools_that_are_offered_and_no_others(self) -> None:
        async def put(question: Question) -> Answer:
            return Answer(question, (evidence_of_tool("network_owner", {"a": "b"}),), ())

        asked = {"say": "ask", "query": asked_to_json(CALL.query), "purpose": "why"}
        other = asked | {"query": {"tool": "rm", "arguments": {}}}
        script = Scripted([asked, other], said())
        engine = PluggedEngine(name="theirs", version="1", converse=script)
        result = await consult(engine, CaseView(CASE), put, OpinionBudget(), tools=[FORM])

        assert isinstance(script.order, GiveOpinion)
        assert script.order.tools == (FORM,)
        assert isinstance(script.heard[0], Answer)
        assert isinstance(script.heard[1], Refused)
        assert [(one.tool, one.code) for one in result.tools] == [("network_owner", ""), ("other", "unknown_tool")]


class TestQuestion:
    def test_a_call_comes_back_from_the_record_and_equal_calls_are_equal(self) -> None:
        assert asked_from_json(asked_to_json(CALL.query)) == CALL.query
        one, two = call_tool("x", {"b": 1, "a": "ä"}), call_tool("x", {"a": "ä", "b": 1})
        assert asked_digest(one) == asked_digest(two)

    @pytest.mark.parametrize("content", [{"tool": "x"}, {"tool": 1, "arguments": {}}, {"tool": "x", "arguments": []}])
    def test_what_is_no_call_is_not_read(self, content: JsonValue) -> None:
        with pytest.raises(RecordError):
            asked_from_json(content)

    def test_the_rules_call_no_tool(self) -> None:
        assert not can_be_asked(CALL, [object()], [])  # type: ignore[list-item]  # none of it is looked at
        with pytest.raises(TypeError, match="called, not asked"):
            ask(CALL, [], InvestigationBudget())


class TestContract:
    def test_the_template_keeps_it(self) -> None:
        check_tool(NetworkOwner(), knows=KNOWS)

    @pytest.mark.parametrize(
        ("changes", "problem"),
        [
            ({"name": "A B"}, "its name is"),
            ({"version": ""}, "has no version"),
            ({"description": ""}, "no plain line"),
            ({"description": "two\nlines"}, "no plain line"),
            ({"description": "x" * 2_000}, "no plain line"),
            ({"arguments": int}, "no object with named fields"),
            ({"arguments": NetworkOwner}, "that JSON can say"),
            ({"read": lambda _: []}, "does not know"),
            ({"read": lambda _: [{"a": {}}]}, "a fact is flat"),
            ({"read": lambda _: [{}]}, "a fact is flat"),
            ({"read": lambda _: [{"a": 1}] * 60}, "50 count"),
            ({"read": lambda _: [{f"f{n}": "x" * 4_000 for n in range(40)}] * 2}, "bytes at once"),
        ],
    )
    def test_the_kit_finds_what_is_wrong(self, changes: Mapping[str, object], problem: str) -> None:
        tool = NetworkOwner()
        for name, value in changes.items():
            setattr(tool, name, value)
        with pytest.raises(AssertionError, match=problem):
            check_tool(tool, knows=KNOWS)

    def test_one_that_answers_otherwise_each_time_is_found(self) -> None:
        class Counting(NetworkOwner):
            count = 0

            def read(self, arguments: object) -> Sequence[Mapping[str, int]]:
                self.count += 1
                return [{"count": self.count}]

        with pytest.raises(AssertionError, match="different answers"):
            check_tool(Counting(), knows=KNOWS)

    def test_what_lacks_a_member_is_found(self) -> None:
        with pytest.raises(AssertionError, match="lacks a member"):
            check_tool(object(), knows=KNOWS)  # type: ignore[arg-type]  # that is the point


def test_a_form_says_what_the_tool_takes() -> None:
    assert isinstance(FORM, ToolForm)
    assert FORM.schema["required"] == ["address"]


def test_the_document_shows_the_template_and_it_has_at_most_twenty_lines() -> None:
    code = Path(template.__file__).read_text().partition('"""\n\n')[2]
    assert code in DOCUMENT.read_text()
    body = code.partition("from watchfloor_agents")[2]
    assert len(body.splitlines()) <= 20
