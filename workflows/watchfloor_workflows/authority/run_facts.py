"""What the run on one incident has touched, kept for the rules about what must not come together."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from sqlalchemy import Connection, bindparam, func, select, text

from watchfloor_core.identity import digest16
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema_authority import run_fact
from watchfloor_guardrails.sequence import Fact

_NOTE: Final = text(
    "INSERT INTO run_fact (tenant, incident_id, fact, reference, at_us) "
    "VALUES (:tenant, :incident_id, :fact, :reference, :now) ON CONFLICT DO NOTHING"
).execution_options(**UNAWAITED)
_LOCK: Final = text("SELECT pg_advisory_xact_lock(:key)").execution_options(**UNAWAITED)
SEPARATOR: Final = ","
"""Between facts; the name of none holds one."""
_NOTED: Final = select(run_fact.c.fact).where(
    run_fact.c.tenant == bindparam("tenant"), run_fact.c.incident_id == bindparam("incident_id")
)
SELECT_NOTED: Final = select(func.aggregate_strings(run_fact.c.fact, SEPARATOR)).where(
    run_fact.c.tenant == bindparam("tenant"), run_fact.c.incident_id == bindparam("incident_id")
)
"""The same as one value, for `facts_named`."""
_FACTS: Final = frozenset(fact.value for fact in Fact)


def note_facts(
    connection: Connection, tenant: str, incident_id: str, facts: Collection[Fact], reference: str, now_us: int
) -> frozenset[Fact]:
    """Keep that the incident's run has touched these, and give all that it has touched.

    In a transaction of `Store.write`. Of two steps at the same time the later one sees the facts of the earlier: decide
    on what this returns, not on what was read before.
    """
    keep_facts(connection, tenant, incident_id, facts, reference, now_us)
    return facts_of(connection, tenant, incident_id)


def keep_facts(
    connection: Connection, tenant: str, incident_id: str, facts: Collection[Fact], reference: str, now_us: int
) -> None:
    """`note_facts` for whoever reads them with other things; to be read after this, and by a statement of its own."""
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


def facts_of(connection: Connection, tenant: str, incident_id: str) -> frozenset[Fact]:
    """What the incident's run has touched so far."""
    return _known(connection.scalars(_NOTED, {"tenant": tenant, "incident_id": incident_id}))


def facts_named(noted: str | None) -> frozenset[Fact]:
    """From what `SELECT_NOTED` gives."""
    return _known((noted or "").split(SEPARATOR))


def _known(names: Iterable[str]) -> frozenset[Fact]:
    # A fact of another version takes part in no rule of this one.
    return frozenset(Fact(name) for name in names if name in _FACTS)
