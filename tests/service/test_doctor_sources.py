"""The doctor and the two files that say what agents may ask: every fault by its source, no secret, nothing asked."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml

from watchfloor_service.doctor import Finding, Health, examine

SECRET = "hunter2-of-the-siem"


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("WATCHFLOOR_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the doctor went to the network for a source")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def found(check: str) -> Finding:
    return next(finding for name, finding in examine() if name == check)


def write(path: Path, *sources: dict[str, object]) -> None:
    path.write_text(yaml.safe_dump({"sources": [{"tenants": ["default"], **one} for one in sources]}))


def test_without_the_files_nothing_is_wrong(data_dir: Path) -> None:
    assert found("log sources") == Finding(
        Health.OK, f"no {data_dir / 'logs.yaml'}: investigations have the alerts alone"
    )
    assert found("context").health is Health.OK
    write(data_dir / "context.yaml")
    assert "names none" in found("context").found


@pytest.mark.parametrize(("check", "file"), [("log sources", "logs.yaml"), ("context", "context.yaml")])
def test_a_file_that_is_wrong_fails_with_every_mistake(data_dir: Path, check: str, file: str) -> None:
    (data_dir / file).write_text("sources:\n  - {name: UPPER, kind: files}\n  - {name: x, kind: nonsense}\n")
    finding = found(check)
    assert finding.health is Health.FAIL
    assert f"{file}:2" in finding.found
    assert f"{file}:3" in finding.found
    assert "the worker does not start with it" in finding.remedy


@pytest.mark.parametrize(
    ("check", "variable"), [("log sources", "WATCHFLOOR_LOGS_FILE"), ("context", "WATCHFLOOR_CONTEXT_FILE")]
)
def test_a_file_that_a_setting_names_and_that_is_missing_fails(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, check: str, variable: str
) -> None:
    monkeypatch.setenv(variable, str(data_dir / "elsewhere.yaml"))
    assert (found(check).health, "elsewhere.yaml" in found(check).found) == (Health.FAIL, True)


@pytest.mark.usefixtures("no_network")
def test_log_sources_that_cannot_be_opened_are_told_with_the_reason_and_without_secrets(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOC_SIEM_KEY", SECRET)
    (data_dir / "there").mkdir()
    siem: dict[str, object] = {"kind": "elasticsearch", "url": "https://siem.example:9200", "index": "logs-*"}
    good: list[dict[str, object]] = [
        {"name": "files", "kind": "files", "paths": ["there"]},
        {"name": "siem", **siem, "api_key": "env:SOC_SIEM_KEY"},
    ]
    write(data_dir / "logs.yaml", *good)
    assert found("log sources") == Finding(Health.OK, f"{data_dir / 'logs.yaml'}: files, siem")

    write(
        data_dir / "logs.yaml",
        *good,
        {"name": "gone", "kind": "files", "paths": ["there", "not-there"]},
        {"name": "keyless", **siem, "api_key": "env:SOC_NO_KEY"},
        {"name": "untrusted", **siem, "api_key": "env:SOC_SIEM_KEY", "ca_file": "no-ca.pem"},
        {"name": "plugged", "kind": "plugin", "plugin": "theirs"},
    )
    finding = found("log sources")
    told = dict(one.split(": ", 1) for one in finding.found.split(" | "))
    assert (finding.health, sorted(told)) == (Health.WARN, ["gone", "keyless", "plugged", "untrusted"])
    assert told["gone"] == "does not exist: not-there"
    assert "SOC_NO_KEY" in told["keyless"]
    assert "log_sources_allowed" in told["plugged"]
    assert "No such file" in told["untrusted"]
    assert SECRET not in finding.found + finding.remedy
    assert not (data_dir / "loaded-logs").exists()


@pytest.mark.usefixtures("no_network")
def test_sources_of_context_are_read_and_told_where_something_of_them_is_wrong(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOC_LDAP_PASSWORD", SECRET)
    bundle = {"type": "bundle", "id": "bundle--00000000-0000-4000-8000-000000000001", "objects": []}
    (data_dir / "good.json").write_text(json.dumps(bundle))
    (data_dir / "bad.json").write_text("{")
    (data_dir / "runbooks").mkdir()
    (data_dir / "runbooks" / "phishing.md").write_text("# Phishing\n")
    ldap = {
        "kind": "ldap", "url": "ldaps://dc01.example", "schema": "ad", "base_dn": "dc=example", "bind_dn": "cn=reader",
    }  # fmt: skip
    good: list[dict[str, object]] = [
        {"name": "feed", "kind": "stix", "paths": ["good.json"]},
        {"name": "runbooks", "kind": "runbooks", "paths": ["runbooks"]},
        {"name": "directory", **ldap, "password": "env:SOC_LDAP_PASSWORD"},
    ]
    write(data_dir / "context.yaml", *good)
    assert found("context") == Finding(Health.OK, f"{data_dir / 'context.yaml'}: directory, feed, runbooks")

    write(
        data_dir / "context.yaml",
        *good,
        {"name": "broken", "kind": "stix", "paths": ["bad.json", "missing.json"]},
        {"name": "no-books", "kind": "runbooks", "paths": ["nowhere"]},
        {"name": "locked", **ldap, "password": "env:SOC_NO_PASSWORD"},
        {"name": "plugged", "kind": "plugin", "plugin": "theirs", "context": "threat_intelligence"},
    )
    finding = found("context")
    told = dict(one.split(": ", 1) for one in finding.found.split(" | "))
    assert (finding.health, sorted(told)) == (Health.WARN, ["broken", "locked", "no-books", "plugged"])
    assert "bad.json" in told["broken"]
    assert "missing.json" in told["broken"]
    assert "SOC_NO_PASSWORD" in told["locked"]
    assert "context_sources_allowed" in told["plugged"]
    assert SECRET not in finding.found + finding.remedy
