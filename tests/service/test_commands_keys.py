"""``watchfloor keys``: what it shows, what it changes, and that no key is ever printed."""

from __future__ import annotations

import base64
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchfloor_core.keys.payload import format_ring
from watchfloor_core.keys.payload_file import ensure_ring, read_ring, ring_file
from watchfloor_core.settings import Settings
from watchfloor_service.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Run:
    """The command line over the test's data directory; no key of it may ever be shown."""
    runner = CliRunner()

    def invoke(*arguments: str) -> Result:
        result = runner.invoke(app, ["--data-dir", str(settings.data_dir), "keys", *arguments])
        path = ring_file(settings.data_dir)
        for key in read_ring(path).keys if path.exists() else ():
            assert base64.b64encode(key.secret).decode() not in result.output
        return result

    return invoke


def test_without_keys_it_says_who_makes_them(run: Run) -> None:
    for command in ("list", "rotate-payload", "accept-plaintext"):
        result = run(command)
        assert result.exit_code == 3
        assert "watchfloor up" in result.stderr


def test_rotation_puts_a_new_key_before_the_old_ones(run: Run, settings: Settings) -> None:
    ensure_ring(ring_file(settings.data_dir))
    first = read_ring(ring_file(settings.data_dir)).current
    result = run("rotate-payload")
    assert result.exit_code == 0, result.output
    ring = read_ring(ring_file(settings.data_dir))
    assert ring.older == (first,)
    assert ring.current.id in result.stdout

    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [ring.current.id, first.id]
    assert [line.split()[-1] for line in lines[1:3]] == ["encrypts", "decrypts"]
    assert "refused" in lines[-1]
    listed = json.loads(run("list", "--json").stdout)["payload"]
    assert [(key["id"], key["use"]) for key in listed["keys"]] == [
        (ring.current.id, "encrypts"),
        (first.id, "decrypts"),
    ]


def test_plaintext_is_accepted_and_refused_by_name(run: Run, settings: Settings) -> None:
    ensure_ring(ring_file(settings.data_dir))
    assert json.loads(run("accept-plaintext", "--json").stdout)["payload"]["accepts_plaintext"] is True
    assert read_ring(ring_file(settings.data_dir)).accepts_plaintext
    assert "refused" in run("refuse-plaintext").stdout
    assert not read_ring(ring_file(settings.data_dir)).accepts_plaintext


def test_a_ring_for_a_secret_store_is_written_to_a_new_private_file(
    run: Run, settings: Settings, tmp_path: Path
) -> None:
    ensure_ring(ring_file(settings.data_dir))
    before = ring_file(settings.data_dir).read_bytes()
    out = tmp_path / "next.json"
    assert run("rotate-payload", "--out", str(out)).exit_code == 0

    assert ring_file(settings.data_dir).read_bytes() == before
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert read_ring(out).older == read_ring(ring_file(settings.data_dir)).keys
    again = run("rotate-payload", "--out", str(out))
    assert (again.exit_code, "there already" in again.stderr) == (2, True)


def test_a_ring_from_elsewhere_is_listed_and_not_written_to(
    run: Run, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_ring(tmp_path / "other" / "ring")
    ring = read_ring(tmp_path / "other" / "ring")
    monkeypatch.setenv("PAYLOAD_RING", format_ring(ring).decode())
    monkeypatch.setenv("WATCHFLOOR_PAYLOAD_KEYS", "env:PAYLOAD_RING")

    assert ring.current.id in run("list").stdout
    refused = run("rotate-payload")
    assert (refused.exit_code, "--out FILE" in refused.stderr) == (2, True)
    assert run("rotate-payload", "--out", str(tmp_path / "next.json")).exit_code == 0
    assert read_ring(tmp_path / "next.json").older == (ring.current,)
