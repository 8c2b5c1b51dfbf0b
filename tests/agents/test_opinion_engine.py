"""Engines of others: the template keeps the contract, the kit finds what does not, and a run is admitted and traced."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_agents.opinion import CitedText, ModelClaim, OpenCase, Proposal, cite, template
from watchfloor_agents.opinion.budget import OpinionBudget
from watchfloor_agents.opinion.consulting import PluggedEngine, consult
from watchfloor_agents.opinion.template import CopyingTools
from watchfloor_agents.opinion.testing import check_engine
from watchfloor_agents.plugged.messages import MAX_SAID, GiveOpinion, Order, PlugInError, Refused, read_said
from watchfloor_connectors.logs.testing import sample_event
from watchfloor_core.canonical import JsonValue
from watchfloor_core.context import asked_to_json
from watchfloor_core.evidence import evidence_of_event
from watchfloor_core.incident import AutonomyLevel, Verdict
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.query import Select, TimeRange
from watchfloor_core.logs.source import Coverage, Health
from watchfloor_guardrails.engine import engine_ceiling, is_known_engine

START_US = 1_772_000_000_000_000
RANGE = TimeRange(START_US, START_US + 60_000_000)
CASE = InvestigationCase(
    tenant="acme",
    incident_id="inc-0123456789abcdef",
    revision=1,
    title="a case",
    range=RANGE,
    alerts=(),
    entities=(),
    triage_verdict=Verdict.FALSE_POSITIVE,
    triage_probability=0.2,
)
STARTED = sample_event(1, 0, host__name="ws1", process__name="rclone.exe")
DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "write-an-agent.md"


def asks(seconds: int = 0, limit: int = 5) -> dict[str, Any]:
    query = Select(range=RANGE.widened(seconds), types=frozenset({EventType.PROCESS_START}), limit=limit)
    return {"say": "ask", "query": asked_to_json(query), "purpose": "\u202ewhy"}


@dataclass
class Scripted:
    """In place of a process: asks these, then says that."""

    asked: list[dict[str, Any]]
    value: JsonValue
    order: Order | None = None

    def __post_init__(self) -> None:
        self.heard: list[object] = []

    async def __call__(self, order: Order, reply: Callable[[Mapping[str, Any]], Awaitable[object]]) -> JsonValue:
        self.order = order
        for one in self.asked:
            self.heard.append(await reply(one))
        return self.value


async def put(question: Question) -> Answer:
    return Answer(question, (evidence_of_event(STARTED),), (Coverage("lab", Health.WHOLE),))


def said(**changes: object) -> Any:
    return {"verdict": "Undetermined", "confidence": 0.5, "summary": "In short."} | changes


async def ran(script: Scripted, **budget: Any) -> Any:
    engine = PluggedEngine(name="theirs", version="1", converse=script)
    return await consult(engine, CaseView(CASE), put, OpinionBudget(**budget))


class TestRun:
    pytestmark = pytest.mark.anyio

    async def test_it_is_not_told_what_others_think(self) -> None:
        script = Scripted([], said())
        await ran(script)
        assert isinstance(script.order, GiveOpinion)
        assert (script.order.view.case.triage_verdict, script.order.view.case.triage_probability) == (None, None)

    async def test_its_probability_counts_for_nothing_and_is_kept(self) -> None:
        result = await ran(Scripted([], said(confidence=1.0)))
        assert (result.report.probability, result.stated_confidence) == (0.2, 1.0)

    async def test_evidence_that_its_questions_brought_can_be_cited(self) -> None:
        claim = {
            "text": "It ran.",
            "about": "attack",
            "citations": [{"evidence": evidence_of_event(STARTED).id, "field": "process.name", "text": "rclone.exe"}],
        }
        result = await ran(Scripted([asks()], said(verdict="TruePositive", claims=[claim])))
        assert [one.text for one in result.report.findings] == ["It ran."]
        assert result.report.verdict is Verdict.TRUE_POSITIVE
        assert result.report.engine == "plugin:theirs"

    async def test_evidence_that_it_was_not_given_cannot(self) -> None:
        claim = {
            "text": "It ran.",
            "about": "attack",
            "citations": [{"evidence": evidence_of_event(STARTED).id, "field": "process.name", "text": "rclone.exe"}],
        }
        result = await ran(Scripted([], said(verdict="TruePositive", claims=[claim])))
        assert result.report.findings == ()
        assert result.report.verdict is Verdict.UNDETERMINED

    @pytest.mark.parametrize(
        ("asked", "code"),
        [
            ({"say": "ask", "query": "DROP TABLE"}, "bad_question"),
            ({"say": "ask", "query": None}, "bad_question"),
            ({"say": "ask", "query": {"select": {}}}, "bad_question"),
            ({"say": "ask", "query": ["x" * 4_000]}, "arguments_too_large"),
            (asks(40 * 86_400), "bad_question"),
        ],
    )
    async def test_what_is_no_question_is_refused(self, asked: dict[str, Any], code: str) -> None:
        script = Scripted([asked], said())
        result = await ran(script)
        [heard] = script.heard
        assert isinstance(heard, Refused)
        assert heard.code == code
        assert [one.code for one in result.tools] == [code]

    async def test_what_was_asked_before_and_what_is_beyond_the_budget_is_refused(self) -> None:
        script = Scripted([asks(), asks(), asks(1), asks(2)], said())
        await ran(script, max_calls=3)
        assert [getattr(one, "code", "answered") for one in script.heard] == [
            "answered", "repeated", "answered", "calls_used_up",
        ]  # fmt: skip

    async def test_its_purpose_is_made_visible_and_a_large_limit_is_lowered(self) -> None:
        script = Scripted([asks(limit=9_000)], said())
        result = await ran(script)
        [answer] = result.answers
        assert answer.question.purpose == "\\u{202E}why"
        assert answer.question.query.limit == 200

    async def test_a_run_and_its_questions_are_spans(self, spans: InMemorySpanExporter) -> None:
        await ran(Scripted([asks(), asks()], said()))
        found = spans.get_finished_spans()
        assert [one.name for one in found] == [
            "watchfloor.execute_tool", "watchfloor.execute_tool", "watchfloor.invoke_agent",
        ]  # fmt: skip
        run = found[-1].attributes or {}
        assert (run["gen_ai.agent.name"], run["gen_ai.agent.version"]) == ("plugin:theirs", "1")
        assert (found[1].attributes or {})["watchfloor.refusal.code"] == "repeated"


def test_no_engine_of_others_goes_above_l2() -> None:
    assert engine_ceiling("plugin:theirs", [("plugin:theirs", AutonomyLevel.L4)]) is AutonomyLevel.L2
    assert is_known_engine("plugin:theirs")


class TestMessages:
    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (b"", "ended without an answer"),
            (b"{}\n", "no message"),
            (b"[]\n", "no message"),
            (b"NaN\n", "no message"),
            (b"\xff\n", "no message"),
            (b'{"say":"done"}\n', "no message"),
            (b'{"say":"failed","error":"words of an attacker"}\n', "no message"),
            (b'{"say":"failed","error":"KeyError"}\n', "it failed with KeyError"),
            (b"x" * (MAX_SAID + 1), "more than"),
            (b'{"say":"done","value":1}', "more than"),
        ],
    )
    def test_what_is_no_message_is_told_in_our_words(self, line: bytes, problem: str) -> None:
        with pytest.raises(PlugInError, match=problem):
            read_said(line)


class TestContract:
    def test_the_template_keeps_it(self) -> None:
        check_engine(CopyingTools(), shows=[STARTED])

    def test_a_citation_that_does_not_hold_is_not_made(self) -> None:
        evidence = evidence_of_event(STARTED)
        assert cite(evidence, "process.name", "clone").text == "clone"
        with pytest.raises(ValueError, match="does not hold"):
            cite(evidence, "process.name", "mega")
        with pytest.raises(ValueError, match="has no user"):
            cite(evidence, "user.name")

    @pytest.mark.parametrize(
        ("engine", "problem"),
        [
            (object(), "lacks a member"),
            ("Named", "its name is"),
            ("Unversioned", "has no version"),
            ("Untyped", "gives a dict"),
            ("Far", "more than 720 hours"),
            ("Chatty", "asks more than"),
            ("Silent", "no purpose"),
            ("Liar", "does not bear it out"),
            ("Obedient", "as a text in an event told it"),
            ("Blind", "makes no claim"),
        ],
    )
    def test_the_kit_finds_what_is_wrong(self, engine: object, problem: str) -> None:
        made = WRONG[engine]() if isinstance(engine, str) else engine
        with pytest.raises(AssertionError, match=problem):
            check_engine(made, shows=[STARTED])  # type: ignore[arg-type]  # that is the point


class Plain:
    name = "plain"
    version = "1"

    def opinion(self, case: OpenCase) -> Proposal:
        return Proposal.model_validate(said())


class Named(Plain):
    name = "No Name"


class Unversioned(Plain):
    version = ""


class Untyped(Plain):
    def opinion(self, case: OpenCase) -> Proposal:
        return said()  # type: ignore[no-any-return]  # that is the point


def question(seconds: int = 0, purpose: str = "why", limit: int = 5) -> Question:
    return Question(Select(range=RANGE.widened(seconds), limit=limit), "x", purpose)


class Far(Plain):
    def opinion(self, case: OpenCase) -> Proposal:
        case.ask(question(40 * 86_400))
        return super().opinion(case)


class Chatty(Plain):
    def opinion(self, case: OpenCase) -> Proposal:
        for number in range(1, 40):
            case.ask(question(limit=number))
        return super().opinion(case)


class Silent(Plain):
    def opinion(self, case: OpenCase) -> Proposal:
        case.ask(question(purpose=""))
        return super().opinion(case)


class Liar(Plain):
    def opinion(self, case: OpenCase) -> Proposal:
        made_up = CitedText(evidence="f" * 64, field="process.name", text="x")
        claim = ModelClaim(text="It ran.", citations=(made_up,), about="attack")
        return Proposal.model_validate(said()).model_copy(update={"claims": (claim,)})


class Obedient(Plain):
    def opinion(self, case: OpenCase) -> Proposal:
        found = case.ask(question()).evidence
        verdict = "FalsePositive" if found else "Undetermined"
        claims = [
            ModelClaim.model_validate(
                {"text": "A number.", "about": "benign", "citations": [cite(one, "process.pid").model_dump()]}
            )
            for one in found[:1]
        ]
        return Proposal.model_validate(said(verdict=verdict)).model_copy(update={"claims": tuple(claims)})


class Blind(Plain):
    pass


WRONG: Mapping[str, type[Plain]] = {
    one.__name__: one
    for one in (Named, Unversioned, Untyped, Far, Chatty, Silent, Liar, Obedient, Blind)
}  # fmt: skip


def test_the_document_shows_the_template_and_it_has_at_most_forty_lines() -> None:
    source = Path(template.__file__).read_text()
    code = source.partition('"""\n\n')[2]
    assert code in DOCUMENT.read_text()
    assert len(code.splitlines()) <= 40
