"""Signed webhooks from the socket to the store."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import func, select

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_service.api.app import create_app
from watchfloor_service.api.throttle import FAILURES
from watchfloor_service.testing import Api, eve_lines, served

SECRET = "0123456789abcdef0123456789abcdef"

WEBHOOKS = """\
webhooks:
  - name: edge
    tenant: acme
    connector: suricata
    secret_env: TEST_EDGE_SECRET
"""


@pytest.fixture
def hooked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TEST_EDGE_SECRET", SECRET)
    (settings.data_dir / "webhooks.yaml").write_text(WEBHOOKS)
    return settings


@pytest.fixture
def api(store: Store, hooked: Settings) -> Iterator[Api]:
    """On each database in turn."""
    with served(store, hooked) as running:
        yield running


def signed(body: bytes, *, at: int | None = None, secret: str = SECRET) -> dict[str, str]:
    stamp = str(int(time.time()) if at is None else at)
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Watchfloor-Signature": f"t={stamp},v1={digest}", "Content-Type": "application/x-ndjson"}


def send(client: httpx.Client, body: bytes, headers: dict[str, str], name: str = "edge") -> httpx.Response:
    return client.post(f"/v1/webhooks/{name}", content=body, headers=headers)


def test_a_signed_batch_goes_to_the_webhooks_tenant(api: Api) -> None:
    body = eve_lines(5)
    answer = send(api.stranger(), body, signed(body))
    assert answer.status_code == 202, answer.text
    assert answer.json()["alerts"] == 5
    with api.store.read() as connection:
        source = connection.execute(select(schema.source)).one()
        assert (source.tenant, source.id) == ("acme", "webhook:edge")
        assert connection.execute(select(func.count()).where(schema.alert.c.tenant == "acme")).scalar_one() == 5


def test_the_signature_is_over_the_body_as_sent(api: Api) -> None:
    packed = gzip.compress(eve_lines(5))
    answer = send(api.stranger(), packed, {**signed(packed), "Content-Encoding": "gzip"})
    assert answer.status_code == 202
    plain = eve_lines(6)
    assert send(api.stranger(), gzip.compress(plain), {**signed(plain), "Content-Encoding": "gzip"}).status_code == 401


def test_a_replay_is_refused_and_the_same_body_signed_anew_is_known(api: Api) -> None:
    body, client, signed_at = eve_lines(5), api.stranger(), int(time.time())
    headers = signed(body, at=signed_at)
    assert send(client, body, headers).status_code == 202
    replayed = send(client, body, headers)
    assert replayed.status_code == 409
    assert replayed.json()["type"] == "urn:watchfloor:problem:replayed"
    anew = send(client, body, signed(body, at=signed_at - 1))
    assert (anew.status_code, anew.json()["known"]) == (200, True)


def test_of_replays_at_the_same_time_one_is_taken(api: Api) -> None:
    body, together = eve_lines(50), threading.Barrier(4)
    headers = signed(body)
    codes: list[int] = []
    clients = [api.stranger() for _ in range(4)]

    def deliver(client: httpx.Client) -> None:
        together.wait()
        codes.append(send(client, body, headers).status_code)

    threads = [threading.Thread(target=deliver, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [202, 409, 409, 409]


def test_an_unknown_webhook_and_a_wrong_signature_get_the_same_answer(api: Api) -> None:
    body, client = eve_lines(1), api.stranger()
    answers = [
        send(client, body, signed(body), name="nobody"),
        send(client, body, signed(body, secret="x" * 32)),
        send(client, body, signed(body, at=int(time.time()) - 301)),
        send(client, body, {"Content-Type": "application/x-ndjson"}),
        # What the address takes is not told either.
        send(client, body, {"Content-Type": "text/html"}),
    ]
    told = {(answer.status_code, answer.json()["detail"], answer.json()["type"]) for answer in answers}
    assert len(told) == 1
    assert answers[0].status_code == 401


def test_a_batch_that_could_not_be_read_leaves_its_signature_good(api: Api) -> None:
    body, client = b"no alerts at all\n", api.stranger()
    headers = signed(body)
    assert send(client, body, headers).status_code == 400
    assert send(client, body, headers).status_code == 400


def test_a_body_beyond_what_strangers_may_send_is_refused(api: Api) -> None:
    body = b" " * (8 * 1024 * 1024 + 1)
    assert send(api.stranger(), body, signed(body)).status_code == 413


def test_a_token_opens_no_webhook(api: Api) -> None:
    body = eve_lines(1)
    assert send(api.client(), body, {"Content-Type": "application/x-ndjson"}).status_code == 401


def test_a_mistake_in_the_file_stops_the_start(sqlite_store: Store, hooked: Settings) -> None:
    (hooked.data_dir / "webhooks.yaml").write_text(WEBHOOKS.replace("suricata", "snort"))
    with pytest.raises(ConfigurationError, match=r"webhooks.yaml:4: .*'snort'"):
        create_app(hooked, sqlite_store)


def test_a_sender_that_proved_itself_passes_where_strangers_from_its_address_fail(api: Api) -> None:
    client = api.stranger()
    body = eve_lines(1)
    assert send(client, body, signed(body)).status_code == 202
    for _ in range(FAILURES):
        send(client, body, signed(body, secret="x" * 32), name="guessed")
    assert send(client, body, signed(body), name="guessed").status_code == 429
    fresh = eve_lines(2)
    assert send(client, fresh, signed(fresh)).status_code == 202


def test_bodies_that_are_too_large_count_as_failures(sqlite_store: Store, hooked: Settings) -> None:
    with served(sqlite_store, hooked.model_copy(update={"max_request_bytes": 1024})) as small:
        client = small.stranger()
        for _ in range(FAILURES):
            assert client.post("/v1/webhooks/edge", content=b"x" * 1025).status_code == 413
        assert client.post("/v1/webhooks/edge", content=b"x").status_code == 429
