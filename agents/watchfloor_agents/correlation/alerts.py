"""Taking alerts up for correlation: set-based, so that a flood costs the database one statement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, text

from watchfloor_core.clock import MICROSECONDS

SKEW_S: Final = 600
"""An alert that is dated so far ahead of the wall clock is taken at the time of its receipt."""

# An alert's own time, or its receipt where its sensor's clock is far ahead.
_ORDER_US: Final = "CASE WHEN event_us > :ahead THEN received_us ELSE event_us END"
_WAITING: Final = "tenant = :tenant AND tick IS NULL AND (event_us < :end OR event_us > :ahead)"

_GROUP: Final = f"""
    SELECT {_ORDER_US} / :width AS tick, shape_id, COUNT(*) AS alerts,
           MIN({_ORDER_US}) AS first_us, MAX({_ORDER_US}) AS last_us
    FROM alert WHERE {_WAITING} GROUP BY 1, 2
"""  # noqa: S608 - built of the constants above
_MARK: Final = f"UPDATE alert SET tick = {_ORDER_US} / :width WHERE {_WAITING}"  # noqa: S608
# PostgreSQL runs other writers beside us: mark and group in one statement, so that both speak of the same rows.
_MARK_AND_GROUP: Final = f"""
    WITH taken AS ({_MARK} RETURNING tick, shape_id, {_ORDER_US} AS order_us)
    SELECT tick, shape_id, COUNT(*) AS alerts, MIN(order_us) AS first_us, MAX(order_us) AS last_us
    FROM taken GROUP BY tick, shape_id
"""  # noqa: S608
_NEXT: Final = "SELECT event_us FROM alert WHERE tenant = :tenant AND tick IS NULL ORDER BY event_us LIMIT 1 OFFSET :n"


@dataclass(frozen=True, slots=True)
class Taken:
    """Equal alerts of one tick, as the store groups them."""

    tick: int
    shape_id: bytes
    alerts: int
    first_us: int
    last_us: int


def nth_waiting_us(connection: Connection, tenant: str, n: int) -> int | None:
    """Event time of the n-th alert (from 0) that waits, in the order of event time."""
    found = connection.execute(text(_NEXT), {"tenant": tenant, "n": n}).scalar_one_or_none()
    return None if found is None else int(found)


def take_alerts(connection: Connection, tenant: str, *, end_tick: int, tick_s: int, now_us: int) -> list[Taken]:
    """Mark every waiting alert before `end_tick` as taken and give them grouped by tick and shape."""
    width = tick_s * MICROSECONDS
    values = {"tenant": tenant, "end": end_tick * width, "ahead": now_us + SKEW_S * MICROSECONDS, "width": width}
    if connection.dialect.name == "sqlite":
        # The write transaction excludes every other writer: the two statements see the same rows.
        rows = connection.execute(text(_GROUP), values).all()
        if rows:
            connection.execute(text(_MARK), values)
    else:
        rows = connection.execute(text(_MARK_AND_GROUP), values).all()
    return [
        Taken(int(row.tick), bytes(row.shape_id), int(row.alerts), int(row.first_us), int(row.last_us)) for row in rows
    ]


_EXISTING: Final = """
    SELECT tick, shape_id, incident_id FROM observation
    WHERE tenant = :tenant AND tick = :tick AND shape_id = :shape_id
"""
_ADD: Final = """
    UPDATE observation SET alerts = alerts + :alerts, is_late = :late,
        first_us = CASE WHEN first_us < :first_us THEN first_us ELSE :first_us END,
        last_us = CASE WHEN last_us > :last_us THEN last_us ELSE :last_us END
    WHERE tenant = :tenant AND tick = :tick AND shape_id = :shape_id
"""


def add_to_known(connection: Connection, tenant: str, late: Iterable[Taken]) -> tuple[dict[str, int], list[Taken]]:
    """Late alerts that an earlier observation already stands for are counted there.

    Returns how many each incident gained, and the groups that no observation stands for yet.
    """
    gained: dict[str, int] = {}
    unknown: list[Taken] = []
    for taken in late:
        key = {"tenant": tenant, "tick": taken.tick, "shape_id": taken.shape_id}
        row = connection.execute(text(_EXISTING), key).one_or_none()
        if row is None:
            unknown.append(taken)
            continue
        connection.execute(
            text(_ADD),
            {**key, "alerts": taken.alerts, "late": True, "first_us": taken.first_us, "last_us": taken.last_us},
        )
        gained[row.incident_id] = gained.get(row.incident_id, 0) + taken.alerts
    return gained, unknown
