"""``watchfloor investigate`` as its user runs it: from a log file and a rule to a report and its evidence."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.end_to_end.conftest import WATCHFLOOR
from tests.workflows.investigations import DUMP, OUTSIDE, write_attack

RULE = {
    "title": "LSASS memory dump",
    "id": "5c6a5a0c-0000-4000-8000-000000000002",
    "logsource": {"product": "windows", "category": "process_creation"},
    "level": "high",
    "tags": ["attack.t1003.001"],
    "detection": {"sel": {"CommandLine|contains": "lsass.exe"}, "condition": "sel"},
}


def watchfloor(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [WATCHFLOOR, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("investigate")
    logs = folder / "logs"
    logs.mkdir()
    write_attack(logs)
    (folder / "rule.yml").write_text(yaml.safe_dump(RULE))
    (folder / "block.txt").write_text(f"{OUTSIDE}  # a server of theirs\n")
    (folder / "lsass.md").write_text("# LSASS was read\n\nT1003.001: who was logged on?\n")
    sources = [
        {"name": "blocked", "kind": "list", "tenants": ["default"], "paths": ["block.txt"]},
        {"name": "books", "kind": "runbooks", "tenants": ["default"], "paths": ["lsass.md"]},
    ]
    (folder / "context.yaml").write_text(yaml.safe_dump({"sources": sources}))
    arguments = ("--rules", folder / "rule.yml", "--context", folder / "context.yaml")
    done = watchfloor("investigate", logs, *arguments, "--out", folder / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TruePositive" in done.stdout
    return folder / "out"


def test_the_report_tells_what_happened_and_what_to_do(out: Path) -> None:
    [page] = (out / "reports").glob("*.md")
    text = page.read_text()
    assert "Verdict: **TruePositive**" in text
    assert "T1003.001 OS Credential Dumping: LSASS Memory" in text
    assert f"deny ip `{OUTSIDE}`" in text
    assert f"contain file `{DUMP}`" in text


def test_what_the_context_file_names_stands_in_the_report(out: Path) -> None:
    [page] = (out / "reports").glob("*.md")
    text = page.read_text()
    assert f"`blocked` lists the ip `{OUTSIDE}` as `a server of theirs`" in text
    assert "Follow the runbook `LSASS was read`" in text


def test_every_piece_of_evidence_in_the_page_can_be_looked_at(out: Path) -> None:
    [page] = (out / "reports").glob("*.md")
    cited = sorted(set(re.findall(r"evidence `([0-9a-f]{12})`", page.read_text())))
    source = yaml.safe_load((out / "data" / "logs.yaml").read_text())["sources"][0]
    assert cited
    [hint] = re.findall(r"`(watchfloor [^`]* evidence show ID[^`]*)`", page.read_text())
    assert hint.endswith(f" --tenant {source['tenants'][0]}")
    shown = watchfloor(*(cited[0] if word == "ID" else word for word in shlex.split(hint)[1:]), "--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert found["id"].startswith(cited[0])
    assert found["uses"]


def test_the_other_formats_are_of_the_same_report(out: Path) -> None:
    [page] = (out / "reports").glob("*.md")
    report = json.loads(page.with_suffix(".json").read_text())["report"]
    bundle = json.loads((page.parent / f"{page.stem}.stix.json").read_text())
    techniques = {
        one["external_references"][0]["external_id"] for one in bundle["objects"] if one["type"] == "attack-pattern"
    }
    assert report["incident_id"] == page.stem
    assert techniques == {one["technique"] for one in report["techniques"]}


def test_the_same_command_again_finds_all_done(out: Path) -> None:
    folder = out.parent
    again = watchfloor("investigate", folder / "logs", "--rules", folder / "rule.yml", "--out", out)
    assert again.returncode == 0, again.stdout + again.stderr
    assert len(list((out / "reports").glob("*.md"))) == 1
