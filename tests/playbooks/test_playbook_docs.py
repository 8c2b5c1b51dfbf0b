"""What the pages on playbooks show is so."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from watchfloor_playbooks import condition_parser, findings, json_source, loading, part, variables
from watchfloor_playbooks.condition import Operator
from watchfloor_playbooks.condition_parser import parse_condition
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.running.lowering import unsupported
from watchfloor_playbooks.signature import ALGORITHMS, MIN_RSA_BITS

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to" / "write-a-playbook.md").read_text("utf-8")
REFERENCE = (DOCS / "reference" / "playbooks.md").read_text("utf-8")


def test_the_playbook_of_the_how_to_is_right_to_the_letter() -> None:
    [text] = [text for text in re.findall(r"(?ms)^```yaml\n(.*?)^```", HOW_TO) if text.startswith("type: playbook")]

    assert len(load(text.encode(), "how-to.yaml", is_strict=True).steps) == 7


def test_the_steps_by_tools_fit_into_the_playbook_of_the_how_to() -> None:
    [whole, part] = [
        yaml.safe_load(text) for text in re.findall(r"(?ms)^```yaml\n(.*?)^```", HOW_TO) if "workflow:" in text
    ]
    merged = {name: {**whole[name], **part[name]} if name in part else whole[name] for name in whole}

    playbook = load(yaml.safe_dump(merged).encode(), "how-to.yaml")

    assert len(playbook.steps) == 9
    assert list(unsupported(playbook)) == []


def test_the_condition_of_the_reference_is_one() -> None:
    [text] = re.findall(r"(?ms)^```text\n(.*?)^```", REFERENCE)

    assert parse_condition(text)


def test_the_reference_names_each_operator_and_algorithm() -> None:
    operators = re.findall(r"(?m)^\| (.*?) \| .*\|$", REFERENCE.partition("## Conditions")[2])
    verified = re.findall(r"`(\w+)`", REFERENCE.partition("- Verified: ")[2].partition("; RSA")[0])

    assert all(any(f"`{one.value}" in row or f"`{one.value}`" in row for row in operators) for one in Operator)
    assert sorted(verified) == sorted(ALGORITHMS)


def test_the_limits_of_the_pages_are_those_of_the_code() -> None:
    assert (loading.MAX_BYTES, json_source.MAX_DEPTH) == (1024 * 1024, 32)
    assert (part.MOST_ENTRIES, findings.MOST_SHOWN) == (1_000, 100)
    assert (condition_parser.MAX_LENGTH, condition_parser.MAX_DEPTH, condition_parser.MAX_SET) == (4_096, 16, 500)
    assert f"{variables.LOOP_BOUND:,} times" in HOW_TO
    assert f"RSA keys from {MIN_RSA_BITS:,} bits" in REFERENCE
