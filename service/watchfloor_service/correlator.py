"""The correlator's loop: every tenant with work is advanced in turn, and one that fails holds up no other."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import func, select

from watchfloor_agents.correlation.sequencer import Advance
from watchfloor_core.errors import UnavailableError
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store

_LOG = logging.getLogger(__name__)

SHORTEST_S: Final = 0.05
LONGEST_S: Final = 1.0
"""Bounds of the sleep between two looks at what came in."""
SETTLED_S: Final = 5.0
"""A tenant with nothing to do is looked at so often all the same: event time also moves when a source falls silent."""
FINISHED_S: Final = 60.0
"""The same, where all its sources are closed and event time stands still."""
FIRST_BACKOFF_S: Final = 1.0
LAST_BACKOFF_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class _Intake:
    """What has come in for a tenant, cheaply told: two equal values mean nothing new."""

    sources: int
    closed: int
    last_received_us: int


@dataclass(slots=True)
class _Turn:
    """When a tenant is due next."""

    intake: _Intake
    due: float
    pause_s: float
    has_failed: bool = False


class Correlator:
    """Advances tenants until it is told to stop."""

    def __init__(
        self, store: Store, advance: Callable[[str], Advance], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._advance = advance
        """`Sequencer.advance`."""
        self._clock = clock
        self._turns: dict[str, _Turn] = {}

    def run(self, stop: threading.Event) -> None:
        """Look and advance until ``stop`` is set; the sleep adapts to how much there is to do."""
        pause = SHORTEST_S
        while not stop.is_set():
            try:
                moved = self.look(stop)
            except UnavailableError as error:
                _LOG.warning("the store does not answer, trying again: %s", error)
                moved = False
            pause = SHORTEST_S if moved else min(pause * 2, LONGEST_S)
            if not moved:
                stop.wait(pause)

    def look(self, stop: threading.Event | None = None) -> bool:
        """Advance every tenant that is due, once; True where any of them moved."""
        moved = False
        for tenant, intake in self._intakes().items():
            if stop is not None and stop.is_set():
                break
            turn = self._turns.get(tenant)
            if turn is None:
                turn = self._turns[tenant] = _Turn(intake, 0.0, SHORTEST_S)
            is_new = turn.intake != intake and not turn.has_failed
            if is_new or self._clock() >= turn.due:
                moved = self._take(tenant, turn, intake) or moved
        return moved

    def _take(self, tenant: str, turn: _Turn, intake: _Intake) -> bool:
        turn.intake = intake
        try:
            done = self._advance(tenant)
        except Exception:  # noqa: BLE001 - the boundary between tenants: whatever is wrong with one, the others go on
            turn.pause_s = min(turn.pause_s * 2, LAST_BACKOFF_S) if turn.has_failed else FIRST_BACKOFF_S
            turn.has_failed = True
            turn.due = self._clock() + turn.pause_s
            _LOG.exception("tenant %s cannot be correlated; trying again in %.0f s", tenant, turn.pause_s)
            return False
        turn.has_failed = False
        if done.ticks or done.alerts or done.is_behind:
            turn.pause_s, turn.due = SHORTEST_S, self._clock()
            return True
        if done.waiting:
            turn.pause_s = min(turn.pause_s * 2, LONGEST_S)
        else:
            turn.pause_s = FINISHED_S if intake.closed == intake.sources else SETTLED_S
        turn.due = self._clock() + turn.pause_s
        return False

    def _intakes(self) -> dict[str, _Intake]:
        source = schema.source
        statement = select(
            source.c.tenant,
            func.count(),
            func.count(source.c.closed_us),
            func.coalesce(func.max(source.c.last_received_us), 0),
        ).group_by(source.c.tenant)
        with self._store.read() as connection:
            return {row[0]: _Intake(row[1], row[2], row[3]) for row in connection.execute(statement)}
