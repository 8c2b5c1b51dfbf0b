"""A playbook as text: the same again, whatever way it goes."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.playbooks.books import IDENTITY, book, changed, data_of, step
from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.template import new_playbook
from watchfloor_playbooks.writing import to_json, to_yaml

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
VALUES: Any = st.recursive(
    st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(-(2**53) + 1, 2**53 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, TEXT)
def test_what_is_exchanged_is_the_same_the_second_time_and_says_the_same_the_first(value: Any, name: str) -> None:
    content = changed("x_ours", to=value)
    content["name"] = name
    first = to_json(load(data_of(content), "a.json"))

    assert to_json(load(first, "b.json")) == first
    assert json.loads(first) == content


# To write, read and load it twice takes 0.05 s.
@settings(max_examples=50)
@given(VALUES, TEXT)
def test_yaml_says_the_same_or_is_not_written(value: Any, name: str) -> None:
    content = changed("x_ours", to=value)
    content["description"] = name
    try:
        text = to_yaml(content)
    except ConfigurationError:
        return
    assert to_json(load(text.encode(), "a.yaml")) == to_json(load(data_of(content), "a.json"))


def test_yaml_keeps_nulls_times_and_texts_that_look_like_something_else() -> None:
    content = book()
    content["labels"] = [
        "yes",
        "0123",
        "1e3",
        "2026-11-28",
        "null",
        "~",
        "a: b",
        "# x",
        "-",
        "ü\n\nz ",
        "1_000",
        "0x1f",
    ]

    text = to_yaml(content)

    assert to_json(load(text.encode(), "a.yaml")) == to_json(load(data_of(content), "a.json"))


def test_yaml_is_in_the_standards_order() -> None:
    shuffled = json.loads(to_json(load(data_of(book()), "a.json")))

    keys = [line.partition(":")[0] for line in to_yaml(shuffled).splitlines() if line[0] not in " -"]

    assert keys[:6] == ["type", "spec_version", "id", "name", "created_by", "created"]


def test_what_yaml_cannot_hold_is_refused_and_not_bent() -> None:
    deep: Any = 1
    for _ in range(14):
        deep = [deep]

    with pytest.raises(ConfigurationError, match="cannot be written as YAML"):
        to_yaml(changed("x_ours", to=deep))


def test_a_number_that_readers_round_differently_is_refused_in_yaml_as_well() -> None:
    with pytest.raises(ConfigurationError, match=r"beyond 2\^53-1"):
        load(f"{to_yaml(book())}x_ours: 123456789012345678.5\n".encode(), "a.yaml")


def test_a_mistake_in_yaml_has_its_line() -> None:
    lines = to_yaml(book()).splitlines()
    at = next(number for number, line in enumerate(lines, start=1) if line.startswith("modified:"))
    lines[at - 1] = "modified: yesterday"

    with pytest.raises(ConfigurationError) as caught:
        load("\n".join(lines).encode(), "mine.yaml")

    assert [(one.file, one.line) for one in caught.value.problems] == [("mine.yaml", at)]


@given(TEXT)
def test_a_new_playbook_is_right_to_the_letter_whatever_it_is_called(name: str) -> None:
    content = new_playbook(name, IDENTITY, lambda: str(uuid4()), 1_800_000_000_123_456)

    playbook = load(data_of(content), "new.json", is_strict=True)

    assert playbook.head.name == name
    assert playbook.head.created == "2027-01-15T08:00:00.123Z"


def test_each_id_of_a_new_playbook_is_one_of_its_own() -> None:
    made = [str(UUID(int=number, version=4)) for number in range(20)]
    given_out = iter(made)
    content = new_playbook("x", step("identity", 1), lambda: next(given_out), 0)

    text = json.dumps([content["id"], content["workflow"], content["agent_definitions"], content["target_definitions"]])

    assert sum(one in text for one in made) == 7
