"""Writing decisions: one ledger entry and one span each, with one id, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import get_args

from sqlalchemy import Connection

from watchfloor_core.canonical import JsonValue
from watchfloor_core.ledger.entry import Entry, Kind, entry_hash, is_chain, is_id, new_id, trace_id
from watchfloor_core.ledger.heads import Head, lock_heads, write_heads
from watchfloor_core.store.bulk import Row, insert_rows
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.decisions import DecisionSpan, write_decision_spans

_KINDS = frozenset(get_args(Kind))


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, before it has its place in a chain. Raises ValueError for a malformed chain, kind or id."""

    chain: str
    """The incident's id, ``ingest`` or ``control``."""
    kind: Kind
    body: Mapping[str, JsonValue]
    """What an auditor needs: inputs by id or digest, the outcome, the reasons. Numbers beyond 2^53 go as strings."""
    name: str
    """The span's name; one of few, never text from an alert."""
    start_us: int
    end_us: int
    """When it was made; this is the entry's time."""
    parent_id: str | None = None
    """Id of the decision of the same chain that led to this one."""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    """The span's attributes, by the names of `watchfloor_core.telemetry.names`."""
    id: str = field(default_factory=new_id)
    """Drawn at once, so that decisions of one call can name each other as parents."""

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(sorted(_KINDS))}")
        if not is_chain(self.chain):
            raise ValueError(f"chain is {self.chain!r}, expected an incident id, 'ingest' or 'control'")
        for name, id_ in (("id", self.id), ("parent_id", self.parent_id)):
            if id_ is not None and not is_id(id_):
                raise ValueError(f"{name} is {id_!r}, expected 16 hex digits, not all zero")


def record_decisions(connection: Connection, tenant: str, decisions: Sequence[Decision]) -> list[str]:
    """Append the decisions to their chains and write their spans; returns their ids in the order given.

    Decisions of one chain keep their order. All is in the caller's transaction: what it rolls back was never decided.
    One call per transaction: calls that lock chains in different orders can deadlock on PostgreSQL, which then ends
    one of the transactions with an error that `Store.write` gives as `ConflictError`.

    Raises ValueError where a body has no canonical form.
    """
    if not decisions:
        return []
    heads = lock_heads(connection, tenant, {decision.chain for decision in decisions})
    rows: list[Row] = []
    spans: list[DecisionSpan] = []
    for decision in decisions:
        head = heads[decision.chain]
        data = Entry(
            tenant=tenant,
            chain=decision.chain,
            seq=head.seq + 1,
            id=decision.id,
            kind=decision.kind,
            at=decision.end_us,
            prev=head.hash,
            parent=decision.parent_id,
            body=decision.body,
        ).canonical()
        head = heads[decision.chain] = Head(head.seq + 1, entry_hash(data))
        # In the order of the table's columns.
        rows.append((decision.chain, head.seq, decision.id, decision.kind, decision.end_us, data.decode(), head.hash))
        spans.append(_span_of(tenant, decision, head))
    insert_rows(connection, ledger_entry, tenant, rows)
    write_heads(connection, tenant, heads)
    write_decision_spans(connection, tenant, spans)
    return [decision.id for decision in decisions]


def _span_of(tenant: str, decision: Decision, head: Head) -> DecisionSpan:
    return DecisionSpan(
        tenant=tenant,
        trace_id=trace_id(tenant, decision.chain),
        span_id=decision.id,
        parent_id=decision.parent_id,
        name=decision.name,
        chain=decision.chain,
        kind=decision.kind,
        seq=head.seq,
        start_us=decision.start_us,
        end_us=decision.end_us,
        attributes=decision.attributes,
    )
