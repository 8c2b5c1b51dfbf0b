"""``watchfloor detect``: what is written and printed, and how it ends."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from watchfloor_connectors.detection.filters import sigma_text
from watchfloor_connectors.registry import Registry
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_guardrails.rule_filter import RuleFilter
from watchfloor_service.cli import app
from watchfloor_service.detection.detect import RULE_COLUMNS

RULE = {
    "title": "=HYPERLINK(1) \x1b[31m\u202edump",
    "id": "5c6a5a0c-0000-4000-8000-000000000001",
    "logsource": {"product": "windows", "category": "process_creation"},
    "level": "high",
    "tags": ["attack.credential-access", "attack.t1003.001"],
    "detection": {"sel": {"CommandLine|contains": "lsass"}, "condition": "sel"},
}
SILENT = {**RULE, "title": "Silent", "level": "low", "detection": {"sel": {"Image": "x"}, "condition": "sel"}}
EVENT = {
    "@timestamp": "2026-02-25T06:13:20.5Z",
    "Hostname": "ws1.example.org",
    "EventID": 1,
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "SourceName": "Microsoft-Windows-Sysmon",
    "Image": "C:\\x.exe",
    "CommandLine": "x lsass \x1b[2J",
    "User": "LAB\\eve",
}
Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(app, [str(one) for one in arguments])


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    path = tmp_path / "events.json"
    path.write_text(json.dumps(EVENT) + "\n" + json.dumps({**EVENT, "CommandLine": "nothing"}) + "\n")
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    for name, content in (("one.yml", RULE), ("two.yml", SILENT)):
        (folder / name).write_text(yaml.safe_dump(content))
    (folder / "bad.yml").write_text("title: no rule\n")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_match_becomes_an_alert_that_the_intake_takes(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    done = run("detect", logs, "--rules", rules, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output

    [line] = (tmp_path / "out" / "alerts.ndjson").read_text().splitlines()
    record: dict[str, Any] = json.loads(line)
    connector = Registry.load(Settings(data_dir=tmp_path)).get("sigma")
    assert connector.recognises(record)
    alert = connector.to_alert(record)
    assert alert is not None
    assert alert.detector.techniques == ("T1003.001",)
    assert alert.severity == 4
    assert {(one.kind.value, one.value) for one in alert.entities} >= {
        ("host", "ws1.example.org"),
        ("user", "lab\\eve"),
    }


def test_every_rule_has_a_line_with_what_became_of_it(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    run("detect", logs, "--rules", rules, "--out", tmp_path / "out")

    found = rows(tmp_path / "out" / "rules.csv")
    assert tuple(found[0]) == RULE_COLUMNS
    assert [(one["state"], one["matches"], one["events"]) for one in found] == [
        ("fired", "1", "2"),
        ("silent", "0", "2"),
        ("cannot run", "0", "0"),
    ]
    assert found[2]["reason"] == "is no Sigma rule: it has no detection"


def test_titles_of_rules_act_on_neither_terminal_nor_spreadsheet(
    run: Run, tmp_path: Path, logs: Path, rules: Path
) -> None:
    done = run("detect", logs, "--rules", rules, "--out", tmp_path / "out")
    assert "\x1b" not in done.output
    assert "\u202e" not in done.output
    assert "HYPERLINK" in done.output
    assert rows(tmp_path / "out" / "rules.csv")[0]["title"].startswith("'=HYPERLINK")


def test_a_level_leaves_the_less_severe_out(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    run("detect", logs, "--rules", rules, "--out", tmp_path / "out", "--level", "medium")
    assert [one["state"] for one in rows(tmp_path / "out" / "rules.csv")] == ["fired", "cannot run"]


def test_what_cannot_be_read_is_named_and_the_rest_is_done(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    (tmp_path / "broken.evtx").write_bytes(b"ElfFile\x00rubbish")
    done = run("detect", logs, tmp_path / "broken.evtx", "--rules", rules, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "not read: " in done.stderr
    assert "broken.evtx" in done.stderr
    assert (tmp_path / "out" / "alerts.ndjson").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("absent.json", "--rules", "RULES"), "no such file or folder: absent.json"),
        (("LOGS", "--rules", "absent"), "no such file or folder of rules"),
        (("LOGS", "--rules", "LOGS"), "none of the rules can be read"),
    ],
)
def test_wrong_arguments_say_what_is_wrong(
    run: Run, tmp_path: Path, logs: Path, rules: Path, arguments: tuple[str, ...], said: str
) -> None:
    places = {"LOGS": str(logs), "RULES": str(rules)}
    done = run("detect", *(places.get(one, one) for one in arguments), "--out", tmp_path / "out")
    assert said in f"{done.output} {done.exception}"


def test_a_second_run_replaces_the_first_whole(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    for _ in range(2):
        run("detect", logs, "--rules", rules, "--out", tmp_path / "out")
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["alerts.ndjson", "rules.csv"]


def test_a_wrong_file_of_context_is_told_before_the_logs_are_read(tmp_path: Path) -> None:
    (tmp_path / "context.yaml").write_text("sources:\n  - {name: a, kind: stixx, tenants: [x], paths: [y]}\n")
    logs, rules = str(tmp_path / "no-such-log"), str(tmp_path / "no-such-rule")
    arguments = [logs, "--rules", rules, "--context", str(tmp_path / "context.yaml"), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["investigate", *arguments])
    assert isinstance(done.exception, ConfigurationError)
    assert "context.yaml:2" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_what_a_filter_sets_aside_is_told_counted_and_kept(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    place = tmp_path / "filters"
    place.mkdir()
    wanted = RuleFilter(
        rule=str(RULE["id"]),
        log_source=(("product", "windows"),),
        event=(("Hostname", "ws1.example.org"), ("User", "lab\\eve")),
    )
    (place / "one.yml").write_text(sigma_text(wanted))
    (place / "bad.yml").write_text("title: no filter\n")
    done = run("detect", logs, "--rules", rules, "--filters", place, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "1 of 1 filters set aside 1 matches" in done.output
    assert "is no Sigma filter" in done.output
    assert (tmp_path / "out" / "alerts.ndjson").read_text() == ""
    [line] = (tmp_path / "out" / "set-aside.ndjson").read_text().splitlines()
    kept = json.loads(line)
    assert kept["event"]["User"] == "LAB\\eve"
    assert kept["filter"]["file"] == str(place / "one.yml")
    fired = next(row for row in rows(tmp_path / "out" / "rules.csv") if row["id"] == RULE["id"])
    assert (fired["state"], fired["matches"], fired["set_aside"], fired["filters"]) == (
        "fired",
        "1",
        "1",
        kept["filter"]["id"],
    )


def test_a_run_without_filters_leaves_nothing_of_an_earlier_one(
    run: Run, tmp_path: Path, logs: Path, rules: Path
) -> None:
    (tmp_path / "filters").mkdir()
    run("detect", logs, "--rules", rules, "--filters", tmp_path / "filters", "--out", tmp_path / "out")
    assert (tmp_path / "out" / "set-aside.ndjson").exists()
    run("detect", logs, "--rules", rules, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "set-aside.ndjson").exists()


def test_a_folder_of_filters_that_is_not_there_is_a_mistake(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    done = run("detect", logs, "--rules", rules, "--filters", tmp_path / "missing", "--out", tmp_path / "out")
    assert "no such file or folder of filters" in f"{done.output} {done.exception}"
    assert not (tmp_path / "out" / "alerts.ndjson").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("bin.yml", b"\x00\xff\xfe", "none of the rules can be read"),
        ("none.yml", b"title: no rule\n", "is no Sigma rule"),
        ("low.yml", yaml.safe_dump(SILENT).encode(), "none of the 1 rules is of level critical"),
    ],
)
def test_rules_that_cannot_be_used_are_a_mistake_and_no_silence(
    run: Run, tmp_path: Path, logs: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    done = run("detect", logs, "--rules", tmp_path / name, "--level", "critical", "--out", tmp_path / "out")
    assert isinstance(done.exception, ConfigurationError)
    assert said in str(done.exception)


def test_logs_without_an_event_are_not_called_silent(run: Run, tmp_path: Path, rules: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = run("detect", tmp_path / "empty", "--rules", rules, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "No event could be read" in done.output
    assert "look next" not in done.output


def test_a_filter_that_sets_nothing_aside_says_why(run: Run, tmp_path: Path, logs: Path, rules: Path) -> None:
    place = tmp_path / "filters"
    place.mkdir()
    event = (("Hostname", "ws1.example.org"), ("User", "lab\\eve"))
    source = (("product", "windows"),)
    other = RuleFilter(rule="5c6a5a0c-0000-4000-8000-00000000000f", log_source=source, event=event)
    (place / "other.yml").write_text(sigma_text(other))
    elsewhere = RuleFilter(rule=str(RULE["id"]), log_source=source, event=(("Hostname", "ws2"), ("User", "lab\\eve")))
    (place / "elsewhere.yml").write_text(sigma_text(elsewhere))
    done = run("detect", logs, "--rules", rules, "--filters", place, "--out", tmp_path / "out")
    assert "other.yml: it names no rule that is here" in done.output
    assert "elsewhere.yml: nothing that its rules matched is what it names" in done.output
