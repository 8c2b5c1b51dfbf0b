"""Takes sealed ticks of event time from the store, folds them, and writes what came of it, one transaction a step.

Any number of processes may run this for the same tenant. The tenant's cursor row says which tick is next; a step locks
it, so each tick is folded once, and a process whose kept state is behind reads it anew. What a step does (marks on
alerts, observations, incidents, baseline, ledger, outbox, cursor) is committed together or not at all.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, insert, select, text, update

from watchfloor_agents.correlation import record
from watchfloor_agents.correlation.alerts import Taken, add_to_known, nth_waiting_us, take_alerts
from watchfloor_agents.correlation.fold import Fold, FoldSettings
from watchfloor_agents.correlation.observation import Group, OpenIncident
from watchfloor_agents.correlation.shapes import ShapeBook
from watchfloor_agents.correlation.state import load_fold, save_baseline, save_incidents
from watchfloor_agents.correlation.watermark import Watermark, watermark
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.ledger import record_decisions
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import pending_alerts
from watchfloor_core.store.sources import list_sources

STEP_ALERTS: Final = 20_000
"""Alerts that one transaction takes up at most, apart from those of its last tick: it holds the write lock."""
FINISHED_US: Final = 2**62
"""The cursor's watermark when everything is complete and sealed."""


@dataclass(frozen=True, slots=True)
class Advance:
    """What one call did."""

    ticks: int = 0
    alerts: int = 0
    incidents: int = 0
    """Incidents that were handed to their workflows."""
    waiting: int = 0
    """Alerts that event time has not reached."""
    is_behind: bool = False
    """More could be done at once; call again."""


@dataclass(slots=True)
class _Kept:
    version: int
    fold: Fold
    shapes: ShapeBook


@dataclass(frozen=True, slots=True)
class _Step:
    ticks: int
    alerts: int
    incidents: int
    is_done: bool


@dataclass(frozen=True, slots=True)
class _Cursor:
    tick: int
    version: int
    watermark_us: int


class Sequencer:
    """Correlates the alerts of any tenant; keeps each tenant's fold between calls."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._fold_settings = FoldSettings(
            tick_s=settings.tick_s,
            session_gap_s=settings.session_gap_s,
            incident_max_s=settings.incident_max_s,
            routine_window_s=settings.routine_window_s,
        )
        self._kept: dict[str, _Kept] = {}

    def advance(self, tenant: str, *, finish: bool = False, budget_s: float = 2.0) -> Advance:
        """Work off what event time allows, for about `budget_s` of wall clock.

        `finish` treats the tenant's sources as closed. Raises UnavailableError where the store is down; then nothing
        of the step is kept.
        """
        deadline = time.monotonic() + budget_s
        ticks = alerts = incidents = 0
        while True:
            step = self._step(tenant, finish=finish)
            ticks, alerts, incidents = ticks + step.ticks, alerts + step.alerts, incidents + step.incidents
            if step.is_done or time.monotonic() >= deadline:
                break
        with self._store.read() as connection:
            waiting = pending_alerts(connection, tenant)
        return Advance(ticks, alerts, incidents, waiting, is_behind=not step.is_done)

    def _step(self, tenant: str, *, finish: bool) -> _Step:
        if not self._has_work(tenant, finish=finish):
            return _Step(0, 0, 0, is_done=True)
        try:
            with self._store.write() as connection:
                return self._take(connection, tenant, finish=finish)
        except BaseException:
            # The fold has moved on and the store has not: read it anew next time.
            self._kept.pop(tenant, None)
            raise

    def _has_work(self, tenant: str, *, finish: bool) -> bool:
        """A look without the write lock: an idle tenant costs no writer anything."""
        with self._store.read() as connection:
            mark = self._watermark(connection, tenant, finish=finish)
            if mark.complete_us is None:
                return False
            row = connection.execute(select(schema.cursor).where(schema.cursor.c.tenant == tenant)).one_or_none()
            first_us = nth_waiting_us(connection, tenant, 0)
            if row is None:
                return first_us is not None
            if first_us is not None and (mark.is_final or first_us < self._end_tick(mark) * self._width):
                return True
            return self._has_quiet_work(row.tick, row.watermark_us, mark)

    def _has_quiet_work(self, tick: int, watermark_us: int, mark: Watermark) -> bool:
        if mark.is_final:
            return watermark_us != FINISHED_US
        return self._end_tick(mark) > tick

    @property
    def _width(self) -> int:
        return self._settings.tick_s * MICROSECONDS

    def _end_tick(self, mark: Watermark) -> int:
        """The first tick that is not complete."""
        if mark.complete_us is None:
            return 0
        return mark.complete_us // self._width + (1 if mark.is_final else 0)

    def _watermark(self, connection: Connection, tenant: str, *, finish: bool) -> Watermark:
        found = watermark(
            list_sources(connection, tenant),
            now_us=now_us(),
            lateness_s=self._settings.lateness_s,
            idle_s=self._settings.idle_s,
        )
        if not finish or found.is_final:
            return found
        latest = connection.execute(
            text("SELECT MAX(max_event_us) FROM source WHERE tenant = :tenant"), {"tenant": tenant}
        ).scalar_one_or_none()
        return Watermark(latest, is_final=True)

    def _take(self, connection: Connection, tenant: str, *, finish: bool) -> _Step:
        cursor = self._lock_cursor(connection, tenant)
        mark = self._watermark(connection, tenant, finish=finish)
        if mark.complete_us is None:
            return _Step(0, 0, 0, is_done=True)
        first_us = nth_waiting_us(connection, tenant, 0)
        start = cursor.tick if cursor.tick >= 0 else (first_us if first_us is not None else 0) // self._width
        target = max(start, self._end_tick(mark))
        enough_us = nth_waiting_us(connection, tenant, STEP_ALERTS)
        end = target if enough_us is None else min(target, max(start, enough_us // self._width) + 1)
        kept = self._keep(connection, tenant, cursor, start)
        taken = take_alerts(connection, tenant, end_tick=end, tick_s=self._settings.tick_s, now_us=now_us())
        ticks = self._fold(connection, kept, taken, start, end)
        is_complete = end == target
        if is_complete and mark.is_final:
            kept.fold.finish(end)
        incidents = self._write(connection, tenant, kept, end)
        reached = FINISHED_US if is_complete and mark.is_final else end * self._width
        self._move_cursor(connection, tenant, cursor, end, reached)
        kept.version = cursor.version + 1
        return _Step(ticks, sum(group.alerts for group in taken), incidents, is_done=is_complete)

    def _lock_cursor(self, connection: Connection, tenant: str) -> _Cursor:
        connection.execute(
            text(
                "INSERT INTO cursor (tenant, tick, version, watermark_us) VALUES (:tenant, -1, 0, 0)"
                " ON CONFLICT (tenant) DO NOTHING"
            ),
            {"tenant": tenant},
        )
        table = schema.cursor
        row = connection.execute(select(table).where(table.c.tenant == tenant).with_for_update()).one()
        return _Cursor(row.tick, row.version, row.watermark_us)

    def _keep(self, connection: Connection, tenant: str, cursor: _Cursor, start: int) -> _Kept:
        kept = self._kept.get(tenant)
        if kept is None or kept.version != cursor.version:
            shapes = ShapeBook(tenant)
            fold = load_fold(connection, tenant, self._fold_settings, start, shapes)
            kept = self._kept[tenant] = _Kept(cursor.version, fold, shapes)
        return kept

    def _fold(self, connection: Connection, kept: _Kept, taken: list[Taken], start: int, end: int) -> int:
        late = [group for group in taken if group.tick < start]
        gained, unknown = add_to_known(connection, kept.fold.tenant, late)
        self._count_gained(connection, kept.fold, gained)
        late_keys = {(group.tick, group.shape_id) for group in unknown}
        by_tick: dict[int, list[Taken]] = defaultdict(list)
        for group in taken:
            if group.tick >= start:
                by_tick[group.tick].append(group)
        if unknown:
            by_tick[min(by_tick, default=start)] += unknown
        shapes = kept.shapes.get(connection, {group.shape_id for groups in by_tick.values() for group in groups})
        for tick in sorted(by_tick):
            kept.fold.take(
                tick,
                [
                    Group(
                        tick=group.tick,
                        shape=shapes[group.shape_id],
                        alerts=group.alerts,
                        first_us=group.first_us,
                        last_us=group.last_us,
                        is_late=(group.tick, group.shape_id) in late_keys,
                    )
                    for group in by_tick[tick]
                ],
            )
        kept.fold.expire(end)
        return len(by_tick)

    def _count_gained(self, connection: Connection, fold: Fold, gained: dict[str, int]) -> None:
        """Late alerts that an observation already stood for: counted, in memory too where the incident is open."""
        held: dict[str, OpenIncident] = {incident.id: incident for incident in fold.routine.values()}
        held |= fold.sessions.incidents
        table = schema.incident
        for incident_id, alerts in gained.items():
            incident = held.get(incident_id)
            if incident is not None:
                incident.alert_count += alerts
                fold.changes.touched[incident_id] = incident
            else:
                connection.execute(
                    update(table)
                    .where(table.c.tenant == fold.tenant, table.c.id == incident_id)
                    .values(alert_count=table.c.alert_count + alerts)
                )

    def _write(self, connection: Connection, tenant: str, kept: _Kept, tick: int) -> int:
        fold, changes, at_us = kept.fold, kept.fold.changes, now_us()
        save_incidents(connection, fold, changes.touched.values(), at_us)
        record.write_observations(connection, tenant, changes)
        record.write_entities(connection, tenant, changes)
        record_decisions(connection, tenant, record.decisions(changes, self._settings.tick_s, at_us))
        if changes.emitted:
            rows: list[dict[str, Any]] = [
                {"tenant": tenant, "incident_id": incident_id, "revision": revision, "created_us": at_us}
                for incident_id, revision in sorted(changes.emitted.items())
            ]
            connection.execute(insert(schema.outbox), rows)
        save_baseline(connection, tenant, fold.baseline, tick)
        fold.changes = type(changes)()
        return len(changes.emitted)

    def _move_cursor(self, connection: Connection, tenant: str, cursor: _Cursor, tick: int, reached_us: int) -> None:
        table = schema.cursor
        connection.execute(
            update(table)
            .where(table.c.tenant == tenant)
            .values(tick=tick, version=cursor.version + 1, watermark_us=reached_us)
        )
