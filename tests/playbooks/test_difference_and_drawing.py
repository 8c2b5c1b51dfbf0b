"""What a reviewer sees of a playbook: what a change is, and how the steps hang together."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from tests.playbooks.books import ACT, AUTH, DONE, LEFT, book, changed, data_of, step, without
from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.difference import differences
from watchfloor_playbooks.drawing import draw
from watchfloor_playbooks.flow import Edge, graph_of
from watchfloor_playbooks.layout import lay_out
from watchfloor_playbooks.loading import load

SVG = "{http://www.w3.org/2000/svg}"


def said(after: Any) -> list[tuple[str, str, str, str | None, str | None]]:
    return [(one.change.value, one.part, one.path, one.before, one.after) for one in differences(book(), after)]


def test_the_same_in_another_order_and_with_a_signature_is_no_difference() -> None:
    after = dict(reversed(book().items()))
    after["signatures"] = [{"type": "jss"}]

    assert said(after) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (changed("name", to="B"), ("changed", "playbook", "name", '"Every step"', '"B"')),
        (changed("labels", to=["x"]), ("added", "playbook", "labels", None, '["x"]')),
        (without("workflow_exception"), ("removed", "playbook", "workflow_exception", f'"{step("end", 4)}"', None)),
        (without("workflow", DONE), ("removed", f"workflow {DONE}", "", None, None)),
        (
            changed("workflow", DONE, to={"type": "end", "name": "The end"}),
            ("added", f'workflow {DONE} "The end"', "name", None, '"The end"'),
        ),
        (
            changed("workflow", ACT, "timeout", to=5),
            ("added", f"workflow {ACT}", "timeout", None, "5"),
        ),
        (
            changed("authentication_info_definitions", AUTH, "password", to="new"),
            ("changed", f"authentication_info_definitions {AUTH}", "password", "(secret)", "(secret)"),
        ),
    ],
)
def test_a_difference_names_part_property_and_both_values(after: Any, expected: tuple[str, ...]) -> None:
    assert said(after) == [expected]


def test_a_part_with_a_secret_shows_none_of_it_when_it_is_new() -> None:
    after = changed(
        "authentication_info_definitions", step("user-auth", 90), to={"type": "user-auth", "password": "s3"}
    )

    assert "s3" not in str(said(after))


def test_a_secret_in_a_header_of_a_command_is_not_shown() -> None:
    call = {"type": "http-api", "command": "GET /x HTTP/1.1", "headers": {"Authorization": ["Bearer s3"]}}
    one, two = changed("workflow", ACT, "commands", 0, to=call), changed("workflow", ACT, "commands", to=[call, call])

    assert {where for _, _, where, _, _ in said(one)} == {
        "commands[0].type",
        "commands[0].command",
        "commands[0].headers",
    }
    assert "s3" not in str(said(one)) + str(said(two))


def test_text_in_a_difference_cannot_act() -> None:
    assert "\x1b" not in str(said(changed("workflow", ACT, "name", to="\x1b[2J")))


def drawing_of(content: Any) -> ElementTree.Element:
    return ElementTree.fromstring(draw(load(data_of(content), "x.json")))  # noqa: S314  # made by us a line above


def test_a_drawing_has_each_step_and_each_way_and_nothing_that_runs_or_loads() -> None:
    hostile = "</title><script>alert(1)</script>&\"'<a href='javascript:x'>\u202e"
    content = changed("name", to=hostile)
    content["workflow"][ACT]["name"] = content["workflow"][ACT]["description"] = hostile
    root = drawing_of(content)

    ways = sum(len(edges) for edges in graph_of(content).values())
    assert {one.tag.removeprefix(SVG) for one in root.iter()} == {"svg", "title", "rect", "text", "g", "path"}
    assert len(root.findall(f"{SVG}g")) == len(content["workflow"])
    assert len(root.findall(f"{SVG}path")) == 2 * ways
    assert not [name for one in root.iter() for name in one.attrib if name.startswith("on") or "href" in name]


def test_no_two_steps_overlap() -> None:
    boxes = [
        tuple(float(box.attrib[name]) for name in ("x", "y", "width", "height"))
        for box in drawing_of(book()).findall(f"{SVG}g/{SVG}rect")
    ]

    for index, (x, y, width, height) in enumerate(boxes):
        for other_x, other_y, other_width, other_height in boxes[index + 1 :]:
            is_beside = x + width <= other_x or other_x + other_width <= x
            assert is_beside or y + height <= other_y or other_y + other_height <= y


def test_each_step_stands_below_whatever_leads_to_it() -> None:
    layout = lay_out(graph_of(book()))
    level = {slot[0]: number for number, layer in enumerate(layout.layers) for slot in layer}

    assert all(level[edge.source] < level[edge.target] for edge, _ in layout.ways)
    assert all(len(way) == level[edge.target] - level[edge.source] + 1 for edge, way in layout.ways)


def test_what_nobody_could_read_is_not_drawn() -> None:
    names = [step("action", number) for number in range(1, 300)]
    chain = {one: [Edge(one, ("x",), other, False) for other in names[at + 1 :]] for at, one in enumerate(names)}

    with pytest.raises(ConfigurationError, match="nobody can read it"):
        lay_out(chain)


def test_the_same_playbook_is_drawn_the_same() -> None:
    content = changed("workflow", LEFT, "name", to="Ä" * 200)

    assert draw(load(data_of(content), "x")) == draw(load(data_of(content), "x"))
