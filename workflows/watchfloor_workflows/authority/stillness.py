"""Waiting until a stopped scope is still: nothing in it acts any more, and nothing that was about to can begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Row, select, text

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import execution, kill_switch
from watchfloor_workflows.authority.kill_switch import LOCK_KEY

DEAD_AFTER_S: Final = 30.0
"""An executor that has not beaten for so long is taken for dead; what its act did, nobody knows."""
POLL_S: Final = 0.05
"""Between two looks."""

# An advisory lock of one 64-bit key stands in pg_locks as its two halves, with objsubid 1.
_CONSUMING: Final = text(
    "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid::bigint = :high AND objid::bigint = :low"
)


@dataclass(frozen=True, slots=True)
class InFlight:
    """An execution that has consumed its grant and has not reported back."""

    tenant: str
    proposal_id: str
    grant_id: str
    action_class: str
    tool: str
    executor: str
    consumed_us: int
    beat_us: int
    """When its executor was last heard of."""


@dataclass(frozen=True, slots=True)
class StillReport:
    """What a look at a scope found."""

    is_engaged: bool
    """False where somebody has let it go meanwhile, so that it cannot be called stopped."""
    deciding: int
    """Transactions that may have read the switches before the throw and have not ended."""
    acting: tuple[InFlight, ...]
    """Under way, and their executors alive."""
    unknown: tuple[InFlight, ...]
    """Of executors that are silent: a person must look at the targets."""
    waited_us: int

    @property
    def is_still(self) -> bool:
        """Nothing in the scope acts, for certain."""
        return self.is_engaged and not (self.deciding or self.acting or self.unknown)

    @property
    def is_worth_waiting(self) -> bool:
        """Whether another look may find more than this one."""
        return self.is_engaged and bool(self.deciding or self.acting)

    @property
    def text(self) -> str:
        """For a person."""
        if self.is_still:
            return "nothing in this scope is acting"
        if not self.is_engaged:
            return "it is not engaged: somebody has let it go"
        found = [
            f"{self.deciding} executions are about to begin or be refused" if self.deciding else "",
            f"still acting: {_named(self.acting)}" if self.acting else "",
            f"unknown, their executor is silent: {_named(self.unknown)}; look at the targets" if self.unknown else "",
        ]
        return "; ".join(part for part in found if part)


class StillWatch:
    """Looks at one scope, again and again. To be made after the switch was thrown: what locked it before is counted."""

    def __init__(self, store: Store, scope: str, *, dead_after_s: float = DEAD_AFTER_S) -> None:
        self._store = store
        self._scope = scope
        self._dead_after_us = round(dead_after_s * MICROSECONDS)
        self._began = time.monotonic_ns()
        self._consuming: frozenset[str] | None = None

    def look(self) -> StillReport:
        """One look. Raises `UnavailableError` where the store cannot be read: then nothing is confirmed."""
        # In this order and in two transactions: who has let go of the lock has committed before, and is seen below.
        deciding = self._count_consuming()
        with self._store.read() as connection:
            switch = select(kill_switch.c.is_engaged).where(kill_switch.c.scope == self._scope)
            is_engaged = bool(connection.execute(switch).scalar_one_or_none())
            rows = connection.execute(select(execution).where(execution.c.phase == "acting")).all()
        covered = [_in_flight(row) for row in rows if self._scope in row.kill_scopes]
        heard_since = now_us() - self._dead_after_us
        return StillReport(
            is_engaged=is_engaged,
            deciding=deciding,
            acting=tuple(one for one in covered if one.beat_us >= heard_since),
            unknown=tuple(one for one in covered if one.beat_us < heard_since),
            waited_us=(time.monotonic_ns() - self._began) // 1_000,
        )

    def _count_consuming(self) -> int:
        if self._store.dialect == "sqlite" or self._consuming == frozenset():
            return 0
        with self._store.read() as connection:
            found = connection.scalars(_CONSUMING, {"high": LOCK_KEY >> 32, "low": LOCK_KEY & 0xFFFF_FFFF})
            holders = frozenset(found)
        # Who comes to lock it after the first look reads the throw, and is not waited for.
        self._consuming = holders if self._consuming is None else self._consuming & holders
        return len(self._consuming)


def wait_until_still(
    store: Store,
    scope: str,
    timeout_s: float,
    *,
    dead_after_s: float = DEAD_AFTER_S,
    pause: Callable[[float], object] = time.sleep,
) -> StillReport:
    """Wait until nothing in an engaged scope acts, or until ``timeout_s``, or until only silent executors are left.

    Where the report is still, nothing in the scope executes until somebody lets it go. Raises `UnavailableError`.
    """
    deadline = time.monotonic() + timeout_s
    watch = StillWatch(store, scope, dead_after_s=dead_after_s)
    while (report := watch.look()).is_worth_waiting and time.monotonic() < deadline:
        pause(POLL_S)
    return report


def _named(acts: tuple[InFlight, ...]) -> str:
    shown = ", ".join(f"{one.proposal_id} ({one.action_class} by {one.tool})" for one in acts[:5])
    return f"{shown} and {len(acts) - 5} more" if len(acts) > 5 else shown


# SQLAlchemy's rows are untyped; the column types of the schema hold.
def _in_flight(row: Row[tuple[object, ...]]) -> InFlight:
    values = row._mapping
    return InFlight(**{name: values[name] for name in InFlight.__slots__})
