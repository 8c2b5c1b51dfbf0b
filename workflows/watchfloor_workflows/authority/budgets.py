"""Budgets in the store: charged in the transaction that uses them up, exact however many charge at once.

On PostgreSQL a charge locks the head of its budget, so that charges of one budget are counted one after the other;
heads are taken in one order, so charges cannot deadlock. On SQLite the write transaction is lock enough. In a
transaction that also records decisions, charge first: everyone then takes heads before chains.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, insert, select, text

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import RefusedError
from watchfloor_core.store.interning import entity_id
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema import asset
from watchfloor_core.store.schema_authority import budget_charge, lease
from watchfloor_guardrails.budget import Charge, Spent, free_at_us, is_over, window_start_us
from watchfloor_workflows.authority.containments import under_way
from watchfloor_workflows.authority.spelling import spelled

# Made where there is none, and locked where there is one: an update that changes nothing.
_TAKE_HEAD: Final = text(
    "INSERT INTO budget_head (tenant, budget, subject) VALUES (:tenant, :budget, :subject) "
    "ON CONFLICT (tenant, budget, subject) DO UPDATE SET subject = excluded.subject"
).execution_options(**UNAWAITED)
_USED: Final = (
    "SELECT coalesce(sum(amount), 0) FROM budget_charge "
    "WHERE tenant = :tenant AND budget = :budget AND subject = :subject AND at_us > :since"
)
_SPENT: Final = text(_USED)
# One question for both answers: on PostgreSQL a charge costs what its round trips cost.
_SPENT_AND_CHARGED: Final = text(
    f"SELECT ({_USED}), EXISTS (SELECT 1 FROM budget_charge "  # noqa: S608 -- a constant
    "WHERE tenant = :tenant AND budget = :budget AND subject = :subject AND reference = :reference)"
)
_LEASES: Final = (
    select(lease.c.target_kind, lease.c.target_value)
    .where(lease.c.tenant == bindparam("tenant"), lease.c.state != "ended")
    .distinct()
)
COUNT_INVENTORY: Final = select(func.count()).select_from(asset).where(asset.c.tenant == bindparam("tenant"))
"""How many entities the inventory of `tenant` holds."""
_CHARGE: Final = insert(budget_charge).execution_options(**UNAWAITED)
_OURS: Final = COUNT_INVENTORY.where(asset.c.entity_id.in_(bindparam("ids", expanding=True)))
_ASSETS_AT_ONCE: Final = 500
"""Ids in one query; SQLite bounds the number of parameters."""
# A lease is looked at in every ruling for as long as it lasts.
_id_of = lru_cache(maxsize=4_096)(entity_id)


def charge(connection: Connection, tenant: str, charges: Collection[Charge], now_us: int) -> None:
    """Use up budgets: all of them, or none where one is exhausted. What was charged for before is not charged again.

    In a transaction of `Store.write`; what that rolls back was never charged. Raises `RefusedError`, which names the
    budget, what is used of it, and when it has room.
    """
    ordered = sorted(charges, key=lambda one: (one.budget, one.subject, one.reference))
    _take_heads(connection, tenant, {(one.budget, one.subject): None for one in ordered})
    fresh: dict[tuple[str, str, str], Charge] = {}
    pending: dict[tuple[str, str], int] = defaultdict(int)
    for one in ordered:
        key = (one.budget, one.subject, one.reference)
        asked = _asked(tenant, one.budget, one.subject, one.window_s, now_us) | {"reference": one.reference}
        counted, is_charged = connection.execute(_SPENT_AND_CHARGED, asked).one()
        if is_charged or key in fresh:
            continue
        before = pending[one.budget, one.subject]
        used = before + int(counted)
        if is_over(one, used):
            raise _exhausted(connection, tenant, one, used, before, now_us)
        pending[one.budget, one.subject] = before + one.amount
        fresh[key] = one
    if fresh:
        connection.execute(_CHARGE, [_row(tenant, one, now_us) for one in fresh.values()])


def spent(connection: Connection, tenant: str, budget: str, subject: str, window_s: int | None, now_us: int) -> int:
    """What of a budget is used within the window that ends now."""
    return int(connection.execute(_SPENT, _asked(tenant, budget, subject, window_s, now_us)).scalar_one())


def refund(connection: Connection, tenant: str, reference: str) -> int:
    """Take back what was charged for this, of every budget: it was not done. Returns how many charges those were."""
    charged = budget_charge.c
    return connection.execute(
        delete(budget_charge).where(charged.tenant == tenant, charged.reference == reference)
    ).rowcount


def contained_assets(connection: Connection, tenant: str) -> int:
    """How many entities of the tenant's inventory are under containment or just coming under it, each counted once."""
    begun = {(one.target_kind, one.target_value) for one in under_way(connection, tenant)}
    rows = connection.execute(_LEASES, {"tenant": tenant})
    # What stands outside of the inventory (an attacker's address) is held back, but none of ours.
    ids = list(
        {_id_of(kind, spelled(kind, value)) for kind, value in begun.union((kind, value) for kind, value in rows)}
    )
    held = 0
    for start in range(0, len(ids), _ASSETS_AT_ONCE):
        some = ids[start : start + _ASSETS_AT_ONCE]
        held += connection.execute(_OURS, {"tenant": tenant, "ids": some}).scalar_one()
    return held


def inventory_size(connection: Connection, tenant: str) -> int:
    """How many entities the tenant's inventory holds."""
    return connection.execute(COUNT_INVENTORY, {"tenant": tenant}).scalar_one()


def _take_heads(connection: Connection, tenant: str, heads: Iterable[tuple[str, str]]) -> None:
    if connection.dialect.name == "postgresql":
        for budget, subject in heads:
            connection.execute(_TAKE_HEAD, {"tenant": tenant, "budget": budget, "subject": subject})


def _asked(tenant: str, budget: str, subject: str, window_s: int | None, now_us: int) -> dict[str, str | int]:
    since = window_start_us(window_s, now_us)
    return {"tenant": tenant, "budget": budget, "subject": subject, "since": since}


def _exhausted(connection: Connection, tenant: str, one: Charge, used: int, beside: int, now_us: int) -> RefusedError:
    charged = budget_charge.c
    rows = connection.execute(
        select(charged.amount, charged.at_us).where(
            charged.tenant == tenant,
            charged.budget == one.budget,
            charged.subject == one.subject,
            charged.at_us > window_start_us(one.window_s, now_us),
        )
    )
    entries = [Spent(amount, at_us) for amount, at_us in rows]
    free = free_at_us(one, [*entries, Spent(beside, now_us)] if beside else entries)
    when = "it never has room for that" if free is None else f"it has room at {to_iso(free)}"
    within = "in all" if one.window_s is None else f"in the last {one.window_s:,} s"
    return RefusedError(
        f"budget {one.budget!r} of {one.subject!r} is exhausted: {used:,} of {one.limit:,} used {within}, "
        f"{one.amount:,} more asked for; {when}"
    )


def _row(tenant: str, one: Charge, now_us: int) -> dict[str, object]:
    return {
        "tenant": tenant,
        "budget": one.budget,
        "subject": one.subject,
        "reference": one.reference,
        "amount": one.amount,
        "at_us": now_us,
    }
