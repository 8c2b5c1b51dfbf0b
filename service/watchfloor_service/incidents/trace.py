"""The decisions on an incident as the API gives them: the ledger's tree, flat and in the order in which it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from watchfloor_core.clock import to_iso
from watchfloor_core.ledger import JsonValue
from watchfloor_core.telemetry.tree import TreeNode, decision_tree

MAX_DECISIONS: Final = 1_000


@dataclass(frozen=True, slots=True)
class DecisionView:
    """One decision: ledger entry and span of the same id."""

    id: str
    parent_id: str | None
    depth: int
    seq: int
    """Its place in the incident's chain of the ledger."""
    kind: str
    at: str
    duration_ms: float
    attributes: Mapping[str, JsonValue]
    body: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Trace:
    incident_id: str
    decisions: list[DecisionView]
    """Each after the one that led to it."""
    total: int


def load_trace(connection: Connection, tenant: str, incident_id: str, *, limit: int = MAX_DECISIONS) -> Trace:
    """The first ``limit`` decisions on an incident."""
    decisions = _flat(decision_tree(connection, tenant, incident_id))
    return Trace(incident_id, decisions[:limit], len(decisions))


def _flat(roots: Sequence[TreeNode]) -> list[DecisionView]:
    decisions = []
    waiting = [(0, node) for node in reversed(roots)]
    while waiting:
        depth, node = waiting.pop()
        decisions.append(
            DecisionView(
                id=node.id,
                parent_id=node.parent_id,
                depth=depth,
                seq=node.seq,
                kind=node.kind,
                at=to_iso(node.at_us),
                duration_ms=node.duration_us / 1000,
                attributes=node.attributes,
                body=node.body,
            )
        )
        waiting.extend((depth + 1, child) for child in reversed(node.children))
    return decisions
