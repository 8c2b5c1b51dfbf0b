"""Microsoft Sentinel as a log source, against a server that speaks the wire format of Log Analytics and Entra."""

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
from watchfloor_connectors.logs.kql import literal, select_kql
from watchfloor_connectors.logs.opening import LogShelf
from watchfloor_connectors.logs.sentinel import SentinelSource
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import AllOf, AnyOf, Not, Operator, Select, TimeRange, Where
from watchfloor_core.logs.source import Health

SECRET = "s3cr3t~value"
WORKSPACE, DIRECTORY, APPLICATION = ("0" * 8 + "-0000-4000-8000-" + "0" * 11 + one for one in "123")
START_US = 1_772_000_000_000_000
ALL = TimeRange(START_US, START_US + 60_000_000)
AT = "2026-02-25T06:13:21.1234567Z"
Row = dict[str, Any]

ROWS: list[Row] = [
    {
        "SourceTable": "SecurityEvent",
        "TimeGenerated": AT,
        "EventID": 4624,
        "Computer": "DC1",
        "TargetUserName": "ann",
        "LogonType": 3,
        "IpAddress": "10.0.0.7",
    },
    {
        "SourceTable": "DeviceProcessEvents",
        "TimeGenerated": AT,
        "DeviceName": "WS1",
        "FolderPath": "C:\\Windows\\System32\\cmd.exe",
        "FileName": "cmd.exe",
        "ProcessCommandLine": "cmd /c whoami",
        "ProcessId": 42,
        "AccountName": "ann",
        "InitiatingProcessFolderPath": "C:\\Office",
        "InitiatingProcessFileName": "winword.exe",
        "SHA256": "a" * 64,
    },
    {
        "SourceTable": "DeviceNetworkEvents",
        "TimeGenerated": AT,
        "DeviceName": "ws1",
        "RemoteIP": "203.0.113.9",
        "RemotePort": 443,
        "InitiatingProcessFileName": "cmd.exe",
    },
    {
        "SourceTable": "SigninLogs",
        "TimeGenerated": AT,
        "UserPrincipalName": "ann@example.org",
        "IPAddress": "198.51.100.1",
        "ResultType": "50126",
        "Location": "NL",
    },
    {
        "SourceTable": "AzureActivity",
        "TimeGenerated": AT,
        "OperationNameValue": "MICROSOFT.KEYVAULT/VAULTS/DELETE",
        "Caller": "ann@example.org",
        "CallerIpAddress": "198.51.100.1",
        "ActivityStatusValue": "Success",
    },
]


class Azure:
    """Login and workspace in one; gives the rows that it is told to, whatever is asked."""

    def __init__(self, rows: list[Row] | None = None) -> None:
        self.rows = ROWS if rows is None else rows
        self.asked: list[str] = []
        self.tokens = 0
        self.paths: list[str] = []
        self.forms: list[dict[str, list[str]]] = []
        self.bearers: list[str] = []
        self.beside: dict[str, Any] = {}
        self.instead: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.login: tuple[int, dict[str, Any]] | None = None

    def query(self, kql: str) -> dict[str, Any]:
        self.asked.append(kql)
        rows = self.rows
        if "summarize" in kql:
            found = [{"First": "2026-02-25T06:00:00Z", "Last": "2026-02-25T07:00:00Z"}] if rows else []
            rows = found or [{"First": None, "Last": None}]
        else:
            match = re.search(r"take (\d+)$", kql)
            assert match is not None
            rows = rows[: int(match[1])]
        names = list(dict.fromkeys(name for row in rows for name in row)) or ["TimeGenerated"]
        table = {
            "name": "PrimaryResult",
            "columns": [{"name": name, "type": "string"} for name in names],
            "rows": [[row.get(name) for name in names] for row in rows],
        }
        return {"tables": [table]} | self.beside


@contextmanager
def served(azure: Azure) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            azure.paths.append(self.path)
            if self.path.endswith("/oauth2/v2.0/token"):
                azure.forms.append(parse_qs(body.decode()))
                azure.tokens += 1
                answer = {"token_type": "Bearer", "expires_in": 3599, "access_token": f"token-{azure.tokens}"}
                status, content = azure.login or (200, answer)
                send(self, status, json.dumps(content).encode())
                return
            azure.bearers.append(self.headers["Authorization"])
            if azure.instead is not None:
                azure.instead(self)
                return
            send(self, 200, json.dumps(azure.query(json.loads(body)["query"])).encode())

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


def source(url: str, timeout_s: float = 30.0) -> SentinelSource:
    return SentinelSource(
        "siem",
        WORKSPACE,
        directory=DIRECTORY,
        application=APPLICATION,
        secret=SecretStr(SECRET),
        timeout_s=timeout_s,
        api_url=url,
        login_url=url,
    )


def selected(azure: Azure, query: Select) -> Any:
    with served(azure) as url:
        return source(url).select(query)


def test_rows_of_each_table_are_events_in_the_shared_vocabulary() -> None:
    found = selected(Azure(), Select(range=ALL))
    by_type = {one.type: one.fields for one in found.events}
    assert set(by_type) == {
        EventType.LOGON,
        EventType.PROCESS_START,
        EventType.NETWORK_CONNECTION,
        EventType.SIGN_IN,
        EventType.CLOUD_API,
    }
    process = by_type[EventType.PROCESS_START]
    assert process[Field.PROCESS_EXECUTABLE] == "C:\\Windows\\System32\\cmd.exe"
    assert (process[Field.PROCESS_PID], process[Field.PARENT_EXECUTABLE]) == (42, "C:\\Office\\winword.exe")
    assert (process[Field.HOST_NAME], process[Field.USER_NAME]) == ("ws1", "ann")
    assert by_type[EventType.LOGON][Field.SOURCE_IP] == "10.0.0.7"
    assert by_type[EventType.NETWORK_CONNECTION][Field.DESTINATION_PORT] == 443
    assert by_type[EventType.SIGN_IN][Field.EVENT_OUTCOME] == "failure"
    assert by_type[EventType.CLOUD_API][Field.EVENT_ACTION] == "MICROSOFT.KEYVAULT/VAULTS/DELETE"
    assert found.coverage.health is Health.WHOLE


def test_what_comes_is_selected_exactly_as_asked() -> None:
    where = Where(Field.PROCESS_NAME, Operator.EQUALS, ("CMD.EXE",))
    found = selected(Azure(), Select(range=ALL, types=frozenset({EventType.PROCESS_START}), where=where))
    assert [one.type for one in found.events] == [EventType.PROCESS_START]
    late = selected(Azure(), Select(range=TimeRange(START_US + 2_000_000, START_US + 3_000_000)))
    assert late.events == ()


def test_the_requests_are_those_of_the_documentation() -> None:
    azure = Azure()
    with served(azure) as url:
        asked = source(url)
        asked.select(Select(range=ALL))
        asked.select(Select(range=ALL, limit=3))
    assert azure.paths[0] == f"/{DIRECTORY}/oauth2/v2.0/token"
    assert azure.forms[0] == {
        "grant_type": ["client_credentials"],
        "client_id": [APPLICATION],
        "client_secret": [SECRET],
        "scope": ["https://api.loganalytics.io/.default"],
    }
    assert set(azure.paths[1:]) == {f"/v1/workspaces/{WORKSPACE}/query"}
    # One token for all of it.
    assert (azure.tokens, set(azure.bearers)) == (1, {"Bearer token-1"})


def test_a_token_that_is_taken_back_is_asked_for_again() -> None:
    azure = Azure()
    with served(azure) as url:
        asked = source(url)
        azure.instead = lambda handler: send(handler, 401, b"{}")
        assert asked.select(Select(range=ALL)).coverage.health is Health.DARK
        azure.instead = None
        assert asked.select(Select(range=ALL)).events
    assert azure.tokens == 2


def test_the_question_names_tables_time_and_text() -> None:
    where = AllOf(
        (
            AnyOf(
                (Where(Field.HOST_NAME, Operator.EQUALS, ("ws1",)), Where(Field.HOST_NAME, Operator.EQUALS, ("ws2",)))
            ),
            Where(Field.PROCESS_PID, Operator.EQUALS, (42,)),
            Not(Where(Field.USER_NAME, Operator.EQUALS, ("ann",))),
        )
    )
    kql = select_kql(Select(range=ALL, types=frozenset({EventType.PROCESS_START}), where=where), 10)
    assert kql == (
        "union isfuzzy=true withsource=SourceTable SecurityEvent, DeviceProcessEvents\n"
        "| where TimeGenerated >= datetime(2026-02-25T06:13:20Z) and TimeGenerated < datetime(2026-02-25T06:14:20Z)\n"
        '| where ((* contains "ws1" or * contains "ws2") and (* contains "42" or * contains "0x2a"))\n'
        "| sort by TimeGenerated asc\n"
        "| take 10"
    )


@given(st.text())
def test_no_text_ends_its_literal(text: str) -> None:
    inner = literal(text)[1:-1]
    assert re.fullmatch(r"(?:[A-Za-z0-9]|\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*", inner)
    again = re.sub(r"\\u([0-9a-f]{4})|\\U([0-9a-f]{8})", lambda one: chr(int(one[1] or one[2], 16)), inner)
    assert again == text


def test_a_part_of_an_answer_is_told_as_a_part() -> None:
    azure = Azure()
    azure.beside = {"error": {"code": "PartialError", "message": "There were some errors"}}
    found = selected(azure, Select(range=ALL))
    assert found.coverage.health is Health.PARTIAL
    assert "PartialError" in found.coverage.reason


def test_more_than_was_asked_for_is_a_cut_answer() -> None:
    rows = [{**ROWS[0], "TargetUserName": f"u{number}"} for number in range(300)]
    found = selected(Azure(rows), Select(range=ALL, limit=5))
    assert (len(found.events), found.is_cut) == (5, True)


def test_an_empty_workspace_is_dark() -> None:
    assert selected(Azure([]), Select(range=ALL)).coverage.health is Health.DARK


def status(code: int, body: bytes = b"{}") -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, code, body)


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        (status(403, SECRET.encode()), "refuses the application"),
        (status(404), "no such workspace"),
        (status(429), "asked too often"),
        (status(504), "its own time was up"),
        (status(500), "status 500"),
        (status(200, b"nothing"), "no JSON"),
        (status(200, b'{"tables": []}'), "no table"),
        (lambda _: threading.Event().wait(1), "no answer within"),
    ],
)
def test_a_workspace_that_does_not_answer_is_dark_and_tells_no_secret(
    instead: Callable[[BaseHTTPRequestHandler], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    azure = Azure()
    azure.instead = instead
    with caplog.at_level(logging.DEBUG), served(azure) as url:
        asked = source(url, timeout_s=0.3)
        found = asked.select(Select(range=ALL))
    assert (found.events, found.coverage.health) == ((), Health.DARK)
    assert reason in found.coverage.reason
    assert SECRET not in f"{found.coverage} {vars(asked)} {caplog.text}"
    assert "token-1" not in f"{found.coverage} {vars(asked)} {caplog.text}"


@pytest.mark.parametrize("login", [(401, {"error": "invalid_client"}), (200, {}), (200, {"access_token": 3})])
def test_without_a_token_it_is_dark(login: tuple[int, dict[str, Any]]) -> None:
    azure = Azure()
    azure.login = login
    found = selected(azure, Select(range=ALL))
    assert found.coverage.health is Health.DARK
    assert "token" in found.coverage.reason
    assert azure.asked == []


CONFIG = (
    "sources: [{{name: siem, kind: sentinel, tenants: [acme], workspace: {workspace}, directory: {directory}, "
    "application: {application}, secret: '{secret}', api_url: '{url}', login_url: '{url}'}}]"
)
GOOD = {"workspace": WORKSPACE, "directory": DIRECTORY, "application": APPLICATION, "secret": "env:SECRET"}


def test_the_file_of_log_sources_names_it(tmp_path: Path) -> None:
    with served(Azure()) as url:
        (tmp_path / "logs.yaml").write_text(CONFIG.format(url=url, **GOOD))
        [found] = LogShelf(load_log_settings(tmp_path / "logs.yaml"), tmp_path, lambda _: SECRET).of("acme")
        assert found.select(Select(range=ALL)).events


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"secret": "hunter2"}, "a key is no reference"),
        ({"workspace": "../x"}, "workspace"),
        ({"url": "http://login.example"}, "not https"),
    ],
)
def test_a_mistake_in_its_settings_is_named(tmp_path: Path, change: dict[str, str], problem: str) -> None:
    (tmp_path / "logs.yaml").write_text(CONFIG.format(**{"url": "https://api.example", **GOOD, **change}))
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load_log_settings(tmp_path / "logs.yaml")
    assert "hunter2" not in str(caught.value)
