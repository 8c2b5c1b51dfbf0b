"""What the run on one incident has touched, kept for the rules about what must not come together."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, bindparam, select, text

from watchfloor_core.identity import digest16
from watchfloor_core.store.schema_authority import run_fact
from watchfloor_guardrails.sequence import Fact

_NOTE: Final = text(
    "INSERT INTO run_fact (tenant, incident_id, fact, reference, at_us) "
    "VALUES (:tenant, :incident_id, :fact, :reference, :now) ON CONFLICT DO NOTHING"
)
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:key)")
_NOTED: Final = select(run_fact.c.fact).where(
    run_fact.c.tenant == bindparam("tenant"), run_fact.c.incident_id == bindparam("incident_id")
)
_FACTS: Final = frozenset(fact.value for fact in Fact)


def note_facts(
    connection: Connection, tenant: str, incident_id: str, facts: Collection[Fact], reference: str, now_us: int
) -> frozenset[Fact]:
    """Keep that the incident's run has touched these, and give all that it has touched.

    In a transaction of `Store.write`. Of two steps at the same time the later one sees the facts of the earlier: decide
    on what this returns, not on what was read before.
    """
    if connection.dialect.name == "postgresql":
        key = int.from_bytes(digest16("run facts", tenant, incident_id)[:8], "big", signed=True)
        connection.execute(_LOCK, {"key": key})
    # One order, for the same reason as everywhere: concurrent inserts of the same keys must not cross.
    rows = [
        {"tenant": tenant, "incident_id": incident_id, "fact": fact.value, "reference": reference, "now": now_us}
        for fact in sorted(facts)
    ]
    if rows:
        connection.execute(_NOTE, rows)
    return facts_of(connection, tenant, incident_id)


def facts_of(connection: Connection, tenant: str, incident_id: str) -> frozenset[Fact]:
    """What the incident's run has touched so far."""
    noted = connection.scalars(_NOTED, {"tenant": tenant, "incident_id": incident_id})
    # A fact of another version takes part in no rule of this one.
    return frozenset(Fact(name) for name in noted if name in _FACTS)
