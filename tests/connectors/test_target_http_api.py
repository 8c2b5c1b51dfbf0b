"""How tools speak to vendors' APIs: what is sent where, for how long, how much is read, and what errors then say."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from tests.connectors.directory_server import LOOPBACK, make_certificates
from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, TestClock, Vendor, patient, secret_file, served
from watchfloor_connectors.targets.base import BadTargetError, NotReadyError
from watchfloor_connectors.targets.http_api import Api, ApiOptions, NotThereError, base_url, path_of
from watchfloor_connectors.targets.http_credentials import OAuthToken, SecretHeader
from watchfloor_connectors.targets.secret import read_secret
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.effect import NotDoneError


class Thing(BaseModel):
    name: str


class Things(Vendor):
    """A vendor with one thing, of which everything is known."""

    def __init__(self) -> None:
        super().__init__()
        self.expires_in: object = 3600
        self.tokens = 0
        self.revoked: set[str] = set()

    def is_effect(self, request: Request) -> bool:
        return request.method == "POST" and request.path == "/v1/things"

    def answer(self, request: Request) -> Reply:
        if request.path == "/token":
            self.tokens += 1
            return Reply(200, {"access_token": f"token-{self.tokens}", "expires_in": self.expires_in})
        if request.headers.get("authorization") in self.revoked:
            return Reply(401, {"message": LEAK})
        if request.path == "/v1/missing":
            return Reply(404, {"message": LEAK})
        return Reply(200, {"name": "one"})


@pytest.fixture
def things() -> Iterator[Things]:
    vendor = Things()
    with served(vendor):
        yield vendor


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def api(things: Things, tmp_path: Path, clock: TestClock) -> Api:
    return make(things, tmp_path, clock)


def make(things: Things, folder: Path, clock: TestClock, **options: object) -> Api:
    secret = secret_file(folder)
    token = OAuthToken(f"{things.url}/token", lambda: {"client_secret": read_secret(secret).get_secret_value()})
    checked = patient(ApiOptions()).model_copy(update=options)
    return Api("edr", checked, f"{things.url}/v1", token, denied="give it the scope things:write", clock=clock)


def test_a_value_stays_a_value_in_path_query_and_body(api: Api, things: Things) -> None:
    value = "a/../b?c=d&e#f%2e"
    with api.session() as session:
        session.read(Thing, path_of("things", value), params={"filter": value})
        session.change("POST", "things", json={"comment": value})
    (_, read, change) = things.asked
    assert (read.segments, read.query) == (["v1", "things", value], {"filter": [value]})
    assert change.json == {"comment": value}


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_a_segment_that_leads_elsewhere_is_no_target(segment: str) -> None:
    with pytest.raises(BadTargetError):
        path_of("things", segment)


@pytest.mark.parametrize(
    "url",
    ["http://example.org", "ftp://example.org", "https://", "https://user:pw@example.org", "https://example.org/?a=b"],
)
def test_an_address_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the address"):
        base_url(url)
    assert base_url("https://example.org/api/") == "https://example.org/api"


def test_a_token_is_kept_until_shortly_before_its_end(api: Api, things: Things, clock: TestClock) -> None:
    for _ in range(3):
        with api.session() as session:
            session.read(Thing, "things")
    assert things.tokens == 1
    clock.sleep(3600 - 59)
    with api.session() as session:
        session.read(Thing, "things")
    assert (things.tokens, things.asked[-1].headers["authorization"]) == (2, "Bearer token-2")


def test_a_token_that_was_taken_back_is_renewed_once_and_no_more(api: Api, things: Things) -> None:
    things.revoked = {"Bearer token-1"}
    with api.session() as session:
        session.change("POST", "things")
    assert (things.tokens, things.effects) == (2, 2)
    things.revoked = {"Bearer token-2", "Bearer token-3", "Bearer token-4"}
    with api.session() as session, pytest.raises(NotDoneError, match=r"status 401.*things:write"):
        session.change("POST", "things")
    assert things.tokens == 3


@pytest.mark.parametrize("expires_in", [0, -1, "soon", None, 1e300])
def test_what_is_no_token_is_refused(api: Api, things: Things, expires_in: object) -> None:
    things.expires_in = expires_in
    with api.session() as session, pytest.raises(NotReadyError, match="documented form"):
        session.change("POST", "things")
    assert things.effects == 0


def test_a_secret_that_others_may_read_is_not_sent(things: Things, tmp_path: Path, clock: TestClock) -> None:
    header = SecretHeader(secret_file(tmp_path), before="SSWS ")
    api = Api("okta", ApiOptions(), things.url, header, denied="", clock=clock)
    with api.session() as session:
        session.read(Thing, "things")
        assert things.asked[-1].headers["authorization"] == f"SSWS {SECRET}"
        (tmp_path / "secret").chmod(0o644)
        with pytest.raises(NotDoneError, match="chmod 600"):
            session.read(Thing, "things")
    assert len(things.asked) == 1


def test_the_vendors_pause_is_kept_where_there_is_time_and_said_where_there_is_none(
    api: Api, things: Things, clock: TestClock
) -> None:
    pauses = iter(["2", "1"])
    things.fault = lambda request: (
        Reply(429, None, {"Retry-After": pause})
        if things.is_effect(request) and (pause := next(pauses, "")) else None
    )  # fmt: skip
    with api.session() as session:
        session.change("POST", "things")
    assert (clock.slept, things.effects) == ([2.0, 1.0], 3)
    things.fault = lambda request: Reply(429, None, {"Retry-After": "45"})
    with api.session() as session, pytest.raises(NotDoneError, match="status 429"):
        session.change("POST", "things")
    assert clock.slept == [2.0, 1.0]


def test_no_more_is_sent_in_a_minute_than_the_options_say(things: Things, tmp_path: Path, clock: TestClock) -> None:
    api = make(things, tmp_path, clock, max_per_minute=3)
    with api.session() as session:
        session.read(Thing, "things")
        session.read(Thing, "things")
        with pytest.raises(NotReadyError, match="3 requests of this minute"):
            session.change("POST", "things")
    clock.sleep(61)
    with api.session() as session:
        session.change("POST", "things")
    assert things.effects == 1


def test_an_answer_that_never_comes_leaves_the_outcome_open(things: Things, tmp_path: Path, clock: TestClock) -> None:
    release = threading.Event()

    def waits(request: Request) -> Reply | None:
        if things.is_effect(request):
            release.wait(30)
        return None

    api = make(things, tmp_path, clock, timeout_s=0.2)
    with api.session() as session:
        session.read(Thing, "things")
        things.fault = waits
        with pytest.raises(UnavailableError, match="ReadTimeout") as found:
            session.change("POST", "things")
        release.set()
    assert not isinstance(found.value, NotDoneError)


def test_once_a_change_was_sent_nothing_is_certain_any_more(api: Api, things: Things) -> None:
    with api.session() as session:
        with pytest.raises(NotThereError):
            session.read(Thing, "missing")
        session.change("POST", "things")
        things.fault = lambda request: Reply(400)
        for send in (session.change, session.note):
            with pytest.raises(UnavailableError) as found:
                send("POST", "things")
            assert not isinstance(found.value, NotDoneError)
        things.fault = None
        with pytest.raises(NotFoundError) as missing:
            session.read(Thing, "missing")
        assert not isinstance(missing.value, NotDoneError)


def test_a_note_that_fails_is_no_change(api: Api, things: Things) -> None:
    things.fault = lambda request: Reply(500) if request.path == "/v1/notes" else None
    with api.session() as session:
        with pytest.raises(NotReadyError):
            session.note("POST", "notes", json={})
        things.fault = lambda request: Reply(400)
        with pytest.raises(NotDoneError):
            session.change("POST", "things")


def test_without_time_nothing_is_sent(api: Api, things: Things, clock: TestClock) -> None:
    with api.session() as session:
        clock.sleep(100)
        with pytest.raises(NotReadyError, match="no time left"):
            session.change("POST", "things")
    assert things.asked == []


def test_a_server_is_trusted_by_the_certificates_of_the_options_and_no_others(tmp_path: Path, clock: TestClock) -> None:
    certificates = make_certificates(tmp_path / "tls", LOOPBACK)
    other = make_certificates(tmp_path / "other", LOOPBACK)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificates.certificate, certificates.key)
    vendor = Things()
    with served(vendor, tls):
        for trusted in (None, str(other.ca)):
            with (
                make(vendor, tmp_path, clock, ca=trusted).session() as session,
                pytest.raises(NotReadyError, match="ConnectError"),
            ):
                session.change("POST", "things")
        assert vendor.asked == []
        with make(vendor, tmp_path, clock, ca=str(certificates.ca)).session() as session:
            session.change("POST", "things")
    assert vendor.effects == 1


def test_a_file_without_certificates_is_told(things: Things, tmp_path: Path, clock: TestClock) -> None:
    (tmp_path / "ca.pem").write_text("none\n")
    with (
        pytest.raises(NotReadyError, match="'ca' of 'edr'"),
        make(things, tmp_path, clock, ca=str(tmp_path / "ca.pem")).session(),
    ):
        pass
    with pytest.raises(ValidationError, match="absolute path"):
        ApiOptions.model_validate({"ca": "ca.pem"})


def test_a_token_endpoint_that_leads_elsewhere_is_not_followed(api: Api, things: Things) -> None:
    things.fault = lambda request: Reply(308, None, {"Location": things.url}) if request.path == "/token" else None
    with api.session() as session, pytest.raises(NotReadyError, match="no redirect is followed"):
        session.change("POST", "things")
    assert len(things.asked) == 1


def test_the_environments_proxy_is_not_asked(api: Api, things: Things, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with api.session() as session:
        session.change("POST", "things")
    assert things.effects == 1
