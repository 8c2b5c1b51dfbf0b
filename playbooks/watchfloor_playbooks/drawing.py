"""A playbook as a drawing (SVG 1.1), to be looked at in any browser.

It is made of somebody else's texts, so it holds shapes and escaped text and nothing else: no script, style sheet, link,
font or image from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from itertools import pairwise
from typing import Final

from watchfloor_core.untrusted import escape_untrusted
from watchfloor_playbooks.flow import Edge, graph_of
from watchfloor_playbooks.layout import Layout, Slot, lay_out
from watchfloor_playbooks.model import IfStep, Step, SwitchStep, WhileStep
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.variables import LOOP_BOUND

_WIDTH, _HEIGHT, _PASS = 230, 62, 40
_GAP_X, _GAP_Y, _MARGIN = 30, 62, 24
_TITLE: Final = 44
_CHARACTERS: Final = 30
_FONT: Final = 'font-family="system-ui, sans-serif"'
_COLOURS: Final = {
    "start": ("#e3f4e6", "#2d7a3e"),
    "end": ("#eceff2", "#56616c"),
    "action": ("#e6effb", "#2a5ea8"),
    "playbook-action": ("#e6effb", "#2a5ea8"),
    "parallel": ("#f3e9fa", "#7a3fa0"),
}
_DECIDES: Final = ("#fdf3dc", "#96690c")


def draw(playbook: Playbook) -> str:
    """The whole document, without an XML declaration."""
    layout = lay_out(graph_of(playbook.content))
    middles, width, height = _places(layout)
    title = _text(playbook.head.name, 200)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}">',
        f"<title>{title}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="30" {_FONT} font-size="17" font-weight="600" fill="#1d2329">'
        f"{_text(playbook.head.name, max(20, width // 10))}</text>",
    ]
    for edge, way in layout.ways:
        lines += _edge(edge, [middles[slot] for slot in way])
    for name, step in playbook.steps.items():
        lines += _box(name, step, *middles[(name, 0)])
    return "\n".join((*lines, "</svg>", ""))


def _places(layout: Layout) -> tuple[Mapping[Slot, tuple[int, int]], int, int]:
    """The middle of each slot, and the size of the drawing."""
    widths = [sum(_width(slot) + _GAP_X for slot in layer) - _GAP_X for layer in layout.layers]
    width = max((*widths, 320)) + 2 * _MARGIN
    middles: dict[Slot, tuple[int, int]] = {}
    for level, layer in enumerate(layout.layers):
        x = (width - widths[level]) // 2
        for slot in layer:
            middles[slot] = (x + _width(slot) // 2, _TITLE + _MARGIN + level * (_HEIGHT + _GAP_Y) + _HEIGHT // 2)
            x += _width(slot) + _GAP_X
    return middles, width, _TITLE + 2 * _MARGIN + len(layout.layers) * (_HEIGHT + _GAP_Y) - _GAP_Y


def _width(slot: Slot) -> int:
    return _PASS if slot[0].startswith(" ") else _WIDTH


def _box(name: str, step: Step, x: int, y: int) -> Iterator[str]:
    fill, line = _COLOURS.get(step.type, _DECIDES)
    radius = _HEIGHT // 2 if step.type in ("start", "end") else 8
    yield f"<g><title>{_text(_told(name, step), 600)}</title>"
    yield (
        f'<rect x="{x - _WIDTH // 2}" y="{y - _HEIGHT // 2}" width="{_WIDTH}" height="{_HEIGHT}" rx="{radius}" '
        f'fill="{fill}" stroke="{line}" stroke-width="1.5"/>'
    )
    yield f'<text x="{x}" y="{y - 5}" {_FONT} font-size="14" text-anchor="middle" fill="#1d2329">'
    yield f"{_text(step.name or step.type, _CHARACTERS)}</text>"
    yield f'<text x="{x}" y="{y + 16}" {_FONT} font-size="12" text-anchor="middle" fill="{line}">'
    yield f"{_text(_detail(step), 34)}</text></g>"


def _told(name: str, step: Step) -> str:
    return ". ".join(one for one in (name, step.name, step.description) if one)


def _detail(step: Step) -> str:
    match step:
        case WhileStep(condition=condition):
            return f"while {condition}"
        case IfStep(condition=condition):
            return f"if {condition}"
        case SwitchStep(switch=switch):
            return f"switch {switch}"
        case _:
            return step.type


def _edge(edge: Edge, way: list[tuple[int, int]]) -> Iterator[str]:
    """From the lower side of one box to the upper side of the other; branches are dashed."""
    half = _HEIGHT // 2
    points = [(x, y + half if i == 0 else y - half if i == len(way) - 1 else y) for i, (x, y) in enumerate(way)]
    path = f"M{points[0][0]} {points[0][1]}"
    for (x0, y0), (x1, y1) in pairwise(points):
        path += f" C{x0} {(y0 + y1) // 2} {x1} {(y0 + y1) // 2} {x1} {y1}"
    dash = ' stroke-dasharray="5 4"' if edge.is_branch else ""
    yield f'<path d="{path}" fill="none" stroke="#6b7680" stroke-width="1.5"{dash}/>'
    x, y = points[-1]
    yield f'<path d="M{x - 5} {y - 9} L{x} {y} L{x + 5} {y - 9} Z" fill="#6b7680"/>'
    label = edge.label.removeprefix("on_")
    if label:
        if edge.source.startswith("while-condition--") and edge.is_branch:
            label = f"{label}, at most {LOOP_BOUND:,} times"
        (x0, y0), (x1, y1) = points[0], points[1]
        yield f'<text x="{(x0 + x1) // 2}" y="{(y0 + y1) // 2}" {_FONT} font-size="12" text-anchor="middle" '
        yield (
            f'fill="#3b444c" stroke="#ffffff" stroke-width="4" paint-order="stroke">{_text(label, _CHARACTERS)}</text>'
        )


def _text(text: str, most: int) -> str:
    shown = text if len(text) <= most else f"{text[: most - 1]}…"
    return escape(escape_untrusted(shown))
