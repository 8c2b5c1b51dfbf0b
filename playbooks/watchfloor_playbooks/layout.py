"""Where the steps of a playbook stand in a drawing: layer by layer, each below whatever leads to it.

The method is Sugiyama's in its simplest form: layers by the longest way from the start, a place in each layer for
every edge that only passes through, and the order in a layer by the mean place of the neighbours, a few times to and
fro. The same playbook always gives the same drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeAlias

from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.flow import Edge

MOST_SLOTS: Final = 20_000
"""Steps, and places in layers that edges pass through."""
_SWEEPS: Final = 6

Slot: TypeAlias = tuple[str, int]
"""A step and 0, or the name of an edge that passes through and the layer in which it does."""


@dataclass(frozen=True, slots=True)
class Layout:
    layers: Sequence[Sequence[Slot]]
    ways: Sequence[tuple[Edge, tuple[Slot, ...]]]
    """Each edge with the slots that it goes through, its ends among them."""


def lay_out(graph: Mapping[str, list[Edge]]) -> Layout:
    """Of a playbook without loops in its graph, which `graph.check_graph` has seen to.

    Raises `ConfigurationError` where the drawing would be larger than `MOST_SLOTS`.
    """
    depth = _depths(graph)
    slots = len(graph) + sum(depth[edge.target] - depth[edge.source] - 1 for edges in graph.values() for edge in edges)
    if slots > MOST_SLOTS:
        raise ConfigurationError(
            f"the drawing would have {slots:,} places, more than {MOST_SLOTS:,}: nobody can read it"
        )
    layers: list[list[Slot]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name in graph:
        layers[depth[name]].append((name, 0))
    ways: list[tuple[Edge, tuple[Slot, ...]]] = []
    for number, edge in enumerate(edge for edges in graph.values() for edge in edges):
        between = [(f" {number}", level) for level in range(depth[edge.source] + 1, depth[edge.target])]
        for slot in between:
            layers[slot[1]].append(slot)
        ways.append((edge, ((edge.source, 0), *between, (edge.target, 0))))
    _untangle(layers, [way for _, way in ways])
    return Layout(layers, ways)


def _depths(graph: Mapping[str, list[Edge]]) -> dict[str, int]:
    """The longest way from a step to which nothing leads, by Kahn's algorithm."""
    missing = dict.fromkeys(graph, 0)
    for edges in graph.values():
        for edge in edges:
            missing[edge.target] += 1
    depth = dict.fromkeys(graph, 0)
    ready = [name for name, count in missing.items() if count == 0]
    while ready:
        name = ready.pop()
        for edge in graph[name]:
            depth[edge.target] = max(depth[edge.target], depth[name] + 1)
            missing[edge.target] -= 1
            if missing[edge.target] == 0:
                ready.append(edge.target)
    return depth


def _untangle(layers: list[list[Slot]], ways: Iterable[tuple[Slot, ...]]) -> None:
    above: dict[Slot, list[Slot]] = {}
    below: dict[Slot, list[Slot]] = {}
    for way in ways:
        for upper, lower in pairwise(way):
            above.setdefault(lower, []).append(upper)
            below.setdefault(upper, []).append(lower)
    for sweep in range(_SWEEPS):
        is_down = sweep % 2 == 0
        neighbours = above if is_down else below
        order = range(1, len(layers)) if is_down else range(len(layers) - 2, -1, -1)
        for level in order:
            fixed = {slot: place for place, slot in enumerate(layers[level - 1 if is_down else level + 1])}
            own = {slot: place for place, slot in enumerate(layers[level])}
            means = {slot: _mean([fixed[one] for one in neighbours.get(slot, ())], own[slot]) for slot in own}
            layers[level].sort(key=means.__getitem__)


def _mean(places: Sequence[int], own: int) -> float:
    return sum(places) / len(places) if places else float(own)
