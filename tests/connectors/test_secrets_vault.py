"""The contract with HashiCorp Vault's key-value engine, version 2, on a server that speaks its wire format."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from watchfloor_connectors.secrets import vault
from watchfloor_connectors.secrets.resolve import secret_source
from watchfloor_connectors.secrets.vault import VaultAccess
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.keys.sources import SecretSource
from watchfloor_core.settings import Settings

TOKEN = "hvs.right"


@dataclass
class FakeVault:
    """Answers as Vault 1.15 does, as far as reading a secret goes."""

    secrets: dict[str, dict[str, object] | None] = field(default_factory=dict)
    """By ``<mount>/data/<path>``; None where the newest version is deleted."""
    is_sealed: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    """Path and namespace of each request."""
    raw: tuple[int, bytes] | None = None
    """An answer that is none of Vault's."""
    silence: threading.Event | None = None
    """Set: nothing is answered until it is."""

    def answer(self, path: str, token: str | None, namespace: str | None) -> tuple[int, bytes]:
        self.asked.append((path, namespace))
        if self.silence is not None:
            self.silence.wait(20)
        if self.raw is not None:
            return self.raw
        if self.is_sealed:
            return 503, b'{"errors":["Vault is sealed"]}\n'
        if token != TOKEN:
            return 403, b'{"errors":["permission denied"]}\n'
        version = {"created_time": "2026-01-01T00:00:00.0Z", "custom_metadata": None, "destroyed": False, "version": 3}
        key = path.removeprefix("/v1/")
        if key not in self.secrets:
            return 404, b'{"errors":[]}\n'
        secret = self.secrets[key]
        body = {
            "request_id": "6c5d1d0c-8b4e-6c4a-6d2a-7d0a1b9d5a11",
            "lease_id": "",
            "renewable": False,
            "lease_duration": 0,
            "data": {
                "data": secret,
                "metadata": {**version, "deletion_time": "" if secret else "2026-01-02T00:00:00Z"},
            },
            "wrap_info": None,
            "warnings": None,
            "auth": None,
            "mount_type": "kv",
        }
        return (200 if secret else 404), json.dumps(body).encode()


@pytest.fixture
def served() -> Iterator[tuple[FakeVault, str]]:
    fake = FakeVault({"secret/data/soc/watchfloor": {"ring": "the ring", "other": "x", "nested": {"a": 1}}})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = fake.answer(self.path, self.headers["X-Vault-Token"], self.headers["X-Vault-Namespace"])
            try:
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                if status == 307:
                    self.send_header("Location", "/v1/elsewhere")
                self.end_headers()
                self.wfile.write(body)
            except BrokenPipeError:
                self.close_connection = True

        def log_message(self, *arguments: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def source(address: str, reference: str = "vault:secret/soc/watchfloor#ring", token: str = TOKEN) -> SecretSource:
    return secret_source(reference, Settings(vault_address=address, vault_token=SecretStr(token)))


def test_the_newest_version_of_the_field_is_read(served: tuple[FakeVault, str]) -> None:
    fake, address = served
    found = source(address)
    assert found.read() == b"the ring"
    fake.secrets["secret/data/soc/watchfloor"] = {"ring": "the next ring"}
    assert found.read() == b"the next ring"
    assert fake.asked == [("/v1/secret/data/soc/watchfloor", None)] * 2
    assert found.mark() is None
    assert found.reference == "vault:secret/soc/watchfloor#ring"


def test_a_renewed_token_in_a_file_is_taken_up_and_a_namespace_is_named(
    served: tuple[FakeVault, str], tmp_path: Path
) -> None:
    fake, address = served
    file = tmp_path / "token"
    file.write_text("hvs.expired\n")
    file.chmod(0o600)
    settings = Settings(vault_address=address, vault_token_file=file, vault_namespace="soc")
    found = secret_source("vault:secret/soc/watchfloor#ring", settings)
    with pytest.raises(ConfigurationError, match="403"):
        found.read()
    file.write_text(TOKEN + "\n")
    assert found.read() == b"the ring"
    assert {namespace for _, namespace in fake.asked} == {"soc"}


def test_a_wrong_token_is_for_the_operator_to_mend_and_is_not_shown(served: tuple[FakeVault, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"403.*secret/data/soc/watchfloor") as refused:
        source(served[1], token="hvs.wrong").read()
    assert "hvs." not in str(refused.value)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("vault:secret/soc/nothing#ring", "no secret 'secret/data/soc/nothing'"),
        ("vault:secret/soc/watchfloor#Ring", r"no such field of text; it has \['nested', 'other', 'ring'\]"),
        ("vault:secret/soc/watchfloor#nested", "no such field of text"),
    ],
)
def test_a_secret_or_field_that_is_not_there_is_named(served: tuple[FakeVault, str], reference: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        source(served[1], reference).read()
    assert "the ring" not in str(refused.value)


def test_a_deleted_version_is_not_there(served: tuple[FakeVault, str]) -> None:
    fake, address = served
    fake.secrets["secret/data/soc/watchfloor"] = None
    with pytest.raises(ConfigurationError, match="newest version is deleted"):
        source(address).read()


def test_a_sealed_vault_may_answer_later(served: tuple[FakeVault, str]) -> None:
    fake, address = served
    fake.is_sealed = True
    found = source(address)
    with pytest.raises(UnavailableError, match=r"sealed.*503"):
        found.read()
    fake.is_sealed = False
    assert found.read() == b"the ring"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (500, b'{"errors":["internal error"]}', UnavailableError),
        (502, b"<html>", UnavailableError),
        (473, b"", UnavailableError),
        (429, b"", UnavailableError),
        (307, b"", UnavailableError),
        (400, b'{"errors":["no handler for route"]}', ConfigurationError),
        (200, b"<html>", ConfigurationError),
        (200, b'{"data":{"ring":"version 1 of the engine"}}', ConfigurationError),
        (200, b'{"data":{"data":["ring"]}}', ConfigurationError),
        (200, b"[]", ConfigurationError),
        (200, b" " * 1_100_000, UnavailableError),
    ],
)
def test_any_other_answer_is_an_error_that_says_whether_to_wait_or_to_mend(
    served: tuple[FakeVault, str], status: int, body: bytes, error: type[Exception]
) -> None:
    fake, address = served
    fake.raw = (status, body)
    with pytest.raises(error, match="vault:secret/soc/watchfloor#ring"):
        source(address).read()
    # A redirect would carry the token to wherever it points.
    assert len(fake.asked) == 1


def test_a_vault_that_is_silent_is_given_up_in_time(
    served: tuple[FakeVault, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, address = served
    fake.silence = threading.Event()
    monkeypatch.setattr(vault, "TIMEOUT_S", 0.05)
    try:
        with pytest.raises(UnavailableError, match="does not answer"):
            source(address).read()
    finally:
        fake.silence.set()


def test_a_vault_that_is_not_there_is_named() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1 does not answer"):
        source("http://127.0.0.1:1").read()


def test_the_environments_proxy_sees_neither_token_nor_secret(
    served: tuple[FakeVault, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    assert source(served[1]).read() == b"the ring"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://vault.example.org:8200", "clear text"),
        ("http://10.0.0.1:8200", "clear text"),
        ("vault.example.org", "expected https://"),
        ("https://user@vault.example.org", "expected https://"),
        ("file:" + "///vault", "expected https://"),
    ],
)
def test_an_address_that_would_show_the_token_is_refused(address: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        VaultAccess(address, lambda: TOKEN)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "vault_address"),
        ({"vault_address": "https://v"}, "one of the settings vault_token and vault_token_file"),
        (
            {"vault_address": "https://v", "vault_token": "t", "vault_token_file": "f"},
            "one of the settings vault_token and vault_token_file",
        ),
        ({"vault_address": "https://v", "vault_token": "t", "vault_ca": "/nothing"}, "vault_ca: '/nothing'"),
    ],
)
def test_missing_settings_are_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        secret_source("vault:secret/a#f", Settings.model_validate(given))


def test_nothing_shows_the_token() -> None:
    found = source("https://vault.example.org")
    assert TOKEN not in repr(found)
