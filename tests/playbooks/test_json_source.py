"""JSON with lines: what Python's own reader reads is read the same, and what readers disagree on is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.json_source import MAX_DEPTH, read_json

VALUES: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@given(VALUES, st.sampled_from([None, 0, 3]), st.booleans())
def test_it_reads_what_was_written(value: Any, indent: int | None, is_ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=is_ascii)

    assert read_json(text, "x").content == value


def lines_of_problems(text: str) -> list[int | None] | None:
    """None where the text is JSON."""
    try:
        read_json(text, "x")
    except ConfigurationError as error:
        return [one.line for one in error.problems]
    return None


@given(st.text() | VALUES.map(json.dumps).map(lambda text: text[:-1]))
def test_any_text_is_read_or_refused_with_a_line(text: str) -> None:
    lines = lines_of_problems(text)

    if lines is None:
        assert read_json(text, "x").content == json.loads(text)
    else:
        assert all(1 <= (line or 0) <= text.count("\n") + 1 for line in lines)


def test_each_name_and_entry_has_its_line() -> None:
    document = read_json('{\n "a": [\n  1,\n  {"b": 2}\n ],\n\n "c":\n  3\n}', "x")

    assert document.lines == {
        (): 1,
        ("a",): 2,
        ("a", 0): 3,
        ("a", 1): 4,
        ("a", 1, "b"): 4,
        ("c",): 7,
    }


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{\n"a": NaN}', 2, "begins no value"),
        ('{"a": -Infinity}', 1, "begins no value"),
        ('{"a":\n\n9007199254740992}', 3, "beyond 2^53-1"),
        ('{"a": 1' + "0" * 5000 + "}", 1, "beyond 2^53-1"),
        ('{"a": 1e999}', 1, "beyond 2^53-1"),
        ('{"a": "\\ud800"}', 1, "half of a character"),
        ('{"a": "x\ny"}', 1, "does not end in its line"),
        ('{"a": "\\q"}', 1, "an escape that is none"),
        ('{"a": 1,}', 1, "a name in double quotes"),
        ('{"a" 1}', 1, "a colon"),
        ("[1 2]", 1, "a comma or ']'"),
        ("[1", 1, "a comma or ']'"),
        ("[", 1, "ends where a value"),
        ("[1]\n\nx", 3, "after the end"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), 1, f"deeper than {MAX_DEPTH}"),
        ("[01]", 1, "a comma or ']'"),
    ],
)
def test_what_is_no_json_is_refused_at_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_json(text, "x.json")

    [problem] = caught.value.problems
    assert (problem.file, problem.line) == ("x.json", line)
    assert said in problem.message


def test_each_name_that_stands_twice_is_a_problem_with_both_lines() -> None:
    document = read_json('{"a": 1,\n"b": {"c": 1,\n"c": 2},\n"a": 3}', "x")

    assert [(one.line, one.message) for one in document.problems] == [
        (3, '"c" stands twice, first in line 2: which of them counts is ambiguous'),
        (4, '"a" stands twice, first in line 1: which of them counts is ambiguous'),
    ]
    assert document.content == {"a": 1, "b": {"c": 1}}
