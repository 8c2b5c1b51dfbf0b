"""``watchfloor playbook list`` and ``copy``: what comes with Watchfloor, and one of them to be changed."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from watchfloor_core.settings import Settings
from watchfloor_core.store.migrate import migrate
from watchfloor_playbooks.library import library
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.signature import digest_of
from watchfloor_service.cli import app
from watchfloor_service.testing_playbooks import ASKING_ID, asking, keep
from watchfloor_workflows.playbooks.shelf import FOLDER


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["playbook", *map(str, arguments)])


def listed(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--data-dir", str(folder), "playbook", "list", *arguments])


def test_the_list_has_each_with_its_techniques_and_digest(tmp_path: Path) -> None:
    result = listed(tmp_path)

    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.output.splitlines()[1:] if line and not line.startswith(" ")}
    assert rows.keys() == {one.name for one in library()}
    assert all(one.digest[:16] in rows[one.name] and one.ours.attack[0] in rows[one.name] for one in library())


def test_the_list_as_json_has_whole_digests(tmp_path: Path) -> None:
    found = json.loads(listed(tmp_path, "--json").output)

    assert {one["id"]: one["digest"] for one in found} == {one.playbook.id: one.digest for one in library()}


def test_the_list_has_the_operator_s_own_and_says_why_one_cannot_be_run(settings: Settings) -> None:
    migrate(settings.store_url)
    keep(settings, asking())
    (settings.data_dir / FOLDER / "broken.yaml").write_text("type: playbook\n")

    told = listed(settings.data_dir)
    found = json.loads(listed(settings.data_dir, "--json").stdout)

    assert told.exit_code == 0
    assert len(found) == len(library()) + 2
    mine = next(one for one in found if one.get("id") == ASKING_ID)
    assert (mine["title"], mine["problem"]) == ("Ask somebody", None)
    assert mine["name"] in told.stdout
    assert "broken.yaml cannot be run: broken.yaml:" in told.output


def test_a_copy_is_the_same_playbook_as_yaml(tmp_path: Path) -> None:
    for one in library():
        out = tmp_path / f"{one.name}.yaml"
        assert run("copy", one.name, "--out", out).exit_code == 0
        assert digest_of(load(out.read_bytes(), "copy.yaml", is_strict=True).content) == one.digest
    assert run("copy", library()[0].playbook.id).output.startswith("type: playbook")


def test_a_copy_replaces_no_file_and_is_of_one_that_is_there(tmp_path: Path) -> None:
    out = tmp_path / "x.yaml"
    out.write_text("mine")

    assert run("copy", "phishing", "--out", out).exit_code == 2
    assert out.read_text() == "mine"
    missing = run("copy", "fishing")
    assert missing.exit_code == 3
    assert "there are brute-force, credential-dumping" in missing.output


def test_a_copy_with_its_tests_passes_them_under_whatever_name(tmp_path: Path) -> None:
    out = tmp_path / "our: phishing.yaml"
    assert run("copy", "phishing", "--out", out, "--with-tests").exit_code == 0
    tests = tmp_path / "our: phishing.tests.yaml"

    result = run("test", tests)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].endswith("passed, 0 failed.")
    assert run("copy", "phishing", "--out", tmp_path / "our: phishing.json", "--with-tests").exit_code == 2
    assert not (tmp_path / "our: phishing.json").exists()
    assert run("copy", "phishing", "--with-tests").exit_code == 2
