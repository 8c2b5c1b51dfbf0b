"""What the documentation shows as an autonomy file is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from watchfloor_core.incident import AutonomyLevel, Function
from watchfloor_guardrails.autonomy import DEFAULT_MATRIX_FILE, Limits, load_matrix
from watchfloor_guardrails.matrix import envelope_at

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "set-autonomy.md").read_text("utf-8")
REFERENCE = (DOCS / "reference" / "autonomy.md").read_text("utf-8")
FILES = re.findall(r"```yaml\n(# autonomy\.yaml\n.*?)```", HOW_TO, re.DOTALL)


@pytest.mark.parametrize("text", FILES, ids=range(len(FILES)))
def test_a_file_in_the_how_to_loads(text: str) -> None:
    assert load_matrix(text, "set-autonomy.md").rows


def test_the_how_to_shows_every_step() -> None:
    assert len(FILES) == 4


def test_the_rule_in_the_shipped_files_comment_loads() -> None:
    shipped = DEFAULT_MATRIX_FILE.read_text("utf-8")
    example = shipped.partition("this is what one looks like:\n")[2].partition("rules: []")[0].replace("\n#", "\n")
    text = shipped.replace("rules: []", "rules:\n" + example.removeprefix("#"))
    assert [rule.id for rule in load_matrix(text, "default").rules] == ["nightly-vulnerability-scan"]


def test_the_reference_names_every_function_and_the_standard_limits() -> None:
    assert all(f"`{function}`" in REFERENCE for function in Function)
    l3, l4 = (envelope_at(level, Limits()) for level in (AutonomyLevel.L3, AutonomyLevel.L4))
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\| ([^|]*\| [^|]*) \|$", REFERENCE, re.MULTILINE))
    assert rows["close_below"] == f"{l3.close_below} | {l4.close_below}"
    assert rows["min_certainty"] == f"{l3.min_certainty} | {l4.min_certainty:g}"
    assert rows["max_alerts"] == f"{l3.max_alerts} | no limit"
    assert rows["sample_review"] == f"1, always | {l4.sample_review}"
