"""The decisions of one incident as a tree: what led to what, when, and why."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson
from sqlalchemy import Connection, and_, select

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import to_iso
from watchfloor_core.ledger.entry import trace_id
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema import span as span_table
from watchfloor_core.telemetry.content import safe_text
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted

MAX_REASONS: Final = 8
"""Reasons shown of one decision; they come strongest first, the rest is counted."""
MAX_REASON: Final = 400
"""Characters of a reason's text."""
MAX_DETECTOR: Final = 60
"""Characters of a detector's title."""
MAX_INDENT: Final = 16
"""Levels that are drawn one inside the other; deeper ones stand at the last."""
MIN_WIDTH: Final = 60
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.:/@+-]{1,80}")
_REASONS: Final = ("reasons", "hits", "because", "joins")
"""Where bodies say why: of verdicts, of rulings, of what follows from them, of correlation."""
_NAMESPACE: Final = "watchfloor."
_SAID_ELSEWHERE: Final = frozenset({SpanAttribute.TENANT, SpanAttribute.INCIDENT_ID, SpanAttribute.REASON_CODES})


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One decision and those that it led to."""

    id: str
    """The ledger entry's and the span's."""
    parent_id: str | None
    seq: int
    kind: str
    name: str
    """The span's; the kind where retention has taken the span away."""
    at_us: int
    duration_us: int
    attributes: Mapping[str, JsonValue]
    body: Mapping[str, JsonValue]
    """The ledger entry's."""
    children: tuple[TreeNode, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, as the body has it, one line each: ``+1.23 novel_detector_on_asset: …``."""
        given = (self.body.get(name) for name in _REASONS)
        return tuple(_reason(item) for items in given if isinstance(items, list) for item in items)


def decision_tree(connection: Connection, tenant: str, incident_id: str) -> list[TreeNode]:
    """The incident's decisions: roots in time order, each with the decisions that name it as parent.

    A parent that is not an earlier entry of the same chain is not believed, so that the result is always a tree.
    """
    rows = connection.execute(
        select(
            ledger_entry.c.id,
            ledger_entry.c.seq,
            ledger_entry.c.kind,
            ledger_entry.c.at_us,
            ledger_entry.c.body,
            span_table.c.name,
            span_table.c.start_us,
            span_table.c.attributes,
        )
        .join(
            span_table,
            and_(span_table.c.trace_id == trace_id(tenant, incident_id), span_table.c.span_id == ledger_entry.c.id),
            isouter=True,
        )
        .where(ledger_entry.c.tenant == tenant, ledger_entry.c.chain == incident_id)
        .order_by(ledger_entry.c.seq)
    ).all()
    known = {row.id: row.seq for row in rows}
    children: dict[str | None, list[TreeNode]] = {}
    # From the last entry to the first: a decision is made when all that it led to are.
    for row in reversed(rows):
        entry = orjson.loads(row.body)
        parent_id = entry["parent"]
        node = TreeNode(
            id=row.id,
            parent_id=parent_id,
            seq=row.seq,
            kind=row.kind,
            name=row.name or row.kind,
            at_us=row.at_us,
            duration_us=0 if row.start_us is None else row.at_us - row.start_us,
            attributes=row.attributes or {},
            body=entry["body"],
            children=_in_time(children.pop(row.id, [])),
        )
        is_child = parent_id in known and known[parent_id] < row.seq
        children.setdefault(parent_id if is_child else None, []).append(node)
    return list(_in_time(children.get(None, [])))


def _in_time(nodes: Sequence[TreeNode]) -> tuple[TreeNode, ...]:
    return tuple(sorted(nodes, key=lambda node: (node.at_us, node.seq)))


def render_tree(nodes: Sequence[TreeNode], width: int = 120) -> str:
    """The tree as plain text, at most ``width`` columns (not less than `MIN_WIDTH`), without a line feed at its end.

    Text from alerts is quoted, and nothing invisible is printed as such; print the result with markup switched off.
    """
    width = max(width, MIN_WIDTH)
    lines: list[str] = []
    # (node, prefix of its first line, prefix of what stands below it), the next to draw last.
    pending = [(node, "", "") for node in reversed(nodes)]
    while pending:
        node, first, below = pending.pop()
        rail = below + ("│  " if node.children else "   ")
        lines += _wrapped(_headline(node), first, rail, width)
        for detail in _details(node):
            lines += _wrapped(detail, rail, rail + "  ", width)
        inside = below if len(below) < 3 * MAX_INDENT else below[:-3]
        for is_last, child in zip([True] + [False] * len(node.children), reversed(node.children), strict=False):
            pending.append((child, inside + ("└─ " if is_last else "├─ "), inside + ("   " if is_last else "│  ")))
    return "\n".join(lines)


def _wrapped(text: str, first: str, rest: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, drop_whitespace=True, break_on_hyphens=False
    )


def _headline(node: TreeNode) -> str:
    name = node.name.removeprefix(_NAMESPACE)
    title = node.kind if name == node.kind else f"{node.kind} ({escape_untrusted(name)})"
    took = f" {node.duration_us / 1000:.1f} ms" if node.duration_us > 0 else ""
    return f"{to_iso(node.at_us)} {title}{took} [{node.seq} {node.id}]"


def _details(node: TreeNode) -> Iterator[str]:
    shown = [
        f"{escape_untrusted(name.removeprefix(_NAMESPACE))}={_shown(value)}"
        for name, value in node.attributes.items()
        if name not in _SAID_ELSEWHERE
    ]
    if shown:
        yield " ".join(shown)
    reasons = node.reasons
    yield from reasons[:MAX_REASONS]
    if len(reasons) > MAX_REASONS:
        yield f"… and {len(reasons) - MAX_REASONS} more reasons"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ",".join(_shown(item) for item in value)
    text = str(value)
    return text if _PLAIN.fullmatch(text) else quote_untrusted(text)


def _reason(item: object) -> str:
    """A reason of a verdict, a join, a rule that spoke, or plain text; foreign text in it was quoted by its author."""
    match item:
        case {"code": str(code), "text": str(text), "log_odds": float() | int() as log_odds}:
            return f"{log_odds:+.2f} {safe_text(code)}: {safe_text(text, MAX_REASON)}"
        case {"detector": str(detector), "alerts": int(alerts), "rule": str(rule), "text": str(text)}:
            shown = quote_untrusted(detector, MAX_DETECTOR)
            return f"{alerts} of {shown} by {safe_text(rule)}: {safe_text(text, MAX_REASON)}"
        case {"rule": str(rule), "outcome": str(outcome), "text": str(text)}:
            return f"{safe_text(outcome)} by {safe_text(rule)}: {safe_text(text, MAX_REASON)}"
        case {"code": str(name), "text": str(text)} | {"rule": str(name), "text": str(text)}:
            return f"{safe_text(name)}: {safe_text(text, MAX_REASON)}"
        case str():
            return safe_text(item, MAX_REASON)
        case _:
            return quote_untrusted(orjson.dumps(item).decode(), MAX_REASON)
