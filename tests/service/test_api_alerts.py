"""Alerts over HTTP: what is taken in, what is said about it, and what is refused."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

import httpx
import pytest
import zstandard
from sqlalchemy import func, select

from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.deadletters import dead_letter_bytes
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.ingest import pending_alerts
from watchfloor_service.api.backpressure import Backpressure
from watchfloor_service.api.problems import ProblemError
from watchfloor_service.testing import Api, eve_alert, eve_lines, served


class Postgresql(Protocol):
    """The server of the test run, as ``tests/conftest.py`` has it."""

    def clone(self) -> str: ...

    def drop(self, url: str) -> None: ...


NDJSON = {"Content-Type": "application/x-ndjson"}


def post(client: httpx.Client, body: bytes, *, connector: str | None = None, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        "/v1/alerts", content=body, params={"connector": connector} if connector else {}, headers={**NDJSON, **named}
    )


def counts(answer: httpx.Response) -> tuple[int, ...]:
    body = answer.json()
    return tuple(body[name] for name in ("records", "alerts", "duplicates", "ignored", "dead_letters"))


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, body["type"].removeprefix("urn:watchfloor:problem:")


def test_a_batch_is_taken_in_counted_and_recorded(api_on_each: Api) -> None:
    lines = (
        eve_lines(30)
        + eve_lines(1)
        + b'{"event_type": "flow", "timestamp": "2024-06-13T09:00:00.0+0000"}\n'
        + b"{broken\n"
    )
    answer = post(api_on_each.client(), lines)
    assert answer.status_code == 202
    assert counts(answer) == (33, 30, 1, 1, 1)
    assert answer.json()["connector"] == "suricata"
    assert answer.json()["dead_letter_examples"][0]["position"] == 33
    store = api_on_each.store
    with store.read() as connection:
        assert pending_alerts(connection, "default") == 30
        entry = connection.execute(select(schema.ledger_entry)).one()
        assert verify_store(connection, "default").ok
        assert dead_letter_bytes(connection, "default", 1) == b"{broken"
        raw_sha256 = connection.execute(select(schema.batch.c.raw_sha256)).scalar_one()
    body = json.loads(entry.body)["body"]
    assert (entry.chain, entry.kind) == ("ingest", "ingest_batch")
    assert body["connector"]["name"] == "suricata"
    assert body["raw_sha256"] == bytes(raw_sha256).hex()
    assert (body["alerts"], body["duplicates"], body["dead_letters"]) == (30, 1, 1)
    assert body["dedup"]["rules"]
    assert body["dedup"]["rules"][0]["fields"]


def test_the_same_body_again_changes_nothing(api_on_each: Api) -> None:
    client = api_on_each.client()
    first, second = post(client, eve_lines(9)), post(client, eve_lines(9))
    assert (first.status_code, second.status_code) == (202, 200)
    assert (first.json()["known"], second.json()["known"]) == (False, True)
    assert first.json()["batches"] == second.json()["batches"]
    with api_on_each.store.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.record)).scalar_one() == 9
        assert connection.execute(select(func.count()).select_from(schema.ledger_entry)).scalar_one() == 1


def test_the_same_alerts_in_another_body_are_duplicates(api: Api) -> None:
    client = api.client()
    post(client, eve_lines(9))
    answer = post(client, eve_lines(10))
    assert answer.status_code == 202
    assert counts(answer) == (10, 1, 9, 0, 0)


def test_a_key_used_for_another_body_is_refused_and_nothing_is_lost_silently(api_on_each: Api) -> None:
    client = api_on_each.client()
    assert post(client, eve_lines(3), Idempotency_Key="k1").status_code == 202
    assert post(client, eve_lines(3), Idempotency_Key="k1").status_code == 200
    assert problem(post(client, eve_lines(4), Idempotency_Key="k1")) == (422, "idempotency-key-reused")
    assert post(client, eve_lines(4), Idempotency_Key="k2").status_code == 202


def test_a_wrong_connector_is_not_remembered_against_the_right_one(api: Api) -> None:
    client = api.client()
    wrong = post(client, eve_lines(3), connector="wazuh")
    assert wrong.json()["alerts"] == 0
    right = post(client, eve_lines(3), connector="suricata")
    assert (right.status_code, right.json()["alerts"]) == (202, 3)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", json.dumps([eve_alert(1), eve_alert(2)]).encode()),
        ("application/json", json.dumps(eve_alert(1), indent=2).encode()),
        ("application/json; charset=utf-8", json.dumps({"records": [eve_alert(1)]}).encode()),
        ("application/x-ndjson", eve_lines(2)),
    ],
)
def test_ndjson_and_json_are_taken(api: Api, content_type: str, body: bytes) -> None:
    answer = post(api.client(), body, Content_Type=content_type)
    assert answer.status_code == 202, answer.text
    assert answer.json()["dead_letters"] == 0


def test_csv_is_taken_with_its_header_and_a_column_that_lacks_is_named(api: Api) -> None:
    client = api.client()
    header = "time,name,ip,host,short,time_label,event_label"
    row = "1642723347,Wazuh: ClamAV database update,172.19.130.4,mail,W-Sys-Cav,false_positive,-"
    good = post(client, f"{header}\n{row}\n".encode(), Content_Type="text/csv")
    assert counts(good) == (1, 1, 0, 0, 0), good.text
    lacking = post(client, b"time,name\n1642723347,x\n", connector="ait-ads", Content_Type="text/csv")
    assert problem(lacking) == (422, "unknown-connector")
    assert "host" in lacking.json()["detail"]


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstandard.compress)])
def test_packed_bodies_are_taken(api: Api, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    answer = post(api.client(), pack(eve_lines(20)), Content_Encoding=encoding)
    assert counts(answer) == (20, 20, 0, 0, 0)


def test_what_is_whole_of_a_cut_body_is_taken_and_the_break_is_a_dead_letter(api: Api) -> None:
    packed = gzip.compress(eve_lines(2_000))
    answer = post(api.client(), packed[: len(packed) // 2], Content_Encoding="gzip")
    assert answer.status_code == 202
    assert answer.json()["alerts"] > 500
    assert answer.json()["dead_letters"] == 1
    assert "truncated" in answer.json()["dead_letter_examples"][0]["reason"]


@pytest.mark.parametrize("body", [b"", b"\n\n", b"this is no JSON\n", b"\x00\x01\x02", b"[]", b"PK\x03\x04zip"])
def test_a_body_without_anything_to_read_is_refused_and_kept_out(api: Api, body: bytes) -> None:
    assert problem(post(api.client(), body)) == (400, "malformed-body")
    with api.store.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.batch)).scalar_one() == 0


def test_unknown_and_ambiguous_connectors_are_refused_with_those_there_are(api: Api) -> None:
    client = api.client()
    answer = post(client, eve_lines(1), connector="snort")
    assert problem(answer) == (422, "unknown-connector")
    assert "suricata" in answer.json()["connectors"]
    assert problem(post(client, b'{"some": "thing"}\n')) == (422, "unknown-connector")


def test_other_media_types_and_encodings_are_refused(api: Api) -> None:
    client = api.client()
    assert problem(post(client, eve_lines(1), Content_Type="application/xml")) == (415, "unsupported-media")
    assert problem(client.post("/v1/alerts", content=eve_lines(1))) == (415, "unsupported-media")
    answer = post(client, eve_lines(1), Content_Encoding="br")
    assert problem(answer) == (415, "unsupported-media")
    assert answer.headers["accept-encoding"] == "gzip, zstd"


@pytest.fixture
def small(sqlite_store: Store, settings: Settings) -> Iterator[Api]:
    """Takes bodies of 4 KiB, batches of 5 and few waiting alerts."""
    limits = {"max_request_bytes": 4096, "batch_records": 5, "max_pending_alerts": 12}
    with served(sqlite_store, settings.model_copy(update=limits)) as running:
        yield running


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(small: Api) -> None:
    token = small.token()
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
            b"Content-Length: 999999999\r\nAuthorization: Bearer " + token.encode() + b"\r\n\r\n"
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_streams_too_much_is_refused(small: Api) -> None:
    def chunks() -> Iterator[bytes]:
        for number in range(40):
            yield eve_lines(1, first=number)

    answer = small.client().post("/v1/alerts", content=chunks(), headers=NDJSON)
    assert problem(answer) == (413, "too-large")


def test_a_bomb_is_refused(small: Api) -> None:
    bomb = gzip.compress(bytes(3_000_000))
    assert len(bomb) < 4096
    assert problem(post(small.client(), bomb, Content_Encoding="gzip")) == (413, "too-large")


def test_a_body_is_written_in_batches_and_named_by_positions(small: Api) -> None:
    client = small.client()
    answer = post(client, eve_lines(11))
    assert counts(answer) == (11, 11, 0, 0, 0)
    assert len(answer.json()["batches"]) == 3
    assert post(client, eve_lines(11)).json()["known"] is True


def test_senders_are_told_to_wait_while_too_many_alerts_are(sqlite_store: Store, settings: Settings) -> None:
    with served(sqlite_store, settings) as api:
        assert post(api.client(), eve_lines(11)).status_code == 202
        assert post(api.client(tenant="acme"), eve_lines(10)).status_code == 202
    with served(sqlite_store, settings.model_copy(update={"max_pending_alerts": 10})) as api:
        answer = post(api.client(), eve_lines(5, first=20))
        assert problem(answer) == (429, "backpressure")
        assert int(answer.headers["retry-after"]) >= 1
        # Another tenant's backlog is its own, and exactly the limit may wait.
        assert post(api.client(tenant="acme"), eve_lines(5, first=20)).status_code == 202
    with sqlite_store.read() as connection:
        assert pending_alerts(connection, "default") == 11


def test_waiting_alerts_are_counted_once_a_second(sqlite_store: Store, settings: Settings) -> None:
    now = [0.0]
    backpressure = Backpressure(sqlite_store, 2, lambda: now[0])
    backpressure.check("default")
    with served(sqlite_store, settings) as api:
        post(api.client(), eve_lines(3))
    now[0] = 0.9
    backpressure.check("default")
    now[0] = 1.0
    with pytest.raises(ProblemError, match="3 alerts wait"):
        backpressure.check("default")


def test_a_store_that_is_away_is_a_503_that_names_no_place(postgresql: Postgresql, settings: Settings) -> None:
    url = postgresql.clone()
    store = open_store(url)
    with served(store, settings) as api:
        client = api.client()
        assert post(client, eve_lines(1)).status_code == 202
        postgresql.drop(url)
        answer = post(client, eve_lines(2))
    store.close()
    assert problem(answer) == (503, "unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert "postgres" not in answer.text
    assert "Traceback" not in answer.text


def test_deliveries_at_the_same_time_count_each_alert_once(api_on_each: Api) -> None:
    together = threading.Barrier(4)
    answers: list[httpx.Response] = []
    clients = [api_on_each.client(principal=f"edge-{number}") for number in range(4)]

    def send(client: httpx.Client) -> None:
        together.wait()
        answers.append(post(client, eve_lines(200)))

    threads = [threading.Thread(target=send, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [202] * 4
    assert sum(answer.json()["alerts"] for answer in answers) == 200
    assert sum(answer.json()["duplicates"] for answer in answers) == 600
    with api_on_each.store.read() as connection:
        assert verify_store(connection, "default").ok


def test_the_event_loop_answers_while_a_large_batch_is_worked_on(api: Api) -> None:
    large, finished = eve_lines(20_000), threading.Event()
    sender = api.client()

    def send() -> None:
        post(sender, large)
        finished.set()

    thread = threading.Thread(target=send)
    thread.start()
    answered = 0
    probe = api.stranger()
    while not finished.is_set():
        assert probe.get("/healthz").elapsed.total_seconds() < 1.0
        answered += 1
    thread.join()
    assert answered > 5
