"""``watchfloor playbook test``: what passes, what differs, and what is wrong with a file of tests."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from watchfloor_service.cli import app

HOW_TO = (Path(__file__).parents[2] / "docs" / "how-to" / "write-a-playbook.md").read_text("utf-8")
BLOCKS = re.findall(r"(?ms)^```yaml\n(.*?)^```", HOW_TO)


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """The playbook of the how-to, and beside it its tests."""
    [playbook] = [text for text in BLOCKS if text.startswith("type: playbook")]
    [text] = [text for text in BLOCKS if text.startswith("playbook: look.yaml")]
    (tmp_path / "look.yaml").write_text(playbook)
    path = tmp_path / "look.tests.yaml"
    path.write_text(text)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["playbook", "test", *map(str, arguments)])


def test_the_tests_of_the_how_to_pass(tests: Path) -> None:
    result = run(tests)

    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "3 passed, 0 failed."


def test_a_test_that_fails_shows_both_sides_and_exits_with_one(tests: Path) -> None:
    tests.write_text(tests.read_text().replace("__attempts__: 60", "__attempts__: 6", 1))
    result = run(tests)

    assert result.exit_code == 1
    assert f"FAILED  {tests}:3" in result.output
    assert "tasks: expected 2, got 1:" in result.output
    assert "2 passed, 1 failed." in result.output


def test_results_are_given_as_json(tests: Path) -> None:
    tests.write_text(tests.read_text().replace("__attempts__: 60", "__attempts__: 6", 1))
    result = run(tests, "--json")

    found = json.loads(result.output)
    assert result.exit_code == 1
    assert [one["ok"] for one in found] == [False, True, True]
    assert found[0]["differences"][0] == "tasks: expected 2, got 1:"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("Count the attempts:", "Count them:", "tests.yaml:6: no step is called 'Count them'"),
        ("look.yaml", "gone.yaml", "gone.yaml' cannot be read"),
        ("tests:", "tests: }", "tests.yaml:2: "),
    ],
)
def test_a_file_that_is_wrong_is_told_with_file_and_line_and_exits_with_two(
    tests: Path, before: str, after: str, message: str
) -> None:
    tests.write_text(tests.read_text().replace(before, after, 1))
    result = run(tests)

    assert result.exit_code == 2
    assert message in result.output


def test_text_of_a_run_does_nothing_to_the_terminal(tests: Path) -> None:
    tests.write_text(tests.read_text().replace("written_by: external", 'endorsed_by: "\\e[2J"', 1))
    sick = tests.read_text().replace("name: ", 'name: "\\e[31m"  # ', 1)
    tests.write_text(sick)

    assert "\x1b" not in run(tests).output
