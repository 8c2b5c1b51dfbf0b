"""The kill switches in the store: thrown durably, read by whoever is about to act, and never turned back.

Each scope has an epoch that goes up by one whenever its switch is thrown or let go. An act carries the sum of the
epochs of all scopes that cover it, so it dies with any throw, also with one that was let go since.

The order of a throw and an execution: whoever consumes a grant reads the switches with ``lock``, in the transaction
that writes its row of table ``execution``; on PostgreSQL that takes an advisory lock, shared, until the transaction
ends. A throw waits for no such lock, so no hanging executor can hold it up: it is durable at once, and whoever locks
after that reads it. Those who locked before are what `watchfloor_workflows.authority.stillness` waits for. SQLite has
one writer at a time, so none of them is left when the throw has its turn.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Row, String, column, select, text
from sqlalchemy.exc import SQLAlchemyError

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConflictError, RefusedError, UnavailableError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema_authority import execution, kill_switch
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.switches import ALL, parse_scope, refusals_to_release, refusals_to_stop, tenant_of

LOCK_KEY: Final = 0x5746_4B49_4C4C_0001
"""PostgreSQL's advisory lock of consumptions; any number that nothing else of ours takes."""

_READ_COLUMNS: Final = (
    kill_switch.c.scope,
    kill_switch.c.epoch,
    kill_switch.c.is_engaged,
    column("isolation", String),
)
_CONSUME: Final = text("SELECT pg_advisory_xact_lock_shared(:key)").execution_options(**UNAWAITED)
_THROW: Final = text(
    "INSERT INTO kill_switch (scope, epoch, is_engaged, changed_by, reason, changed_us) "
    "VALUES (:scope, 1, true, :principal, :reason, :now) "
    "ON CONFLICT (scope) DO UPDATE SET epoch = kill_switch.epoch + 1, is_engaged = true, "
    "changed_by = excluded.changed_by, reason = excluded.reason, changed_us = excluded.changed_us "
    "RETURNING epoch"
)
# The scopes go as one array: a list of parameters is spelled out anew for every question.
_READ: Final = {
    "sqlite": text(
        "SELECT scope, epoch, is_engaged, NULL FROM kill_switch WHERE scope IN (SELECT value FROM json_each(:scopes))"
    ).columns(*_READ_COLUMNS),
    "postgresql": text(
        "SELECT scope, epoch, is_engaged, current_setting('transaction_isolation') "
        "FROM kill_switch WHERE scope = ANY(:scopes)"
    ).columns(*_READ_COLUMNS),
}
# An epoch is compared and moved by one statement, so of two people who let go at once only one does.
_LET_GO: Final = text(
    "UPDATE kill_switch SET epoch = epoch + 1, is_engaged = false, changed_by = :principal, reason = :reason, "
    "changed_us = :now WHERE scope = :scope AND is_engaged AND (epoch = :epoch OR :epoch < 0) RETURNING epoch"
)


@dataclass(frozen=True, slots=True)
class SwitchReading:
    """The switches over one act at one moment."""

    epoch: int
    """Sum over all scopes that cover the act; never goes down."""
    engaged: tuple[str, ...]
    """Those of the scopes that are stopped, in the order asked for."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One switch as it stands."""

    scope: str
    epoch: int
    is_engaged: bool
    changed_by: str
    reason: str
    changed_us: int


@dataclass(frozen=True, slots=True)
class Engaged:
    """A switch that was thrown, durably."""

    scope: str
    epoch: int
    """Of this scope."""
    in_flight: int
    """Executions under way that it covers, as far as they were visible then; `wait_until_still` waits for them."""


@dataclass(frozen=True, slots=True)
class Released:
    """A switch that was let go. What was granted before stays dead, for the epoch went up again."""

    scope: str
    epoch: int


def read_switches(connection: Connection, scopes: Collection[str], *, lock: bool = False) -> SwitchReading:
    """The switches of these scopes (`covering_scopes` names them), and always that of everything.

    ``lock`` is for the transaction of `Store.write` that consumes a grant: a stop then waits for its end. Raises
    `UnavailableError` where they cannot be read, which whoever rules takes for a no.
    """
    asked = tuple(dict.fromkeys((ALL, *scopes)))
    is_sqlite = connection.dialect.name == "sqlite"
    try:
        if lock and not is_sqlite:
            connection.execute(_CONSUME, {"key": LOCK_KEY})
        scopes_asked = json.dumps(asked) if is_sqlite else list(asked)
        rows = connection.execute(_READ[connection.dialect.name], {"scopes": scopes_asked}).all()
    except SQLAlchemyError as error:
        raise UnavailableError("the kill switches cannot be read; nothing acts until they can") from error
    found = {row.scope: row for row in rows}
    if ALL not in found:
        raise UnavailableError(
            f"the kill switch {ALL!r} is missing from the store; nothing acts until the store is restored"
        )
    if lock and not is_sqlite and (isolation := found[ALL].isolation) != "read committed":
        # Its snapshot could be older than the lock, and then neither side would see the other.
        raise ValueError(f"the transaction is {isolation}; lock switches in one of Store.write()")
    return SwitchReading(
        epoch=sum(row.epoch for row in rows),
        engaged=tuple(scope for scope in asked if scope in found and found[scope].is_engaged),
    )


def list_switches(connection: Connection, tenant: str | None = None) -> tuple[Switch, ...]:
    """Every switch that was ever thrown, by scope; of one tenant: its own, and those that reach over tenants."""
    rows = connection.execute(select(kill_switch).order_by(kill_switch.c.scope))
    switches = (_switch(row) for row in rows)
    return tuple(one for one in switches if tenant is None or tenant_of(one.scope) in (None, tenant))


def engage(store: Store, tenant: str, scope: str, principal: Principal, reason: str) -> Engaged:
    """Stop a scope: when this returns, whoever reads its switch is stopped, whatever was granted before.

    What has read it before may still begin and act: `wait_until_still` waits for that. ``tenant`` is the principal's,
    where the ledger keeps it; whether they may touch the scope is `may_touch` and their role. Raises `RefusedError`,
    `ConfigurationError` for what is no scope, `UnavailableError` where it could not be stored: then nothing is stopped.
    """
    _require(refusals_to_stop(principal, reason))
    parse_scope(scope)
    now = now_us()
    with store.write() as connection:
        values = {"scope": scope, "principal": principal.name, "reason": reason, "now": now}
        epoch: int = connection.execute(_THROW, values).scalar_one()
        acting = connection.scalars(select(execution.c.kill_scopes).where(execution.c.phase == "acting"))
        in_flight = sum(scope in scopes for scopes in acting)
        decision = _decision(scope, principal, reason, epoch, now, is_engaged=True, in_flight=in_flight)
        record_decisions(connection, tenant, [decision])
    return Engaged(scope, epoch, in_flight)


def release(
    store: Store, tenant: str, scope: str, principal: Principal, reason: str, *, epoch: int | None = None
) -> Released:
    """Let a scope act again; a person's decision. With ``epoch``, only where nobody has thrown it anew since.

    Raises `RefusedError`, `ConfigurationError` for what is no scope, and `ConflictError` where it is not engaged.
    """
    _require(refusals_to_release(principal, reason))
    parse_scope(scope)
    now = now_us()
    with store.write() as connection:
        held = -1 if epoch is None else epoch
        values = {"scope": scope, "principal": principal.name, "reason": reason, "now": now, "epoch": held}
        moved = connection.execute(_LET_GO, values).scalar_one_or_none()
        if moved is None:
            since = "" if epoch is None else f" at epoch {epoch}"
            raise ConflictError(f"{scope!r} is not engaged{since}; `watchfloor kill status` shows what is")
        record_decisions(connection, tenant, [_decision(scope, principal, reason, moved, now, is_engaged=False)])
    return Released(scope, moved)


def _decision(
    scope: str, principal: Principal, reason: str, epoch: int, now: int, *, is_engaged: bool, in_flight: int = 0
) -> Decision:
    return Decision(
        chain="control",
        kind="kill_switch",
        body={
            "scope": scope,
            "is_engaged": is_engaged,
            "epoch": epoch,
            "in_flight": in_flight,
            "principal": principal.name,
            "principal_kind": principal.kind.value,
            "reason": reason,
        },
        name=SpanName.KILL_SWITCH,
        start_us=now,
        end_us=now_us(),
        attributes={
            SpanAttribute.PRINCIPAL: principal.name,
            SpanAttribute.KILL_SCOPE: scope,
            SpanAttribute.KILL_EPOCH: epoch,
        },
    )


# SQLAlchemy's rows are untyped; the column types of the schema hold.
def _switch(row: Row[tuple[object, ...]]) -> Switch:
    values = row._mapping
    return Switch(
        scope=values["scope"],
        epoch=values["epoch"],
        is_engaged=values["is_engaged"],
        changed_by=values["changed_by"],
        reason=values["reason"],
        changed_us=values["changed_us"],
    )


def _require(against: list[str]) -> None:
    if against:
        raise RefusedError("; ".join(against))
