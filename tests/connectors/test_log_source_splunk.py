"""Splunk as a log source, against a server that speaks the wire format of its export."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from watchfloor_connectors.logs.config import load_log_settings
from watchfloor_connectors.logs.opening import LogShelf
from watchfloor_connectors.logs.spl import bounds, quoted, select_spl
from watchfloor_connectors.logs.splunk import SplunkSource
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import AllOf, AnyOf, Not, Operator, Select, TimeRange, Where
from watchfloor_core.logs.source import Health

TOKEN = "s3cr3t.token"
START_US = 1_772_000_000_000_000
ALL = TimeRange(START_US, START_US + 60_000_000)
AT = "1772000001.250000"
Row = dict[str, Any]
XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><Provider "
    "Name='Microsoft-Windows-Sysmon'/><EventID>1</EventID><TimeCreated SystemTime='2026-02-25T06:13:21.2500000Z'/>"
    "<Channel>Microsoft-Windows-Sysmon/Operational</Channel><Computer>WS1</Computer></System><EventData>"
    "<Data Name='Image'>C:\\Windows\\cmd.exe</Data><Data Name='CommandLine'>cmd /c &lt;x&gt;</Data></EventData></Event>"
)
ROWS: list[Row] = [
    {"_raw": XML, "_watchfloor_time": AT, "host": "WS1"},
    {
        "_raw": json.dumps({"eventTime": "2026-02-25T06:13:21Z", "eventSource": "iam.amazonaws.com", "eventName": "X"}),
        "_watchfloor_time": AT,
    },
    {"_raw": "a line", "_watchfloor_time": AT, "dest": "web1", "user": "ann", "src": "10.0.0.7", "action": "failure"},
    {"_raw": "fw", "_watchfloor_time": AT, "src_ip": "10.0.0.5", "dest_ip": "203.0.113.9", "dest_port": "443"},
    {
        "_raw": "p",
        "_watchfloor_time": AT,
        "dest": "ws2",
        "process": "powershell -enc x",
        "process_name": "PowerShell.exe",
        "process_id": "77",
        "parent_process_name": "winword.exe",
        "user": "LAB\\bob",
    },
]


class Splunk:
    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows = ROWS if rows is None else rows
        self.forms: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.messages: list[dict[str, str]] = []
        self.instead: Callable[[BaseHTTPRequestHandler], None] | None = None

    def answer(self, form: dict[str, str]) -> bytes:
        if "tstats" in form["search"]:
            found: list[Row] = [{"first": "1771999000.0", "last": "1772009000.5"}] if self.rows else [{}]
        else:
            match = re.search(r"\| head (\d+)", form["search"])
            assert match is not None
            found = self.rows[: int(match[1])]
        lines = [{"preview": False, "offset": number, "result": one} for number, one in enumerate(found)]
        ended: dict[str, Any] = {"preview": False, "lastrow": True}
        if self.messages:
            ended["messages"] = self.messages
        return "\n".join(json.dumps(one) for one in [*lines, ended]).encode()


@contextmanager
def served(splunk: Splunk) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            splunk.forms.append({name: one[0] for name, one in form.items()})
            splunk.headers.append(dict(self.headers))
            splunk.paths.append(self.path)
            if splunk.instead is not None:
                splunk.instead(self)
                return
            send(self, 200, splunk.answer(splunk.forms[-1]))

        def log_message(self, *_: object) -> None:
            """Nothing: a test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def source(url: str, timeout_s: float = 30.0) -> SplunkSource:
    return SplunkSource("siem", url, ("wineventlog", "main"), token=SecretStr(TOKEN), timeout_s=timeout_s)


def selected(splunk: Splunk, query: Select) -> Any:
    with served(splunk) as url:
        return source(url).select(query)


def test_results_of_each_kind_are_events_in_the_shared_vocabulary() -> None:
    found = selected(Splunk(), Select(range=ALL))
    starts = {one.text(Field.HOST_NAME): one.fields for one in found.events if one.type is EventType.PROCESS_START}
    assert starts["ws1"][Field.PROCESS_COMMAND_LINE] == "cmd /c <x>"
    assert starts["ws1"][Field.PROCESS_NAME] == "cmd.exe"
    bob = starts["ws2"]
    assert (bob[Field.PROCESS_PID], bob[Field.USER_NAME], bob[Field.PARENT_NAME]) == (77, "bob", "winword.exe")
    others = {one.type: one.fields for one in found.events}
    assert others[EventType.LOGON_FAILED][Field.SOURCE_IP] == "10.0.0.7"
    assert others[EventType.NETWORK_CONNECTION][Field.DESTINATION_PORT] == 443
    assert others[EventType.CLOUD_API][Field.EVENT_ACTION] == "X"
    assert {one.time_us // 1_000_000 for one in found.events} == {1_772_000_001}
    assert found.coverage.health is Health.WHOLE


def test_what_comes_is_selected_exactly_as_asked() -> None:
    where = Where(Field.PROCESS_NAME, Operator.EQUALS, ("powershell.EXE",))
    assert [one.text(Field.HOST_NAME) for one in selected(Splunk(), Select(range=ALL, where=where)).events] == ["ws2"]


def test_the_request_is_the_one_of_the_documentation() -> None:
    splunk = Splunk()
    selected(splunk, Select(range=ALL, limit=5))
    assert splunk.paths[0] == "/services/search/v2/jobs/export"
    assert splunk.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    assert splunk.forms[0] == {
        "search": select_spl(Select(range=ALL, limit=5), ("wineventlog", "main"), 101),
        "output_mode": "json",
        "preview": "false",
        "max_time": "30",
        "earliest_time": "1772000000.000000",
        "latest_time": "1772000060.000000",
    }
    assert bounds(TimeRange(1, 2)) == ("0.000001", "0.000002")


def test_the_question_names_indexes_and_text() -> None:
    where = AllOf(
        (
            AnyOf(tuple(Where(Field.USER_NAME, Operator.EQUALS, (one,)) for one in ("ann", "b|c"))),
            Where(Field.PROCESS_PID, Operator.EQUALS, (42,)),
            Not(Where(Field.USER_NAME, Operator.EQUALS, ("eve",))),
        )
    )
    assert select_spl(Select(range=ALL, where=where), ("main",), 10).startswith(
        'search (index=main) (("*ann*" OR "*b*c*") ("*42*" OR "*0x2a*")) | sort 0 _time | head 10 | '
    )


@given(st.text())
def test_no_text_ends_its_phrase_or_becomes_a_command(text: str) -> None:
    assert re.fullmatch(r'("\*[A-Za-z0-9 ._/:@*-]+\*")?', quoted(text))


@pytest.mark.parametrize(
    "raw", ["<!DOCTYPE x [<!ENTITY a 'b'>]><Event>&a;</Event>", "<Event", "{broken", "[1]", "\x00"]
)
def test_an_event_that_is_no_record_is_read_by_its_fields(raw: str) -> None:
    [found] = selected(Splunk([{"_raw": raw, "_watchfloor_time": AT, "dest": "ws3"}]), Select(range=ALL)).events
    assert found.text(Field.HOST_NAME) == "ws3"


def test_an_event_without_a_time_makes_the_answer_a_part() -> None:
    found = selected(Splunk([ROWS[2], {"_raw": "x", "_watchfloor_time": "soon"}]), Select(range=ALL))
    assert len(found.events) == 1
    assert found.coverage.health is Health.PARTIAL
    assert "1 of its records have no time" in found.coverage.reason


@pytest.mark.parametrize(
    ("kind", "health"),
    [("WARN", Health.PARTIAL), ("ERROR", Health.PARTIAL), ("FATAL", Health.DARK), ("INFO", Health.WHOLE)],
)
def test_what_the_search_says_against_its_answer_is_told(kind: str, health: Health) -> None:
    splunk = Splunk()
    splunk.messages = [{"type": kind, "text": f"peer {TOKEN} is down"}]
    found = selected(splunk, Select(range=ALL))
    assert found.coverage.health is health
    assert TOKEN not in found.coverage.reason


def test_more_than_was_asked_for_is_a_cut_answer() -> None:
    rows = [{**ROWS[2], "user": f"u{number}"} for number in range(300)]
    found = selected(Splunk(rows), Select(range=ALL, limit=5))
    assert (len(found.events), found.is_cut) == (5, True)


def test_indexes_without_events_are_dark() -> None:
    assert selected(Splunk([]), Select(range=ALL)).coverage.health is Health.DARK


def status(code: int, body: bytes = b"{}") -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, code, body)


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        (status(401, TOKEN.encode()), "refuses the token"),
        (status(400), "does not take the search"),
        (status(503), "asked too often"),
        (status(500), "status 500"),
        (status(200, b"nothing"), "no JSON"),
        (status(200, b"[1]"), "no JSON object"),
        (lambda _: threading.Event().wait(1), "no answer within"),
    ],
)
def test_a_splunk_that_does_not_answer_is_dark_and_tells_no_secret(
    instead: Callable[[BaseHTTPRequestHandler], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    splunk = Splunk()
    splunk.instead = instead
    with caplog.at_level(logging.DEBUG), served(splunk) as url:
        asked = source(url, timeout_s=0.3)
        found = asked.select(Select(range=ALL))
    assert (found.events, found.coverage.health) == ((), Health.DARK)
    assert reason in found.coverage.reason
    assert TOKEN not in f"{found.coverage} {vars(asked)} {caplog.text}"


CONFIG = "sources: [{{name: siem, kind: splunk, tenants: [acme], indexes: [{index}], token: '{token}', url: '{url}'}}]"


def test_the_file_of_log_sources_names_it(tmp_path: Path) -> None:
    with served(Splunk()) as url:
        (tmp_path / "logs.yaml").write_text(CONFIG.format(url=url, index="main", token="env:TOKEN"))
        [found] = LogShelf(load_log_settings(tmp_path / "logs.yaml"), tmp_path, lambda _: TOKEN).of("acme")
        assert found.select(Select(range=ALL)).events


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"token": "hunter2"}, "a key is no reference"),
        ({"index": "'main) | delete'"}, "indexes"),
        ({"url": "http://splunk.example"}, "not https"),
    ],
)
def test_a_mistake_in_its_settings_is_named(tmp_path: Path, change: dict[str, str], problem: str) -> None:
    good = {"url": "https://splunk.example:8089", "index": "main", "token": "env:TOKEN"}
    (tmp_path / "logs.yaml").write_text(CONFIG.format(**good | change))
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load_log_settings(tmp_path / "logs.yaml")
    assert "hunter2" not in str(caught.value)
