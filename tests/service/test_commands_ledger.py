"""``watchfloor ledger`` with checkpoints: signing, pinning, the witness, and the proof of one decision."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchfloor_core.keys.signing import CHECKPOINT_KEY, signing_key
from watchfloor_core.ledger import Decision, record_decisions
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_service.cli import app

Run = Callable[..., Result]


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "witness"
    folder.mkdir()
    monkeypatch.setenv("WATCHFLOOR_CHECKPOINT_WITNESS", str(folder))
    return folder


@pytest.fixture
def run(settings: Settings, witness: Path) -> Run:
    """The command line over the test's data directory, where a worker has run."""
    runner = CliRunner()
    signing_key(settings.data_dir / "keys", CHECKPOINT_KEY)

    def invoke(*arguments: object) -> Result:
        return runner.invoke(app, ["--data-dir", str(settings.data_dir), *map(str, arguments)])

    return invoke


@pytest.fixture
def key(settings: Settings) -> Path:
    return settings.data_dir / "keys" / f"{CHECKPOINT_KEY}.pub"


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The public half of a key that signed nothing here."""
    signing_key(tmp_path / "elsewhere", CHECKPOINT_KEY)
    return tmp_path / "elsewhere" / f"{CHECKPOINT_KEY}.pub"


@pytest.fixture
def store(settings: Settings) -> Store:
    migrate(settings.store_url)
    return open_store(settings.store_url)


@pytest.fixture
def decision(run: Run, store: Store) -> str:
    """A decision that a checkpoint covers; another came after it."""
    (first,) = record(store, "\x1b[31mred")
    made = run("ledger", "checkpoint", "--json")
    assert json.loads(made.stdout)["number"] == 1
    record(store, "late")
    return first


def record(store: Store, text: str) -> list[str]:
    with store.write() as connection:
        return record_decisions(connection, "default", [Decision("inc-1", "verdict", {"text": text}, "verdict", 1, 1)])


def said(result: Result) -> str:
    return " ".join(result.stdout.split())


def test_verify_says_what_is_covered_who_signed_and_whether_the_key_is_pinned(
    run: Run, decision: str, key: Path, witness: Path, tmp_path: Path
) -> None:
    file = tmp_path / "ledger.ndjson"
    assert "1 checkpoints" in said(run("ledger", "export", file))
    loose = said(run("ledger", "verify", file))
    assert "1 entries are covered by 1 signed checkpoints, the last of " in loose
    assert "1 came later and are in none yet." in loose
    assert "not pinned: give --key" in loose
    pinned = run("ledger", "verify", file, "--key", key, "--witness", witness)
    assert pinned.exit_code == 0
    assert "; pinned." in said(pinned)
    assert "The witness has 1 of the 1, all the same." in said(pinned)
    coverage = json.loads(run("ledger", "verify", "--json", "--key", key).stdout)["coverage"]
    assert (coverage["entries"], coverage["is_pinned"], coverage["witnessed"]) == (1, True, None)


def test_verify_refuses_a_stranger_s_signature(run: Run, decision: str, stranger: Path, tmp_path: Path) -> None:
    run("ledger", "export", tmp_path / "ledger.ndjson")
    result = run("ledger", "verify", tmp_path / "ledger.ndjson", "--key", stranger)
    assert result.exit_code == 1
    assert "signature: expected checkpoint 1 with a signature that holds" in result.stderr


def test_verify_finds_an_older_ledger_by_the_witness(
    run: Run, decision: str, key: Path, witness: Path, tmp_path: Path
) -> None:
    run("ledger", "export", tmp_path / "older.ndjson")
    assert run("ledger", "checkpoint").exit_code == 0
    result = run("ledger", "verify", tmp_path / "older.ndjson", "--key", key, "--witness", witness)
    assert result.exit_code == 1
    assert "checkpoint 2, which the witness has" in result.stderr


def test_a_decision_is_proved_and_the_proof_checked_without_the_store(
    run: Run, decision: str, key: Path, stranger: Path, tmp_path: Path
) -> None:
    file = tmp_path / "proof.json"
    assert run("ledger", "prove", decision, "--out", file).exit_code == 0
    checked = CliRunner().invoke(app, ["ledger", "verify-proof", str(file), "--key", str(key)])
    assert checked.exit_code == 0
    assert f"Decision {decision} (verdict, entry 1 of chain inc-1, tenant default)" in said(checked)
    assert "; pinned." in said(checked)
    shown = run("ledger", "verify-proof", file, "--json")
    assert json.loads(shown.stdout)["body"] == {"text": "\x1b[31mred"}
    refused = run("ledger", "verify-proof", file, "--key", stranger)
    assert (refused.exit_code, "does not hold: it is signed by key" in refused.stderr) == (1, True)
    file.write_bytes(file.read_bytes().replace(b"verdict", b"closure"))
    forged = run("ledger", "verify-proof", file, "--key", key)
    assert (forged.exit_code, "path leads to" in forged.stderr) == (1, True)


def test_what_cannot_be_proved_yet_or_is_not_there_says_so(
    run: Run, store: Store, decision: str, tmp_path: Path
) -> None:
    (late,) = record(store, "later still")
    refused = run("ledger", "prove", late, "--out", tmp_path / "proof.json")
    assert (refused.exit_code, "is in no checkpoint yet" in refused.stderr) == (4, True)
    assert run("ledger", "prove", "ab" * 8, "--out", tmp_path / "proof.json").exit_code == 3
    assert run("ledger", "prove", decision, "--out", tmp_path / "missing" / "proof.json").exit_code == 2
    assert not (tmp_path / "proof.json").exists()


def test_a_second_checkpoint_of_the_same_ledger_is_none(run: Run, store: Store) -> None:
    record(store, "one")
    assert "Checkpoint 1 covers 1 entries" in said(run("ledger", "checkpoint"))
    assert said(run("ledger", "checkpoint")) == "Nothing came since the last checkpoint."
    assert said(run("ledger", "checkpoint", "--json")) == "null"


def test_a_ledger_without_checkpoints_says_that_nothing_vouches_for_it(run: Run, store: Store, tmp_path: Path) -> None:
    record(store, "one")
    assert "No checkpoint was signed yet" in said(run("ledger", "verify"))
    run("ledger", "export", tmp_path / "one.ndjson", "--chain", "inc-1")
    assert "It has no checkpoints" in said(run("ledger", "verify", tmp_path / "one.ndjson"))


def test_a_key_file_that_is_none_is_the_caller_s_mistake(run: Run, decision: str, tmp_path: Path) -> None:
    (tmp_path / "bad.pub").write_text("no key")
    assert run("ledger", "verify", "--key", tmp_path / "bad.pub").exit_code == 2
    assert run("ledger", "verify-proof", tmp_path / "missing.json").exit_code == 2
