"""The second layer: steps that lead somewhere, are reached, and come to an end (sections 4.3 to 4.10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import JsonValue

from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.yaml_source import Path
from watchfloor_playbooks.findings import Findings
from watchfloor_playbooks.flow import NEXT, Edge, Flow, reached_from
from watchfloor_playbooks.shape import Parts
from watchfloor_playbooks.vocabulary import STEP_TYPES, prefix_of

_BRANCHING: Final = frozenset({"parallel", "if-condition", "while-condition", "switch-condition"})


def check_graph(parts: Parts, flow: Flow, findings: Findings) -> None:
    """Mistakes in how the steps hang together go to ``findings``."""
    graph = flow.graph
    if not graph:
        if isinstance(parts.content.get("workflow"), dict):
            findings.error(("workflow",), "the workflow has no steps; it needs a start, an action and an end")
        return
    types = {name: _type_of(parts.content, name) for name in graph}
    _check_entrances(parts, graph, types, findings)
    for name, edges in graph.items():
        for edge in edges:
            if edge.target not in graph:
                findings.error(
                    edge.place, f"{edge.path[0]!r} names step {quote_untrusted(edge.target)}, which is not there"
                )
        _check_ways_on(name, types[name], {str(edge.path[0]) for edge in edges}, findings)
    _check_kinds(types, findings)
    _check_loops(graph, findings)
    _check_branches(flow, types, findings)


def _type_of(content: Mapping[str, JsonValue], name: str) -> str:
    match content:
        case {"workflow": dict(steps)}:
            step = steps[name]
            kind = step.get("type") if isinstance(step, dict) else None
            return kind if isinstance(kind, str) else ""
        case _:
            return ""


def _check_entrances(
    parts: Parts, graph: Mapping[str, list[Edge]], types: Mapping[str, str], findings: Findings
) -> None:
    start, exception = parts.content.get("workflow_start"), parts.content.get("workflow_exception")
    starts = [one for one in (start, exception) if isinstance(one, str)]
    if isinstance(start, str) and start not in graph:
        findings.error(("workflow_start",), f"'workflow_start' names step {quote_untrusted(start)}, which is not there")
    elif isinstance(start, str) and types[start] != "start":
        findings.warn(
            ("workflow_start",), f"the workflow starts at a step of type {types[start]!r}, not at one of type 'start'"
        )
    if isinstance(exception, str) and exception not in graph:
        message = f"'workflow_exception' names step {quote_untrusted(exception)}, which is not there"
        if prefix_of(exception) == "end":
            # Nothing would have run but an end, so nothing is lost: an exception ends the playbook as failed.
            findings.warn(("workflow_exception",), f"{message}; as it would be an end, an exception ends the playbook")
        else:
            findings.error(("workflow_exception",), message)
    reached = reached_from(starts, graph)
    for name in graph:
        if name not in reached and isinstance(start, str) and start in graph:
            findings.error(("workflow", name), "no step leads here, so it would never run")


def _check_ways_on(name: str, kind: str, ways: set[str], findings: Findings) -> None:
    path: Path = ("workflow", name)
    onward = ways & set(NEXT)
    if kind == "end":
        for way in sorted(onward):
            findings.error((*path, way), f"an end step has no {way!r}")
        return
    if kind == "start":
        for way in sorted(onward - {"on_completion"}):
            findings.error((*path, way), f"a start step has no {way!r}; 'on_completion' leads on")
    elif "on_completion" in ways:
        for way in sorted(onward - {"on_completion"}):
            findings.error((*path, way), f"{way!r} beside 'on_completion': which of them holds is ambiguous")
    if not onward & {"on_completion", "on_success"}:
        if kind in _BRANCHING:
            findings.warn(path, "nothing follows when its branches are done ('on_completion'); the playbook ends there")
        elif kind in STEP_TYPES:
            findings.error(path, "nothing follows it; give 'on_completion' or 'on_success', which may name an end step")


def _check_kinds(types: Mapping[str, str], findings: Findings) -> None:
    there = set(types.values())
    if "end" not in there:
        findings.error(("workflow",), "the workflow has no end step")
    if not there & {"action", "playbook-action"}:
        findings.error(
            ("workflow",), "the workflow has no action: it needs a step of type 'action' or 'playbook-action'"
        )


def _check_loops(graph: Mapping[str, list[Edge]], findings: Findings) -> None:
    """Each edge that closes a circle. A loop of the standard has none: a branch ends, and its step begins it again."""
    done: set[str] = set()
    for root in graph:
        if root in done:
            continue
        way = [root]
        on_way = {root}
        rest = [iter(graph[root])]
        while rest:
            edge = next(rest[-1], None)
            if edge is None:
                rest.pop()
                left = way.pop()
                on_way.discard(left)
                done.add(left)
            elif edge.target in on_way:
                circle = [*way[way.index(edge.target) :], edge.target]
                said = " → ".join(quote_untrusted(one, 60) for one in circle[:6]) + (" → …" if len(circle) > 6 else "")
                findings.error(
                    edge.place, f"an endless loop: {said}; only the branch of a while-condition step is repeated"
                )
            elif edge.target in graph and edge.target not in done:
                way.append(edge.target)
                on_way.add(edge.target)
                rest.append(iter(graph[edge.target]))


def _check_branches(flow: Flow, types: Mapping[str, str], findings: Findings) -> None:
    """Branches of one step keep apart, and from what follows it: each has an end of its own.

    In a workflow with loops nothing is said of branches: everything in a loop leads to everything else in it.
    """
    ends = sum(1 << flow.order[name] for name, kind in types.items() if kind == "end")
    for edges in flow.graph.values():
        taken = flow.reached(*(edge.target for edge in edges if not edge.is_branch))
        followed, earlier = taken, list[tuple[int, int]]()
        for number, edge in enumerate((edge for edge in edges if edge.is_branch), start=1):
            region = flow.reached(edge.target)
            shared = region & taken
            if shared:
                one = flow.names(shared & ~ends or shared)[0]
                bit = 1 << flow.order[one]
                first = next((first for first, bits in earlier if bits & bit), 0)
                owner = "what follows the step" if followed & bit else f"branch {first} of the step"
                _report_shared(edge, one, owner, types, findings)
            taken |= region
            earlier.append((number, region))


def _report_shared(edge: Edge, step: str, owner: str, types: Mapping[str, str], findings: Findings) -> None:
    if types[step] == "end":
        message = f"this branch ends at {quote_untrusted(step)}, as does {owner}; each has one of its own"
        findings.warn(edge.place, message)
        return
    message = (
        f"this branch leads into {quote_untrusted(step)}, which belongs to {owner}; "
        "a branch ends at an end step of its own, and 'on_completion' leads on from there"
    )
    # Of an if or a switch one branch runs, so that both may go on in one place without running it twice.
    is_one_of = types[edge.source] in ("if-condition", "switch-condition")
    (findings.warn if is_one_of else findings.error)(edge.place, message)
