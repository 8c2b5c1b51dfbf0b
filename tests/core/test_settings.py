"""The one reader of the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from watchfloor_core.settings import Settings


@pytest.mark.parametrize("given", ["acme, other", '["acme", "other"]', "acme,other,"])
def test_names_are_given_with_commas_or_as_a_list(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("WATCHFLOOR_CONNECTORS_ALLOWED", given)
    assert Settings().connectors_allowed == ("acme", "other")


def test_nothing_is_allowed_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHFLOOR_CONNECTORS_ALLOWED", raising=False)
    assert Settings().connectors_allowed == ()


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://soc.example.org", "https://soc.example.org"),
        ("https://SOC.example.org:443/", "https://soc.example.org"),
        ("https://soc.example.org:8443", "https://soc.example.org:8443"),
        ("http://localhost:8470", "http://localhost:8470"),
    ],
)
def test_the_public_address_is_kept_as_browsers_name_an_origin(given: str, origin: str) -> None:
    assert Settings(public_url=given).passkey_origin == origin


@pytest.mark.parametrize(
    "given",
    [
        "soc.example.org",
        "http://soc.example.org",
        "https://soc.example.org/console",
        "https://soc.example.org?x",
        "https://ana@soc.example.org",
        "https://soc.example.org:port",
        "https://",
        "https://[::1]",
        "javascript:alert(1)",
    ],
)
def test_a_public_address_that_is_no_origin_is_refused(given: str) -> None:
    with pytest.raises(ValidationError):
        Settings(public_url=given)


def test_without_a_public_address_passkeys_are_for_this_machine_or_for_nobody() -> None:
    assert Settings(api_port=8471).passkey_origin == "http://localhost:8471"
    assert Settings(api_port=0).passkey_origin is None
    assert Settings(api_host="0.0.0.0").passkey_origin is None  # noqa: S104 -- what an operator would set
