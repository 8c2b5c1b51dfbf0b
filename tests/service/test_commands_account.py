"""``watchfloor account``: what it changes and shows, and that a link is shown once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchfloor_core.clock import now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_service.access.accounts import load_account
from watchfloor_service.access.login_links import principal_of_link
from watchfloor_service.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    runner = CliRunner()

    def invoke(*arguments: str) -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), *arguments])

    return invoke


def listed(run: Run, *arguments: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(run("account", "list", "--json", *arguments).stdout)
    return found


def whose(settings: Settings, link: str) -> str | None:
    store: Store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            return principal_of_link(connection, link.strip().partition("?token=")[2], now_us())
    finally:
        store.close()


def test_an_account_comes_with_a_link_for_its_password(run: Run, settings: Settings) -> None:
    made = run("account", "create", "ana", "--role", "analyst", "--role", "auditor", "--name", "Ana Example")
    assert made.exit_code == 0, made.output
    # The link alone on standard output, to be piped on.
    assert re.fullmatch(r"http://127\.0\.0\.1:8470/v1/first-login\?token=[A-Za-z0-9_-]{43}\n", made.stdout)
    assert "within a day" in made.stderr
    assert whose(settings, made.stdout) == "ana"
    (shown,) = listed(run)
    assert (shown["principal"], shown["display_name"], shown["roles"]) == (
        "ana",
        "Ana Example",
        {"default": ["analyst", "auditor"]},
    )
    assert shown["has_password"] is False
    assert "token=" not in run("account", "list").stdout


def test_a_new_link_ends_the_earlier(run: Run, settings: Settings) -> None:
    first = run("account", "create", "ana", "--role", "lead").stdout
    second = json.loads(run("account", "login-link", "ana", "--json").stdout)["link"]
    assert (whose(settings, first), whose(settings, second)) == (None, "ana")


def test_roles_are_of_one_tenant(run: Run) -> None:
    run("account", "create", "ana", "--role", "analyst")
    assert "lead in tenant acme" in run("account", "grant-role", "ana", "lead", "--tenant", "acme").stdout
    assert "Nothing changed" in run("account", "grant-role", "ana", "lead", "--tenant", "acme").stdout
    assert run("account", "revoke-role", "ana", "analyst").exit_code == 0
    assert listed(run) == []
    assert "account create" in run("account", "list").stdout
    assert [one["roles"] for one in listed(run, "--all-tenants")] == [{"acme": ["lead"]}]
    assert "acme: lead" in run("account", "list", "--all-tenants").stdout


def test_a_disabled_account_says_so_until_it_is_enabled(run: Run) -> None:
    run("account", "create", "ana", "--role", "analyst")
    assert json.loads(run("account", "disable", "ana", "--json").stdout)["changed"] is True
    assert "disabled 2" in run("account", "list").stdout
    assert run("account", "login-link", "ana").exit_code == 2
    assert run("account", "enable", "ana").exit_code == 0
    assert "no password yet" in run("account", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("grant-role", "nobody", "lead"), 3),
        (("login-link", "nobody"), 3),
        (("disable", "nobody"), 3),
        (("create", "Ana", "--role", "lead"), 2),
        (("create", "local:root", "--role", "lead"), 2),
        (("create", "ana", "--role", "emperor"), 2),
        (("create", "bo", "--role", "lead"), 4),
        (("link-identity", "bo", "--subject", "s"), 2),
    ],
)
def test_what_cannot_be_is_said_by_the_exit_code(run: Run, arguments: tuple[str, ...], code: int) -> None:
    run("account", "create", "bo", "--role", "viewer")
    assert run("account", *arguments).exit_code == code


def test_an_identity_is_linked_by_its_subject(run: Run, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setenv("WATCHFLOOR_OIDC_ISSUER", "https://id.example")
    for name in ("ana", "bo"):
        run("account", "create", name, "--role", "viewer")
    assert run("account", "link-identity", "ana", "--subject", "s-1").exit_code == 0
    again = run("account", "link-identity", "bo", "--subject", "s-1")
    assert again.exit_code == 4
    assert "'ana'" in again.stderr


def test_every_change_is_in_the_ledger_under_the_user_of_this_machine(run: Run, tmp_path: Path) -> None:
    run("account", "create", "ana", "--role", "analyst")
    run("account", "disable", "ana")
    file = tmp_path / "ledger.ndjson"
    assert run("ledger", "export", str(file), "--chain", "control").exit_code == 0
    text = file.read_text()
    for event in ("account_created", "role_granted", "link_made", "account_disabled"):
        assert event in text
    assert "local:" in text
    assert run("ledger", "verify").exit_code == 0


def test_a_name_with_an_account_cannot_be_given_to_a_program(run: Run, settings: Settings) -> None:
    run("account", "create", "ana", "--role", "analyst")
    refused = run("token", "create", "--principal", "ana", "--scope", "incidents:read")
    assert refused.exit_code == 2
    assert "person's account" in refused.stderr
    store = open_store(settings.store_url)
    with store.read() as connection:
        assert load_account(connection, "ana") is not None
    store.close()
