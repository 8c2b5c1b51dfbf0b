"""Where records come from: a file, an HTTP principal, a webhook, a watched folder."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Case, ColumnElement, Connection, case, select, text, update

from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError
from watchfloor_core.store.schema import source
from watchfloor_core.store.storable import storable


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One source of a tenant."""

    source_id: str
    name: str
    is_bounded: bool
    """A file: it has an end."""
    created_us: int
    closed_us: int | None
    """When a bounded source was read to its end."""
    max_event_us: int | None
    """The latest event time that it has given."""
    last_received_us: int | None
    """Wall clock of its last batch."""


_REGISTER = text(
    "INSERT INTO source (tenant, id, name, created_us, is_bounded)"
    " VALUES (:tenant, :id, :name, :created_us, :is_bounded) ON CONFLICT DO NOTHING"
)


def register_source(connection: Connection, tenant: str, source_id: str, name: str, *, is_bounded: bool) -> None:
    """Make a source known; one that is known stays as it is."""
    connection.execute(
        _REGISTER,
        {
            "tenant": tenant,
            "id": source_id,
            "name": storable(name),  # file names may be no Unicode
            "created_us": now_us(),
            "is_bounded": is_bounded,
        },
    )


def close_source(connection: Connection, tenant: str, source_id: str) -> None:
    """A source was read to its end and holds event time back no more. Closing it again changes nothing."""
    changed = connection.execute(
        update(source)
        .where(source.c.tenant == tenant, source.c.id == source_id)
        .values(closed_us=case((source.c.closed_us.is_(None), now_us()), else_=source.c.closed_us))
    )
    if changed.rowcount == 0:
        raise unknown_source(source_id)


def list_sources(connection: Connection, tenant: str) -> list[SourceRow]:
    """All sources of a tenant, oldest first."""
    rows = connection.execute(
        select(
            source.c.id,
            source.c.name,
            source.c.is_bounded,
            source.c.created_us,
            source.c.closed_us,
            source.c.max_event_us,
            source.c.last_received_us,
        )
        .where(source.c.tenant == tenant)
        .order_by(source.c.created_us, source.c.id)
    )
    return [SourceRow(*row) for row in rows]


def list_tenants(connection: Connection) -> list[str]:
    """All tenants that have a source, by name: whose retention to apply, whose alerts to correlate."""
    return list(connection.execute(select(source.c.tenant).distinct().order_by(source.c.tenant)).scalars())


def note_batch(connection: Connection, tenant: str, source_id: str, received_us: int, max_event_us: int | None) -> None:
    """A batch came from the source: remember when, and how far its event time has got."""
    values: dict[str, object] = {"last_received_us": _later(source.c.last_received_us, received_us)}
    if max_event_us is not None:
        values["max_event_us"] = _later(source.c.max_event_us, max_event_us)
    changed = connection.execute(
        update(source).where(source.c.tenant == tenant, source.c.id == source_id).values(values)
    )
    if changed.rowcount == 0:
        raise unknown_source(source_id)


def _later(column: ColumnElement[int], value: int) -> Case[int]:
    # GREATEST of PostgreSQL and two-argument MAX of SQLite have no common name.
    return case((column > value, column), else_=value)


def unknown_source(source_id: str) -> NotFoundError:
    return NotFoundError(f"source {source_id!r} is not known in this tenant; register it first")
