"""``watchfloor policy``: from an empty folder to a signed policy in force."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from watchfloor_core.keys.approver import make_approver_key
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema_authority import approver_key
from watchfloor_guardrails.cedar_schema import SCHEMA
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.cli import app
from watchfloor_workflows.policy import PolicyFile

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    """The command line over the test's data directory."""
    runner = CliRunner()

    def invoke(*arguments: object) -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), "policy", *map(str, arguments)])

    return invoke


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    yield store
    store.close()


@pytest.fixture
def bundle(run: Run, tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    assert run("init", folder).exit_code == 0
    return folder


@pytest.fixture
def key(store: Store, tmp_path: Path) -> Path:
    """Ana's private key; its public half is known to the store."""
    file = tmp_path / "ana.pem"
    signer = make_approver_key(file, None)
    with store.write() as connection:
        connection.execute(
            insert(approver_key).values(
                id=signer.key_id,
                principal="ana@example.org",
                kind="ed25519",
                public_key=signer.public_key.public_bytes_raw(),
                sign_count=0,
                label="",
                created_us=0,
            )
        )
    return file


def answer(result: Result) -> Any:  # JSON of many shapes
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_what_init_writes_is_right_and_its_examples_hold(run: Run, bundle: Path) -> None:
    result = run("check", bundle)

    assert result.exit_code == 0, result.output
    assert "6 examples hold" in result.stdout
    report = answer(run("check", bundle, "--json"))
    assert (report["ok"], report["problems"], len(report["tests"])) == (True, [], 6)


def test_init_writes_into_no_folder_that_holds_something(run: Run, bundle: Path) -> None:
    before = (bundle / "limits.yaml").read_text()
    result = run("init", bundle)

    assert (result.exit_code, "is not empty" in result.stderr) == (2, True)
    assert (bundle / "limits.yaml").read_text() == before


def test_check_prints_every_mistake_with_its_line(run: Run, bundle: Path) -> None:
    (bundle / "limits.yaml").write_text("defaults:\n  grant_ttl_s: 900\n")
    (bundle / "example.cedar").write_text("\npermit (principal, action, resource);\n")
    result = run("check", bundle)

    assert result.exit_code == 2
    assert f"{bundle}/limits.yaml:2: 900 is too large; at most 300 is allowed" in result.stdout
    assert f"{bundle}/example.cedar:2: an operator's policy can only forbid" in result.stdout
    problems = json.loads(run("check", bundle, "--json").stdout)["problems"]
    assert [(one["file"], one["line"]) for one in problems][-1] == (f"{bundle}/example.cedar", 2)


def test_check_says_no_to_an_example_that_does_not_hold(run: Run, bundle: Path, tmp_path: Path) -> None:
    examples = tmp_path / "examples.yaml"
    examples.write_text(
        "tests:\n"
        "  - name: inside addresses may be blocked\n"
        "    request: {action_class: deny ip, target: 10.0.0.1}\n"
        "    expect: {effect: allow}\n"
    )
    result = run("check", bundle, "--tests", examples)

    assert result.exit_code == 1
    assert "wrong  inside addresses may be blocked" in result.stdout
    assert f"{examples}:2: effect is deny (never-block-private-networks" in result.stdout


def test_a_policy_goes_from_a_folder_into_force(
    run: Run, bundle: Path, key: Path, store: Store, settings: Settings
) -> None:
    assert "No signed policy" in run("history").stdout
    assert "Not signed" in run("show").stdout
    signed = answer(run("sign", bundle, "--version", 1, "--as", "ana@example.org", "--key", key, "--json"))
    activated = answer(run("activate", bundle, "--json"))

    assert (activated["is_new"], activated["version"], activated["author"]) == (True, 1, "ana@example.org")
    assert activated["activated_by"] == local_principal()
    assert activated["digest"] == signed["digest"]
    shown = answer(run("show", "--json"))
    assert (shown["is_signed"], shown["version"], shown["digest"]) == (True, 1, signed["digest"])
    assert shown["policies"][0]["id"] == "never-block-our-resolvers"
    assert "Version 1 of ana@example.org, signed" in run("show").stdout
    assert [entry["version"] for entry in answer(run("history", "--json"))] == [1]
    assert PolicyFile(settings, store).current().version == 1


def test_the_matrix_that_autonomy_shows_is_that_of_the_policy_in_force(
    run: Run, bundle: Path, key: Path, settings: Settings
) -> None:
    text = (bundle / "autonomy.yaml").read_text()
    (bundle / "autonomy.yaml").write_text(
        text.replace("function: reporting\n    level: L2", "function: reporting\n    level: L3")
    )
    run("sign", bundle, "--version", 1, "--as", "ana@example.org", "--key", key)
    run("activate", bundle)

    result = CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), "autonomy", "show", "--json"])
    assert ("reporting", "L3") in [(row["function"], row["level"]) for row in answer(result)["rows"]]


def test_an_older_version_is_refused(run: Run, bundle: Path, key: Path) -> None:
    run("sign", bundle, "--version", 2, "--as", "ana@example.org", "--key", key)
    assert run("activate", bundle).exit_code == 0
    run("sign", bundle, "--version", 1, "--as", "ana@example.org", "--key", key)
    result = run("activate", bundle)

    assert (result.exit_code, "sign it as version 3 or later" in result.stderr) == (4, True)


def test_a_policy_signed_in_another_persons_name_is_refused(run: Run, bundle: Path, key: Path) -> None:
    run("sign", bundle, "--version", 1, "--as", "ben@example.org", "--key", key)
    result = run("activate", bundle)

    assert (result.exit_code, "is signed by 'ana@example.org'" in result.stderr) == (4, True)


def test_nothing_is_signed_that_is_not_right(run: Run, bundle: Path, key: Path) -> None:
    (bundle / "example.cedar").write_text("permit (principal, action, resource);")
    result = run("sign", bundle, "--version", 1, "--as", "ana@example.org", "--key", key)

    assert result.exit_code == 2
    assert not (bundle / "signature.json").exists()


def test_a_key_that_others_can_read_is_not_used(run: Run, bundle: Path, key: Path) -> None:
    key.chmod(0o644)
    result = run("sign", bundle, "--version", 1, "--as", "ana@example.org", "--key", key)

    assert (result.exit_code, "chmod 600" in result.stderr) == (2, True)


def test_a_policy_that_was_changed_in_place_is_shown_as_what_it_is(
    run: Run, bundle: Path, key: Path, settings: Settings
) -> None:
    run("sign", bundle, "--version", 1, "--as", "ana@example.org", "--key", key)
    run("activate", bundle)
    (settings.data_dir / "policy" / "current" / "example.cedar").write_text("")
    result = run("show")

    assert (result.exit_code, "'example.cedar' was changed since it was signed" in result.stderr) == (1, True)
    assert "is not what its author signed" in json.loads(run("show", "--json").stdout)["problem"]


def test_the_schema_is_printed_as_it_is(run: Run) -> None:
    assert run("schema").stdout == SCHEMA
