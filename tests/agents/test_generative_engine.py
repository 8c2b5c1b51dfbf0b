"""The generative engine with scripted models: what it makes of answers, good and bad."""

from __future__ import annotations

import pytest

pytest.importorskip("pydantic_ai", reason="the extra 'generative' is not installed")


from tests.agents.generative_bench import OPEN_CASE, Script, Sources, call, claim, concludes, run, start
from watchfloor_core.incident import Verdict

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
    assert result.tools[0].found == 1
    assert result.report.probability == OPEN_CASE
    assert result.stated_confidence == 0.9
