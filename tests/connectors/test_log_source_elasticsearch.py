"""Elasticsearch as a log source, against a server that speaks its wire format and evaluates the queries it is sent."""

from __future__ import annotations

import fnmatch
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from watchfloor_connectors.logs.config import load_log_settings
from watchfloor_connectors.logs.elasticsearch import ElasticsearchSource
from watchfloor_connectors.logs.elasticsearch_query import search_body, translated
from watchfloor_connectors.logs.opening import LogShelf
from watchfloor_connectors.logs.testing import START_US, check_log_source
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, Not, Operator, Select, TimeRange, Where
from watchfloor_core.logs.source import Health

KEY = "c2VjcmV0OmtleQ=="
ALL = TimeRange(START_US - 1, START_US + 100_000_000)
Doc = dict[str, Any]
CATEGORIES = {EventType.PROCESS_START: ("process", "start"), EventType.NETWORK_CONNECTION: ("network", "connection")}


def flat(value: Mapping[str, Any], path: str = "") -> dict[str, list[Any]]:
    """A document's fields as an index has them."""
    found: dict[str, list[Any]] = {}
    for name, one in value.items():
        key = f"{path}.{name}" if path else name
        if isinstance(one, Mapping):
            found |= flat(one, key)
        elif one is not None:
            found[key] = one if isinstance(one, list) else [one]
    return found


def holds(query: Mapping[str, Any], doc: Mapping[str, list[Any]]) -> bool:
    """What a document means to a query, for the part of the language that we write. Fails on any other."""
    [(kind, body)] = query.items()
    match kind:
        case "match_all":
            return True
        case "match_none":
            return False
        case "bool":
            assert set(body) <= {"filter", "should", "must_not", "minimum_should_match"}
            is_any = "should" not in body or any(holds(one, doc) for one in body["should"])
            is_all = all(holds(one, doc) for one in body.get("filter", ()))
            return is_any and is_all and not any(holds(one, doc) for one in body.get("must_not", ()))
        case "exists":
            return bool(doc.get(body["field"]))
        case "terms":
            [(name, values)] = body.items()
            return any(is_term(name, held, value) for held in doc.get(name, ()) for value in values)
        case "wildcard":
            [(name, rule)] = body.items()
            assert rule["case_insensitive"] is True
            return any(is_like(str(held), rule["value"]) for held in doc.get(name, ()))
        case "range":
            [(name, rule)] = body.items()
            return any(is_within(name, held, rule) for held in doc.get(name, ()))
        case _:
            raise AssertionError(f"unknown query {kind}")


def is_term(name: str, held: Any, value: Any) -> bool:
    if name.endswith(".ip"):
        assert isinstance(value, str)
        network = ip_network(value) if "/" in value else ip_network(ip_address(value))
        return ip_address(held).version == network.version and ip_address(held) in network
    if isinstance(held, int):
        assert isinstance(value, int), f"{name} is a number, and {value!r} is none"
    return str(held) == str(value)


def is_like(held: str, pattern: str) -> bool:
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    table = {"*": "*", "?": "?"}
    glob = "".join(table.get(one) or f"[{one[-1]}]" if one[-1] not in "^]\\" else one[-1] for one in parts)
    return fnmatch.fnmatchcase(held.lower(), glob.lower())


def is_within(name: str, held: Any, rule: Mapping[str, Any]) -> bool:
    if name != "@timestamp":
        return all(held >= rule[one] if one == "gte" else held <= rule[one] for one in rule)
    at = milliseconds(held)
    return milliseconds(rule["gte"]) <= at <= milliseconds(rule["lte"])


def milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


class Cluster:
    """One index; answers as it is told to."""

    def __init__(self, docs: Sequence[Doc]) -> None:
        self.docs = list(docs)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.instead: Callable[[BaseHTTPRequestHandler], None] | None = None
        self.changes: dict[str, Any] = {}

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        shards = {"total": 2, "successful": 2, "skipped": 0, "failed": 0}
        base: dict[str, Any] = {"took": 3, "timed_out": False, "_shards": shards}
        if "aggs" in body:
            times = [milliseconds(one["@timestamp"]) for one in self.docs]
            values = (min(times), max(times)) if times else (None, None)
            base["aggregations"] = {name: {"value": one} for name, one in zip(("first", "last"), values, strict=True)}
            base["hits"] = {"hits": []}
        else:
            found = [one for one in self.docs if holds(body["query"], flat(one))]
            found.sort(key=lambda one: milliseconds(one["@timestamp"]))
            hits = [{"_index": "logs", "_id": str(number), "_source": one} for number, one in enumerate(found)]
            base["hits"] = {"max_score": None, "hits": hits[: body["size"]]}
        return base | self.changes


@contextmanager
def served(cluster: Cluster) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            cluster.asked.append(body)
            cluster.headers.append(dict(self.headers))
            cluster.paths.append(self.path)
            if cluster.instead is not None:
                cluster.instead(self)
                return
            send(self, 200, json.dumps(cluster.answer(body)).encode())

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
    handler.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=8")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def source(url: str, timeout_s: float = 30.0) -> ElasticsearchSource:
    key = SecretStr(f"ApiKey {KEY}")
    return ElasticsearchSource("siem", url, "logs-*", authorization=key, timeout_s=timeout_s)


def doc_of(event: LogEvent) -> Doc:
    """As Elastic Agent writes it."""
    doc: Doc = {"@timestamp": to_iso(event.time_us), "number": event.id[-8:]}
    category, kind = CATEGORIES.get(event.type, ("", ""))
    doc["event"] = {"category": [category], "type": [kind], "module": "edr"}
    for name, value in event.fields.items():
        place = doc
        *path, last = name.value.split(".")
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return doc


def beat(code: int, at: str = "2026-02-25T06:13:21.000Z", channel: str = "Security", **data: str) -> Doc:
    """As winlogbeat writes it, without a module's pipeline."""
    return {
        "@timestamp": at,
        "event": {"code": str(code), "provider": "Microsoft-Windows-Security-Auditing"},
        "host": {"name": "dc1"},
        "winlog": {
            "channel": channel,
            "event_id": str(code),
            "computer_name": "dc1",
            "provider_name": "Microsoft-Windows-Security-Auditing",
            "event_data": data,
        },
    }


def test_it_keeps_to_the_contract_of_log_sources() -> None:
    clusters: list[Any] = []

    def make(events: Sequence[LogEvent]) -> ElasticsearchSource:
        served_one = served(Cluster([doc_of(one) for one in events]))
        clusters.append(served_one)
        return source(served_one.__enter__())

    try:
        check_log_source(make, has_all_types=False)
    finally:
        for one in clusters:
            one.__exit__(None, None, None)


LOGON = beat(4624, TargetUserName="LAB\\Ann", LogonType="3", IpAddress="::ffff:10.0.0.7", ProcessId="0x1a4")


@pytest.mark.parametrize(
    "where",
    [
        Where(Field.SOURCE_IP, Operator.EQUALS, ("10.0.0.7",)),
        Where(Field.SOURCE_IP, Operator.IN_NETWORK, ("10.0.0.0/8",)),
        Where(Field.LOGON_TYPE, Operator.EQUALS, ("3",)),
        Where(Field.HOST_NAME, Operator.EQUALS, ("DC1",)),
        Where(Field.EVENT_CODE, Operator.EQUALS, ("4624",)),
        Where(Field.EVENT_OUTCOME, Operator.EQUALS, ("success",)),
        Not(Where(Field.HOST_NAME, Operator.EQUALS, ("dc2",))),
    ],
)
def test_what_winlogbeat_wrote_is_found_by_the_shared_names(where: Any) -> None:
    others = [beat(4624, TargetUserName="bob", LogonType="2", IpAddress="192.0.2.1") | {"host": {"name": "dc2"}}]
    others[0]["winlog"]["computer_name"] = "dc2"
    others[0]["winlog"]["event_data"]["Status"] = "x"
    with served(Cluster([LOGON, *others])) as url:
        found = source(url).select(Select(range=ALL, types=frozenset({EventType.LOGON}), where=where))
    assert "dc1" in {one.text(Field.HOST_NAME) for one in found.events}
    if not isinstance(where, Where) or where.field not in (Field.EVENT_CODE, Field.EVENT_OUTCOME):
        assert {one.text(Field.HOST_NAME) for one in found.events} == {"dc1"}


def test_a_type_asks_for_its_event_ids_alone() -> None:
    cluster = Cluster([LOGON, beat(4688, NewProcessName="C:\\a.exe"), beat(5140, ShareName="x")])
    with served(cluster) as url:
        found = source(url).select(Select(range=ALL, types=frozenset({EventType.PROCESS_START})))
    assert [one.type for one in found.events] == [EventType.PROCESS_START]
    assert '"4688"' in json.dumps(cluster.asked)
    assert '"5140"' not in json.dumps(cluster.asked)


HOSTILE = ["*", "?", "a*b", "\\", '"}}]}', "a\nb", "\u202e", "ü", "", "%", "x" * 300]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(HOSTILE) | st.text(max_size=8), st.sampled_from(HOSTILE) | st.text(max_size=8))
def test_whatever_an_attacker_wrote_is_a_value_and_never_a_part_of_the_question(held: str, asked: str) -> None:
    """A pattern finds at least what the algebra finds."""
    for operator in (Operator.EQUALS, Operator.CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH):
        where = Where(Field.PROCESS_COMMAND_LINE, operator, (asked,))
        query = json.loads(json.dumps(translated(where).query))
        value, wanted = held.lower(), asked.lower()
        meant = {
            Operator.EQUALS: value == wanted,
            Operator.CONTAINS: wanted in value,
            Operator.STARTS_WITH: value.startswith(wanted),
            Operator.ENDS_WITH: value.endswith(wanted),
        }[operator]
        if meant and held.isascii() and asked.isascii():
            assert holds(query, flat({"process": {"command_line": held}}))


def test_the_opposite_of_what_is_found_too_widely_is_left_to_the_selection_here() -> None:
    assert translated(Not(Where(Field.HOST_NAME, Operator.EQUALS, ("a",)))).query == {"match_all": {}}


def test_the_request_is_the_one_of_the_documentation() -> None:
    cluster = Cluster([LOGON])
    with served(cluster) as url:
        source(url).select(Select(range=ALL, limit=5))
    assert cluster.paths[0] == "/logs-*/_search"
    assert cluster.headers[0]["Authorization"] == f"ApiKey {KEY}"
    assert set(cluster.asked[0]) == {"size", "query", "sort", "track_total_hits", "timeout"}
    assert search_body(Select(range=ALL), 10)["sort"] == [{"@timestamp": {"order": "asc", "unmapped_type": "date"}}]


def test_counts_are_made_of_exactly_what_is_meant() -> None:
    docs = [beat(4625, at=f"2026-02-25T06:13:2{number}.000Z", TargetUserName=f"u{number % 3}") for number in range(6)]
    with served(Cluster(docs)) as url:
        question = Aggregate(select=Select(range=ALL), by=(Field.HOST_NAME,), distinct=Field.USER_TARGET_NAME)
        [group] = source(url).aggregate(question).groups
        plain = Aggregate(select=Select(range=ALL), by=(Field.HOST_NAME,), distinct=Field.USER_NAME)
        [users] = source(url).aggregate(plain).groups
    assert group.count == users.count == 6
    assert 3 in (group.distinct, users.distinct)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_shards": {"total": 2, "failed": 1}}, "1 of its shards failed"),
        ({"timed_out": True}, "gave up half-way"),
    ],
)
def test_an_answer_that_is_not_whole_says_so(changes: dict[str, Any], reason: str) -> None:
    cluster = Cluster([LOGON])
    cluster.changes = changes
    with served(cluster) as url:
        coverage = source(url).select(Select(range=ALL)).coverage
    assert coverage.health is Health.PARTIAL
    assert reason in coverage.reason


def status(code: int, body: bytes = b"{}") -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, code, body)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"hits"')
    handler.close_connection = True


def slow(_: BaseHTTPRequestHandler) -> None:
    threading.Event().wait(1)


def redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(307)
    handler.send_header("Location", "http://192.0.2.1/steal")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize(
    ("instead", "reason"),
    [
        (status(401, KEY.encode()), "refuses our credentials"),
        (status(403), "refuses our credentials"),
        (status(404), "no such index"),
        (status(429), "asked too often"),
        (status(500), "status 500"),
        (status(200, b"no json"), "no JSON"),
        (status(200, b"[]"), "no JSON object"),
        (status(200, b'{"hits": 3}'), "no hits"),
        (cut_off, "cannot be reached"),
        (slow, "no answer within"),
        (redirect, "status 307"),
    ],
)
def test_a_source_that_does_not_answer_is_dark_and_tells_no_secret(
    instead: Callable[[BaseHTTPRequestHandler], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster([LOGON])
    cluster.instead = instead
    with caplog.at_level(logging.DEBUG), served(cluster) as url:
        asked = source(url, timeout_s=0.3)
        found = asked.select(Select(range=ALL))
        counted = asked.aggregate(Aggregate(select=Select(range=ALL), by=()))
    assert (found.events, found.coverage.health, counted.coverage.health) == ((), Health.DARK, Health.DARK)
    assert reason in found.coverage.reason
    assert KEY not in f"{found.coverage} {asked!r} {vars(asked)} {caplog.text}"


def test_a_server_that_is_not_there_is_dark() -> None:
    found = source("http://127.0.0.1:9").select(Select(range=ALL))
    assert found.coverage.health is Health.DARK


CONFIG = "sources: [{{name: siem, kind: elasticsearch, tenants: [acme], index: logs-*, url: '{url}', {more}}}]"


def test_the_file_of_log_sources_names_it_and_the_key_is_read_where_it_lies(tmp_path: Path) -> None:
    cluster = Cluster([LOGON])
    with served(cluster) as url:
        (tmp_path / "logs.yaml").write_text(CONFIG.format(url=url, more="user: soc, password: env:PASS"))
        shelf = LogShelf(load_log_settings(tmp_path / "logs.yaml"), tmp_path, {"env:PASS": "pw"}.__getitem__)
        [found] = shelf.of("acme")
        assert len(found.select(Select(range=ALL)).events) == 1
        assert shelf.of("other") == ()
        assert shelf.of("acme")[0] is found
    assert cluster.headers[0]["Authorization"] == "Basic c29jOnB3"


@pytest.mark.parametrize(
    ("url", "more", "problem"),
    [
        ("https://es.example", "user: a", "give api_key, or user and password"),
        ("https://es.example", "api_key: env:A, user: b, password: env:C", "give api_key, or user and password"),
        ("https://es.example", "api_key: hunter2", "a key is no reference"),
        ("http://es.example", "api_key: env:A", "not https"),
        ("https://u:p@es.example", "api_key: env:A", "user name or password"),
    ],
)
def test_a_mistake_in_its_settings_is_named_and_no_secret_repeated(
    tmp_path: Path, url: str, more: str, problem: str
) -> None:
    (tmp_path / "logs.yaml").write_text(CONFIG.format(url=url, more=more))
    with pytest.raises(ConfigurationError, match=problem) as caught:
        load_log_settings(tmp_path / "logs.yaml")
    assert "hunter2" not in str(caught.value)
