"""Logs: one line of JSON for each record, whatever an attacker wrote into it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.telemetry import SpanName, configure_telemetry, span
from watchfloor_core.telemetry.logs import MAX_FIELD, MAX_MESSAGE, JsonLines, configure_logging

_log = logging.getLogger("watchfloor.test")


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [handler for handler in root.handlers if handler not in handlers]:
        root.removeHandler(handler)
        handler.close()
    for handler in [handler for handler in handlers if handler not in root.handlers]:
        root.addHandler(handler)
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_is_one_line_of_json_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(log_level="info"), "watchfloor-worker")
    _log.info("closed %d incidents", 3, extra={"incident_id": "inc-1", "probability": 0.5, "by": None})
    _log.debug("not at this level")
    (line,) = lines(capsys)
    assert str(line.pop("time")).endswith("+00:00")
    assert line == {
        "incident_id": "inc-1",
        "probability": 0.5,
        "by": None,
        "level": "info",
        "service": "watchfloor-worker",
        "logger": "watchfloor.test",
        "message": "closed 3 incidents",
    }


@pytest.mark.parametrize("level", ["info", "debug"])
def test_the_address_of_a_request_may_be_a_credential_and_is_not_logged(
    capsys: pytest.CaptureFixture[str], level: Literal["info", "debug"]
) -> None:
    configure_logging(Settings(log_level=level), "watchfloor-worker")
    transport = httpx.MockTransport(lambda request: httpx.Response(202))
    with httpx.Client(transport=transport) as client:
        client.post("https://flows.example.org/hook?sig=c0ffee", headers={"Authorization": "Bearer c0ffee"})
    assert "c0ffee" not in capsys.readouterr().err


def test_text_from_an_alert_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), "watchfloor-worker")
    forged = 'bob"}\n{"level":"info","message":"incident closed"}\r\u2028\u0085\x1b[2J\u202e\ud800'
    _log.warning("failed login of %s", forged, extra={"user": forged, "parts": [forged]})
    (line,) = lines(capsys)
    assert line["message"] == (
        'failed login of bob"}\\u{000A}{"level":"info","message":"incident closed"}'
        "\\u{000D}\\u{2028}\\u{0085}\\u{001B}[2J\\u{202E}\\u{D800}"
    )
    assert str(line["user"]).startswith('bob"}\\u{000A}{')
    assert str(line["parts"]).isprintable()


def test_a_field_cannot_take_the_place_of_what_every_line_has(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), "watchfloor-worker")
    _log.warning("real", extra={"level": "forged", "service": "forged", "time": "forged", "logger": "forged"})
    (line,) = lines(capsys)
    assert "forged" not in line.values()


def test_an_exception_is_a_list_of_safe_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), "watchfloor-worker")
    try:
        raise ValueError("bad field \x1b[31m\nTraceback: forged")
    except ValueError:
        _log.exception("could not parse")
    (line,) = lines(capsys)
    assert line["exception"] == "ValueError"
    stack = line["stack"]
    assert isinstance(stack, list)
    assert stack[0] == "Traceback (most recent call last):"
    assert "ValueError: bad field \\u{001B}[31m" in stack
    assert all(text.isprintable() for text in stack)


def test_long_text_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), "watchfloor-worker")
    _log.warning("A" * 100_000, extra={"field": "B" * 100_000, "large": 2**70})
    (line,) = lines(capsys)
    assert len(str(line["message"])) == MAX_MESSAGE
    assert len(str(line["field"])) == MAX_FIELD
    assert line["large"] == str(2**70)


def test_a_line_inside_a_span_names_it(capsys: pytest.CaptureFixture[str], sqlite_store: Store) -> None:
    configure_logging(Settings(), "watchfloor-worker")
    with configure_telemetry(Settings(), sqlite_store, "watchfloor-worker"), span(SpanName.ADVANCE) as started:
        _log.warning("inside")
    _log.warning("outside")
    inside, outside = lines(capsys)
    assert inside["span_id"] == f"{started.get_span_context().span_id:016x}"
    assert inside["trace_id"] == f"{started.get_span_context().trace_id:032x}"
    assert "span_id" not in outside


def test_configuring_twice_does_not_log_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Settings(), "first")
    configure_logging(Settings(), "second")
    _log.warning("once")
    assert [line["service"] for line in lines(capsys)] == ["second"]


@given(st.text(st.characters(codec=None)), st.dictionaries(st.text(st.characters(codec=None)), st.text() | st.floats()))
def test_any_text_gives_one_line_of_json(text: str, fields: dict[str, object]) -> None:
    record = logging.makeLogRecord({**fields, "msg": "%s", "args": (text,), "levelname": "INFO", "exc_info": None})
    line = JsonLines("test").format(record)
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    json.loads(line)
