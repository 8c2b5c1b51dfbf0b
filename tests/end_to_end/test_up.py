"""``watchfloor up``: found by other commands, heals, refuses clearly, stops cleanly, and starts again where it was."""

from __future__ import annotations

import gzip
import json
import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place

ALERTS = 100


@pytest.fixture(scope="module")
def up(shared_place: Place) -> Place:
    """A place where a stack runs."""
    shared_place.up()
    return shared_place


def status_of(url: object) -> int:
    with urllib.request.urlopen(f"{url}/healthz", timeout=10) as answer:  # noqa: S310 - an address from run.json
        return int(answer.status)


def is_refused(result: subprocess.CompletedProcess[str], *parts: str) -> bool:
    """Exit code 2 and one line that holds all parts."""
    assert result.returncode == 2, result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr
    assert not result.stdout
    return result.stderr.startswith("watchfloor: ") and all(part in result.stderr for part in parts)


def test_a_running_stack_describes_itself_to_its_owner_only(up: Place) -> None:
    assert stat.S_IMODE((up.data_dir / "run.json").stat().st_mode) == 0o600
    assert status_of(up.running["api_url"]) == 200
    for name in ("watchfloor.db", "temporal.db", "logs/worker.log"):
        assert stat.S_IMODE((up.data_dir / name).stat().st_mode) == 0o600, name


def test_a_second_up_says_who_holds_the_directory_and_what_to_do(up: Place) -> None:
    pid = up.running["pid"]
    refused = up.call("up", "--api-port", "0", "--temporal-port", "0")
    assert is_refused(refused, "in use by `watchfloor up`", f"pid {pid}", f"`kill {pid}`", "--data-dir")


def test_a_run_beside_a_running_stack_uses_it(up: Place, tmp_path: Path) -> None:
    before = up.running
    done = up.call("run", up.alerts(ALERTS), "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "alerts.csv").read_text().splitlines()) == ALERTS + 1
    assert up.running == before


def test_what_cannot_be_read_is_named_and_the_rest_is_done(up: Place, tmp_path: Path) -> None:
    good = up.alerts(ALERTS).read_bytes()
    broken = tmp_path / "broken.ndjson"
    broken.write_bytes(good + b'{"event_type": "alert", \x00\n' + b"\xff\xfe nonsense\n" + good[:5000])
    cut = tmp_path / "cut.ndjson.gz"
    cut.write_bytes(gzip.compress(good * 3)[:-200])
    archive = tmp_path / "archive.zip"
    archive.write_bytes(b"PK\x03\x04" + b"\x00" * 100)
    missing = tmp_path / "missing.ndjson"
    done = up.call("run", broken, archive, cut, missing, "--out", tmp_path / "out", "--no-progress")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last == f"Not read: {missing}, {archive}. Everything else is done."
    assert "ZIP" in done.stderr
    assert "missing.ndjson: No such file or directory" in done.stderr
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "alerts-broken.csv",
        "alerts-cut.csv",
        "incidents.ndjson",
    ]
    assert "dead letters" in done.stdout
    lines = (tmp_path / "out" / "alerts-broken.csv").read_text().splitlines()
    assert lines[ALERTS + 1 : ALERTS + 3] == [f"{ALERTS + 1},,,,,", f"{ALERTS + 2},,,,,"]


def test_a_run_refuses_a_matrix_that_the_running_stack_does_not_decide_by(up: Place, tmp_path: Path) -> None:
    matrix = tmp_path / "mine.yaml"
    matrix.write_text("rows: []\n")
    refused = up.call("run", up.alerts(ALERTS + 2), "--autonomy", matrix, "--out", tmp_path)
    assert is_refused(refused, "mine.yaml", "leave the matrix out")


def test_a_doctor_finds_a_running_stack_well(up: Place) -> None:
    found = up.call("doctor")
    assert found.returncode == 0, found.stdout
    assert f"pid {up.running['pid']}" in found.stdout
    assert "answers, namespace default" in found.stdout


def test_every_part_that_is_killed_comes_back(up: Place) -> None:
    parts = ("temporal", "worker", "correlator", "api")
    before = {part: up.pid_of(part) for part in parts}
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    up.until(lambda: all(up.pid_of(part) != pid for part, pid in before.items()), "all are back")
    up.until(lambda: up.call("doctor").returncode == 0, "Temporal answers again")
    assert up.call("run", up.alerts(ALERTS + 1), "--out", up.data_dir.parent / "again").returncode == 0


def test_a_stop_is_clean_and_the_next_start_finds_everything(place: Place) -> None:
    stop_and_look(place, place.up(), signal.SIGTERM)
    second = place.up()
    assert place.call("run", place.alerts(ALERTS), "--out", place.data_dir.parent / "out").returncode == 0
    stop_and_look(place, second, signal.SIGINT)
    assert place.count("SELECT COUNT(*) FROM record") == ALERTS
    again = place.call("run", place.alerts(ALERTS), "--out", place.data_dir.parent / "again")
    assert f"{ALERTS} of the records had been taken in by an earlier run." in again.stdout


def stop_and_look(place: Place, process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal, exit code 0, no word of trouble, and nothing left."""
    pids = place.running["processes"]
    assert isinstance(pids, dict)
    process.send_signal(number)
    out, err = process.communicate(timeout=40)
    assert (process.returncode, err) == (0, "")
    assert out.endswith("Stopped.\n")
    assert not [pid for pid in pids.values() if Path(f"/proc/{pid}").exists()]
    assert not (place.data_dir / "run.json").exists()


def test_a_port_in_use_is_one_clear_line(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert is_refused(
            place.call("up", "--temporal-port", "0", "--api-port", port), str(port), "WATCHFLOOR_API_PORT"
        )
        assert is_refused(place.call("up", "--temporal-port", port), str(port), "WATCHFLOOR_TEMPORAL_PORT")


def test_a_directory_that_cannot_be_written_is_one_clear_line(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_refused(place.call("--data-dir", tmp_path / "file" / "data", "up"), "cannot be written", "--data-dir")


def test_a_store_of_a_newer_version_is_one_clear_line(place: Place) -> None:
    place.data_dir.mkdir()
    with closing(sqlite3.connect(place.data_dir / "watchfloor.db")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
        connection.commit()
    assert is_refused(place.call("up", "--api-port", "0", "--temporal-port", "0"), "'9999'", "newer")


def test_a_mistake_in_a_file_that_a_part_reads_is_told_in_the_part_s_words(place: Place) -> None:
    place.settings["WATCHFLOOR_CONNECTORS_ALLOWED"] = '["nowhere"]'
    assert is_refused(
        place.call("up", "--api-port", "0", "--temporal-port", "0"), "'nowhere' is allowed", "not installed"
    )


def test_a_setting_that_is_wrong_is_one_clear_line(place: Place) -> None:
    place.settings["WATCHFLOOR_TICK_S"] = "a minute"
    assert is_refused(place.call("up"), "'a minute'", "WATCHFLOOR_TICK_S")


def test_help_imports_no_framework() -> None:
    script = (
        "import sys; from watchfloor_service.cli import app; "
        "slow = {'pydantic', 'sqlalchemy', 'temporalio', 'fastapi', 'asyncio'} & set(sys.modules); "
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_line_that_a_part_logs_is_one_json_object(place: Place) -> None:
    """Text from alerts may be logged: it must forge no line and repaint no terminal."""
    stop_and_look(place, place.up(), signal.SIGTERM)
    # The API always says that it has started; the others log only what happens to them.
    lines = (place.data_dir / "logs" / "api.log").read_text().splitlines()
    assert {json.loads(line)["service"] for line in lines} == {"watchfloor-api"}
