"""Which step leads to which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from watchfloor_guardrails.yaml_source import Path

NEXT: Final = ("on_completion", "on_success", "on_failure")
"""What follows a step, branches and all."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One step naming another."""

    source: str
    path: Path
    """Inside the step: ``("cases", "high")``."""
    target: str
    is_branch: bool
    """The target begins a branch, after whose end the source goes on."""

    @property
    def label(self) -> str:
        """``on_failure``, ``high``, or nothing where the path says nothing more."""
        name = str(self.path[0])
        return str(self.path[1]) if name == "cases" else "" if name in ("on_completion", "next_steps") else name

    @property
    def place(self) -> Path:
        return ("workflow", self.source, *self.path)


def edges_of(name: str, step: Mapping[str, JsonValue]) -> list[Edge]:
    """All edges of a step, of those that could not be typed as well."""
    found = []
    for key in (*NEXT, "on_true", "on_false"):
        target = step.get(key)
        if isinstance(target, str):
            found.append(Edge(name, (key,), target, key not in NEXT))
    following, cases = step.get("next_steps"), step.get("cases")
    if isinstance(following, list):
        found += [Edge(name, ("next_steps", i), one, True) for i, one in enumerate(following) if isinstance(one, str)]
    if isinstance(cases, dict):
        found += [Edge(name, ("cases", key), one, True) for key, one in cases.items() if isinstance(one, str)]
    return found


def graph_of(content: Mapping[str, JsonValue]) -> dict[str, list[Edge]]:
    """The edges of each step of a playbook's content, by the step's id."""
    workflow = content.get("workflow")
    steps = workflow if isinstance(workflow, dict) else {}
    return {name: edges_of(name, step) if isinstance(step, dict) else [] for name, step in steps.items()}


@dataclass(frozen=True, slots=True)
class Flow:
    """The edges of a playbook, and what each step leads to, directly or not: worked out once, by sets of bits."""

    graph: Mapping[str, list[Edge]]
    order: Mapping[str, int]
    """The place of each step in the file."""
    beyond: Mapping[str, int]
    """By step: itself and all steps that it leads to, the bit of each by its place. Empty where there are loops."""

    @classmethod
    def of(cls, content: Mapping[str, JsonValue]) -> Flow:
        graph = graph_of(content)
        order = {name: place for place, name in enumerate(graph)}
        return cls(graph, order, _beyond(graph, order))

    def reached(self, *starts: str) -> int:
        """The steps that these lead to, and they themselves, as bits."""
        bits = 0
        for start in starts:
            bits |= self.beyond.get(start, 0)
        return bits

    def names(self, bits: int) -> list[str]:
        return [name for name, place in self.order.items() if bits >> place & 1]


def _beyond(graph: Mapping[str, list[Edge]], order: Mapping[str, int]) -> dict[str, int]:
    """From the ends back (Kahn's algorithm on the reversed edges); nothing where a loop leaves some step over."""
    before: dict[str, list[str]] = {name: [] for name in graph}
    waits = dict.fromkeys(graph, 0)
    for name, edges in graph.items():
        for edge in edges:
            if edge.target in graph:
                before[edge.target].append(name)
                waits[name] += 1
    found = {name: 1 << place for name, place in order.items()}
    ready = [name for name, count in waits.items() if count == 0]
    settled = 0
    while ready:
        name = ready.pop()
        settled += 1
        for source in before[name]:
            found[source] |= found[name]
            waits[source] -= 1
            if waits[source] == 0:
                ready.append(source)
    return found if settled == len(graph) else {}


def reached_from(starts: Iterable[str], graph: Mapping[str, list[Edge]]) -> set[str]:
    """The steps that are there, the starts among them."""
    seen: set[str] = set()
    waiting = [start for start in starts if start in graph]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [edge.target for edge in graph[name] if edge.target in graph]
    return seen
