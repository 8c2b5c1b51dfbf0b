"""The generative engine with scripted models: what it makes of answers, and how every failure ends."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")

from pydantic_ai.exceptions import ModelRateLimitError, ModelTimeoutError, ModelUnavailableError
from pydantic_ai.messages import FinishReason, ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from tests.agents.generative_bench import (
    DEAR,
    OPEN_CASE,
    PLENTY,
    Script,
    Sources,
    call,
    case_view,
    claim,
    concludes,
    fenced,
    no_wait,
    prompt_of,
    ready,
    run,
    says,
    settings,
    start,
)
from watchfloor_agents.generative.admission import MAX_REFUSALS
from watchfloor_agents.generative.desk import ToolOutcome
from watchfloor_agents.generative.engine import research
from watchfloor_agents.generative.result import Failure
from watchfloor_agents.generative.spending import Allowance, ModelCall
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.source import Health

pytestmark = pytest.mark.anyio

SEARCH = {"types": ["process_start"], "matches": []}


async def test_a_model_that_asks_and_cites_gives_a_report() -> None:
    script = Script([call("search_events", **SEARCH), concludes(claim("E2"))])
    sources = Sources([start()])
    result = await run(script, sources=sources)
    assert result.failure is None, result.detail
    assert result.report is not None
    assert result.report.verdict is Verdict.TRUE_POSITIVE
    assert result.report.engine == "generative:openai:scripted0"
    assert [one.question for one in result.answers] == sources.questions
    assert result.report.findings[0].citations[0].evidence_id == result.answers[0].evidence[0].id
    assert [(one.tool, one.outcome, one.found) for one in result.tools] == [("search_events", ToolOutcome.ANSWERED, 1)]


async def test_a_models_confidence_is_kept_apart_and_moves_no_probability() -> None:
    result = await run(Script([concludes(claim(), confidence=0.999)]))
    assert result.report is not None
    assert result.report.probability == OPEN_CASE
    assert result.report.certainty == 0.0
    assert {one.log_odds for one in result.report.findings} == {0.0}
    assert result.stated_confidence == 0.999


async def test_the_model_reads_the_case_without_the_verdict_of_others() -> None:
    script = Script([concludes()])
    await run(script)
    text = prompt_of(script.heard[0])
    case, rest = fenced(text)
    assert isinstance(case, dict)
    assert case["alerts"][0]["external"]["process.command_line"] == "powershell.exe -enc SQBFAFgA"
    assert case["alerts"][0]["sensor"]["host.name"] == "ws1"
    assert "probability" not in text
    assert "verdict" not in text.lower()
    assert rest == {"findings": [], "evidence": [], "evidence_not_shown": 0, "asked": []}


async def test_the_findings_of_rules_are_shown_and_their_figures_are_not() -> None:
    first = await run(Script([concludes(claim())]))
    assert first.report is not None
    specialist = replace(first.report, engine="specialist", probability=0.7312, certainty=0.6487)
    script = Script([concludes(claim())])
    result = await research(
        case_view(), Sources(), [ready(script)], settings(), PLENTY, specialist=specialist, sleep=no_wait
    )
    told = fenced(prompt_of(script.heard[0]))[1]
    assert isinstance(told, dict)
    assert told["findings"] == [{"text": "An encoded command was run.", "evidence": ["E1"], "techniques": []}]
    assert "7312" not in str(told)
    assert result.report is not None
    assert (result.report.probability, result.report.certainty) == (0.7312, 0.6487)


async def test_equal_cases_give_equal_prompts_byte_for_byte() -> None:
    scripts = [Script([concludes()]) for _ in range(2)]
    for script in scripts:
        await run(script)
    assert prompt_of(scripts[0].heard[0]) == prompt_of(scripts[1].heard[0])


async def test_a_dark_source_is_named_among_the_unknowns() -> None:
    script = Script([call("search_events", **SEARCH), concludes()])
    result = await run(script, sources=Sources([], health=Health.DARK))
    assert result.report is not None
    assert [one.cause for one in result.report.unknowns if one.cause == "dark_source"] == ["dark_source"]
    (answer,) = fenced(str(script.heard[1][-1]).encode().decode("unicode_escape"))[-1:]
    assert isinstance(answer, dict)
    assert answer["can_say_no"] is False


async def test_sources_that_fail_are_told_to_the_model_and_end_nothing() -> None:
    script = Script([call("search_events", **SEARCH), concludes(claim())])
    result = await run(script, sources=Sources(error=RuntimeError("secret words of a database")))
    assert result.report is not None
    assert [(one.outcome, one.code) for one in result.tools] == [(ToolOutcome.FAILED, "RuntimeError")]
    assert "secret words" not in str(script.heard[1])


@pytest.mark.parametrize(
    "rubbish",
    [
        says("I would rather not."),
        says(""),
        says("{"),
        ModelResponse(parts=[]),
        ModelResponse(parts=[ToolCallPart("final_result", "no json")]),
        ModelResponse(parts=[ToolCallPart("final_result", {})]),
        ModelResponse(parts=[ToolCallPart("final_result", {"verdict": "Closed", "confidence": 2, "summary": []})]),
        concludes(confidence=1.01),
        concludes(claim() | {"close_incident": True}),
        concludes(claim() | {"citations": []}),
        concludes(*[claim()] * 31),
        concludes(summary="x" * 2_000),
        concludes(claim(techniques=["T1059; DROP TABLE"])),
        concludes(action={"isolate": "ws1"}),
        ModelResponse(parts=[ToolCallPart("isolate_host", {"host": "ws1"})]),
        ModelResponse(parts=[TextPart("x"), ToolCallPart("final_result", [1, 2])]),  # type: ignore[arg-type]  # on purpose
    ],
)
async def test_rubbish_is_sent_back_so_often_and_then_is_a_failure(rubbish: ModelResponse) -> None:
    script = Script([rubbish])
    result = await run(script, output_retries=2)
    assert result.failure in (Failure.BAD_OUTPUT, Failure.UNAVAILABLE)
    assert result.report is None
    assert script.turns <= 3


async def test_an_answer_that_is_mended_counts() -> None:
    result = await run(Script([says("hm"), concludes(claim())]))
    assert result.report is not None


async def test_a_model_that_asks_without_end_is_stopped() -> None:
    numbers = iter(range(10_000))
    script = Script([lambda *_: call("first_seen", match={"field": "host.name", "value": f"ws{next(numbers)}"})])
    sources = Sources([start()])
    result = await run(script, sources=sources, max_tool_calls=5, max_requests=50)
    assert result.failure is Failure.TOO_MANY_CALLS
    assert len(sources.questions) == 5
    assert script.turns == 5 + MAX_REFUSALS
    assert len(result.answers) == 5


async def test_a_model_that_asks_the_same_again_is_stopped_without_asking_again() -> None:
    script = Script([call("search_events", **SEARCH)])
    sources = Sources([start()])
    result = await run(script, sources=sources, max_requests=50)
    assert result.failure is Failure.TOO_MANY_CALLS
    assert len(sources.questions) == 1
    assert [one.code for one in result.tools] == ["", *["repeated"] * MAX_REFUSALS]


async def test_the_number_of_a_models_answers_is_bounded() -> None:
    numbers = iter(range(10_000))
    script = Script([lambda *_: call("first_seen", match={"field": "host.name", "value": f"ws{next(numbers)}"})])
    result = await run(script, max_requests=4, max_tool_calls=200)
    assert result.failure is Failure.TOO_MANY_CALLS
    assert script.turns == 4


async def test_many_calls_in_one_answer_are_bounded_as_well() -> None:
    calls = [ToolCallPart("first_seen", {"match": {"field": "host.name", "value": f"h{n}"}}) for n in range(500)]
    sources = Sources([start()])
    result = await run(Script([ModelResponse(parts=calls)]), sources=sources, max_tool_calls=3)
    assert result.failure is Failure.TOO_MANY_CALLS
    assert len(sources.questions) == 3


async def test_events_are_bounded_over_all_questions() -> None:
    many = [start(number=number) for number in range(1, 60)]
    numbers = iter(range(1, 100))
    script = Script([lambda *_: call("search_events", types=["process_start"], matches=[], limit=next(numbers) + 20)])
    result = await run(script, sources=Sources(many), max_events=70, max_requests=20)
    assert sum(len(one.evidence) for one in result.answers) == 70
    assert "events_used_up" in {one.code for one in result.tools}


async def test_a_model_that_hangs_is_given_up_and_charged() -> None:
    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        await anyio.sleep_forever()
        raise AssertionError

    hanging = ready(FunctionModel(hang, model_name="hanging"), price=DEAR)
    result = await research(
        case_view(), Sources(), [hanging], settings(timeout_s=0.01, retries=3), PLENTY, sleep=no_wait
    )
    assert result.failure is Failure.TIMEOUT
    (spent,) = result.calls
    assert spent.error == "ModelRequestTimeout"
    assert spent.used.is_estimate
    assert spent.micro_usd > 0


async def test_a_model_that_hangs_leads_to_the_next_one() -> None:
    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        await anyio.sleep_forever()
        raise AssertionError

    chain = [ready(FunctionModel(hang, model_name="hanging")), ready(Script([concludes(claim())]), "openai:second")]
    result = await research(case_view(), Sources(), chain, settings(timeout_s=0.01), PLENTY, sleep=no_wait)
    assert result.report is not None
    assert result.report.engine == "generative:openai:second"


async def test_sources_that_hang_end_with_the_time_for_all_of_it() -> None:
    async def hang(_: object) -> object:
        await anyio.sleep_forever()
        raise AssertionError

    script = Script([call("search_events", **SEARCH)])
    result = await research(
        case_view(),
        hang,  # type: ignore[arg-type]  # never answers
        [ready(script)],
        settings(total_timeout_s=0.05),
        PLENTY,
        sleep=no_wait,
    )
    assert result.failure is Failure.TIMEOUT


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_that_was_cut_off_or_withheld_leads_to_the_next_model(reason: FinishReason) -> None:
    cut = ModelResponse(parts=[TextPart('{"verdict": "Tr')], finish_reason=reason)
    result = await run(Script([cut]), Script([concludes(claim())]))
    assert result.report is not None, result.detail
    assert result.report.engine == "generative:openai:scripted1"
    assert all(one.tokens > 0 for one in result.calls)


async def test_a_timeout_of_the_providers_library_is_charged_like_ours() -> None:
    result = await run(Script([ModelTimeoutError("scripted", "too slow")]), price=DEAR, retries=2)
    assert result.failure is Failure.TIMEOUT
    (spent,) = result.calls
    assert spent.used.is_estimate
    assert spent.micro_usd > 0


async def test_the_callers_cancellation_passes_through() -> None:
    async def hang(_: list[ModelMessage], __: AgentInfo) -> ModelResponse:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.move_on_after(0.05) as scope:
        await research(case_view(), Sources(), [ready(FunctionModel(hang))], settings(), PLENTY, sleep=no_wait)
    assert scope.cancelled_caught


@pytest.mark.parametrize("error", [RuntimeError("boom"), ValueError("boom"), KeyError("boom"), MemoryError("boom")])
async def test_a_model_that_raises_is_a_failure_and_repeats_nothing_of_it(error: Exception) -> None:
    result = await run(Script([error]))
    assert result.failure is Failure.UNAVAILABLE
    assert "boom" not in result.detail


async def test_an_error_that_may_pass_is_tried_again_with_growing_waits() -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    busy = ModelUnavailableError("scripted", "busy")
    script = Script([busy, busy, concludes()])
    result = await research(case_view(), Sources(), [ready(script)], settings(retries=2), PLENTY, sleep=wait)
    assert result.report is not None
    assert waits == [0.5, 1.0]


async def test_no_wait_is_longer_than_the_bound_whatever_the_provider_asks() -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    script = Script([ModelRateLimitError("scripted", "slow down", retry_after=86_400.0), concludes()])
    await research(case_view(), Sources(), [ready(script)], settings(retries=1), PLENTY, sleep=wait)
    assert waits == [20.0]


async def test_a_call_that_would_not_fit_into_the_tokens_left_is_not_made() -> None:
    script = Script([concludes(claim())])
    result = await run(script, allowance=Allowance(tokens=3_000, micro_usd=10**9))
    assert result.failure is Failure.OVER_BUDGET
    assert script.turns == 0
    assert result.tokens == 0


async def test_a_call_that_would_not_fit_into_the_money_left_is_not_made() -> None:
    script = Script([concludes(claim())])
    result = await run(script, allowance=Allowance(tokens=10**9, micro_usd=20_000), price=DEAR)
    assert result.failure is Failure.OVER_BUDGET
    assert script.turns == 0


async def test_a_run_ends_when_its_money_is_used_up_and_asks_no_other_model() -> None:
    numbers = iter(range(10_000))
    script = Script([lambda *_: call("first_seen", match={"field": "host.name", "value": f"ws{next(numbers)}"})])
    second = Script([concludes(claim())])
    allowance = Allowance(tokens=10**9, micro_usd=100_000)
    result = await run(script, second, allowance=allowance, price=DEAR, max_requests=50, max_tool_calls=50)
    assert result.failure is Failure.OVER_BUDGET
    assert second.turns == 0
    assert 1 <= script.turns < 50
    assert 0 < result.micro_usd <= allowance.micro_usd


async def test_each_call_is_told_at_once() -> None:
    told: list[ModelCall] = []
    script = Script([call("search_events", **SEARCH), concludes(claim())])
    result = await research(
        case_view(), Sources([start()]), [ready(script, price=DEAR)], settings(), PLENTY, on_call=told.append
    )
    assert tuple(told) == result.calls
    assert len(told) == 2
    assert all(one.micro_usd > 0 for one in told)


async def test_a_book_keeper_that_fails_ends_the_run_and_not_the_caller() -> None:
    def fail(_: ModelCall) -> None:
        raise RuntimeError("the store is full")

    script = Script([concludes(claim())])
    result = await research(case_view(), Sources(), [ready(script)], settings(), PLENTY, on_call=fail)
    assert result.report is None
    assert result.failure is Failure.BROKEN


async def test_without_a_model_the_run_fails_with_a_reason() -> None:
    result = await research(case_view(), Sources(), [], settings(), PLENTY)
    assert result.failure is Failure.BROKEN
