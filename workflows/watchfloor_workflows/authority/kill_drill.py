"""The drill: how long it takes from the decision to stop until the scope is still, measured by stopping it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import select

from watchfloor_core.errors import ConflictError, RefusedError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import kill_switch
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.switches import DRILL, parse_scope, refusals_to_release
from watchfloor_workflows.authority.kill_switch import engage, release
from watchfloor_workflows.authority.stillness import StillReport, wait_until_still


@dataclass(frozen=True, slots=True)
class DrillReport:
    """What a drill measured."""

    scope: str
    durable_us: int
    """From the call until the switch was durable: from then on nothing begins."""
    still_us: int
    """From the call until nothing acted any more, or the wait was given up; ``still`` says which."""
    still: StillReport
    released_epoch: int


def drill_scope(tenant: str) -> str:
    """The scope of drills that stop nothing: an action class of which nothing is."""
    return f"tenant:{tenant}/action:{DRILL}"


def drill(store: Store, tenant: str, scope: str, principal: Principal, timeout_s: float) -> DrillReport:
    """Stop a scope, wait until it is still, and let it go again; a person's doing.

    Raises `RefusedError`, and `ConflictError` where the scope is stopped in earnest, before or meanwhile: a drill never
    lets go what somebody else has stopped.
    """
    parse_scope(scope)
    reason = "drill: measuring the time to stop"
    against = refusals_to_release(principal, reason)
    if against:
        # Before, and not after it was stopped.
        raise RefusedError("; ".join(against))
    before = _epoch_at_rest(store, scope)
    began = time.perf_counter_ns()
    thrown = engage(store, tenant, scope, principal, reason)
    durable = time.perf_counter_ns()
    if thrown.epoch != before + 1:
        raise ConflictError(f"somebody else has thrown {scope!r} at this moment; it stays engaged")
    try:
        report = wait_until_still(store, scope, timeout_s)
        still = time.perf_counter_ns()
    finally:
        # Also where the wait fails or is broken off: what a drill has stopped must not stay stopped.
        released = release(store, tenant, scope, principal, "end of the drill", epoch=thrown.epoch)
    return DrillReport(scope, (durable - began) // 1_000, (still - began) // 1_000, report, released.epoch)


def _epoch_at_rest(store: Store, scope: str) -> int:
    with store.read() as connection:
        columns = kill_switch.c
        row = connection.execute(select(columns.epoch, columns.is_engaged).where(columns.scope == scope)).one_or_none()
    if row is None:
        return 0
    if row.is_engaged:
        raise ConflictError(f"{scope!r} is engaged in earnest; a drill would let it go")
    epoch: int = row.epoch
    return epoch
