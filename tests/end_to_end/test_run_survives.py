"""A run whose processes are killed comes to the same result as one that nobody disturbs."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place

ALERTS = 300
TENANT = "SELECT tenant FROM source"
INCIDENTS = "SELECT COUNT(*) FROM incident"
TRIAGED = "SELECT COUNT(*) FROM incident WHERE triaged_revision > 0"
UNTRIAGED = "SELECT COUNT(*) FROM incident WHERE status = 'new'"


def results(out: Path) -> tuple[list[str], list[str]]:
    return (out / "alerts.csv").read_text().splitlines(), (out / "incidents.ndjson").read_text().splitlines()


def chain_faults(place: Place) -> str:
    (tenant,) = place.rows(TENANT)[0]
    verified = place.call("ledger", "verify", "--tenant", str(tenant))
    return "" if verified.returncode == 0 else verified.stderr


@pytest.fixture(scope="module")
def undisturbed(shared_place: Place) -> tuple[list[str], list[str]]:
    """What the file comes to when nothing happens."""
    out = shared_place.data_dir.parent / "out"
    done = shared_place.call("run", shared_place.alerts(ALERTS), "--out", out, "--no-progress")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return results(out)


def test_a_run_gives_every_record_a_line_and_every_incident_one(undisturbed: tuple[list[str], list[str]]) -> None:
    lines, incidents = undisturbed
    assert lines[0] == "row,fingerprint,incident_id,verdict,probability,closed_by"
    rows = list(csv.DictReader(lines))
    assert [int(row["row"]) for row in rows] == list(range(1, ALERTS + 1))
    found = {incident["incident_id"]: incident for incident in map(json.loads, incidents)}
    assert {row["incident_id"] for row in rows} == set(found)
    assert sum(incident["alert_count"] for incident in found.values()) == len({row["fingerprint"] for row in rows})
    assert list(next(iter(found.values()))) == [
        *("incident_id", "opened_at", "first_alert_at", "last_alert_at", "alert_count", "entities"),
        *("verdict", "probability", "status", "level", "reasons"),
    ]
    for row in rows:
        incident = found[row["incident_id"]]
        assert row["verdict"] == incident["verdict"]
        assert (row["closed_by"] == "agent") == (incident["status"] == "closed")


def test_kill_9_of_the_worker_and_then_of_temporal_changes_nothing(
    place: Place, undisturbed: tuple[list[str], list[str]]
) -> None:
    out = place.data_dir.parent / "out"
    run = place.start("run", place.alerts(ALERTS), "--out", out)
    worker, temporal = place.pid_of("worker"), place.pid_of("temporal")
    place.eventually(INCIDENTS, "incidents are there")
    os.kill(worker, signal.SIGKILL)
    place.eventually(TRIAGED, "the new worker triages")
    assert place.count(UNTRIAGED) > 0
    os.kill(temporal, signal.SIGKILL)
    _, said = run.communicate(timeout=90)
    assert run.returncode == 0, said
    assert "worker ended (signal SIGKILL)" in said
    assert "temporal ended (signal SIGKILL)" in said
    assert results(out) == undisturbed
    assert chain_faults(place) == ""


# Three stacks, one after the other, of which two begin with the workflow tasks that a dead worker had taken.
@pytest.mark.timeout(300)
def test_a_run_that_is_killed_and_one_that_is_interrupted_are_taken_up_where_they_stopped(
    place: Place, undisturbed: tuple[list[str], list[str]]
) -> None:
    out, file = place.data_dir.parent / "out", place.alerts(ALERTS)
    place.settings["WATCHFLOOR_BATCH_RECORDS"] = "5"
    killed = place.start("run", file, "--out", out)
    place.eventually("SELECT COUNT(*) FROM batch", "some of the file is read")
    killed.kill()
    killed.wait()
    assert place.count("SELECT COUNT(*) FROM source WHERE closed_us IS NULL") == 1
    # Another size of batch: nothing is cut anew, for the run goes on behind the last record that is in.
    place.settings["WATCHFLOOR_BATCH_RECORDS"] = "50"
    interrupted = place.start("run", file, "--out", out)
    place.eventually(TRIAGED, "the second run triages")
    interrupted.send_signal(signal.SIGINT)
    _, said = interrupted.communicate(timeout=60)
    assert interrupted.returncode == 130
    assert "run the same command again" in said
    assert not (out / "alerts.csv").exists()
    done = place.call("run", file, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"{ALERTS} of the records had been taken in by an earlier run." in done.stdout
    assert results(out) == undisturbed
    assert place.count("SELECT COUNT(*) FROM record") == ALERTS
    assert chain_faults(place) == ""
