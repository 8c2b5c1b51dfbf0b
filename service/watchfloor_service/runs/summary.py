"""What a tenant's records came to, as numbers and as a table for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, Connection, case, func, select

from watchfloor_core.incident import ClosedBy, IncidentStatus
from watchfloor_core.store.deadletters import RETRY_KEY, count_dead_letters
from watchfloor_core.store.schema import batch, incident

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over all that a tenant holds."""

    records: int
    alerts: int
    duplicates: int
    ignored: int
    dead_letters: int
    """Those that are open."""
    incidents: int
    """Without those merged into others."""
    closed_by_agent: int
    closed_by_rule: int
    closed_by_person: int
    waiting: int
    """For a person, escalated ones not counted."""
    escalated: int


def summarise(connection: Connection, tenant: str) -> Summary:
    """Count batches, dead letters and incidents, never alerts: the cost follows incidents."""
    taken = connection.execute(
        select(*(func.coalesce(func.sum(column), 0) for column in _COUNTED)).where(batch.c.tenant == tenant)
    ).one()
    held = connection.execute(
        select(
            func.count(),
            _how_many(incident.c.closed_by == ClosedBy.AGENT),
            _how_many(incident.c.closed_by == ClosedBy.RULE),
            _how_many(incident.c.closed_by == ClosedBy.PERSON),
            _how_many(incident.c.status.in_([IncidentStatus.NEW, IncidentStatus.QUEUED])),
            _how_many(incident.c.status == IncidentStatus.ESCALATED),
        ).where(incident.c.tenant == tenant, incident.c.status != IncidentStatus.MERGED)
    ).one()
    dead_letters = count_dead_letters(connection, tenant)
    return Summary(*(int(count) for count in (*taken, dead_letters, *held)))


def summary_table(summary: Summary, *, title: str, seconds: float, rate: float | None) -> Table:
    """One row a count; ``rate`` in alerts (records that became one) per second, where this run took any in."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_header=False)
    table.add_column("what")
    table.add_column("how many", justify="right")
    rows = {
        "records": summary.records,
        "alerts": summary.alerts,
        "duplicates": summary.duplicates,
        "no alerts (ignored)": summary.ignored,
        "dead letters": summary.dead_letters,
        "incidents": summary.incidents,
        "  closed by the agent": summary.closed_by_agent,
        "  closed by a rule": summary.closed_by_rule,
        "  closed by a person": summary.closed_by_person,
        "  waiting for a person": summary.waiting,
        "  escalated": summary.escalated,
    }
    for name, count in rows.items():
        if count or name not in ("no alerts (ignored)", "  closed by a person"):
            table.add_row(name, f"{count:,}")
    table.add_row("time taken", f"{seconds:.1f} s")
    if rate is not None:
        table.add_row("alerts per second", f"{rate:,.0f}")
    return table


_FIRST_TIME: Final = case((batch.c.key.startswith(RETRY_KEY), 0), else_=batch.c.records)
_COUNTED: Final = (_FIRST_TIME, batch.c.alerts, batch.c.duplicates, batch.c.ignored)


def _how_many(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
