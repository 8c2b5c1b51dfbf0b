"""The brake on guessing one account's password, wherever the guesses come from; durable, so that a restart forgives
nothing.

An attempt is charged before its password is compared and forgiven when it proves right. Guesses that come at the same
time are therefore counted like any others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select, update

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_identity import account

FREE: Final = 5
FIRST_LOCK_US: Final = 30 * MICROSECONDS
LONGEST_LOCK_US: Final = 3600 * MICROSECONDS
"""Bounds what a stranger can do to somebody by failing under their name; a one-time link opens the lock."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One that may be made."""

    principal: str
    password_hash: str | None
    failures: int
    """With this one, until it proves right."""


def lock_us(failures: int) -> int:
    """How long an account is locked by so many failures in a row: twice as long each time."""
    if failures < FREE:
        return 0
    # Bounded before it is computed.
    doublings = min(failures - FREE, 16)
    return min(FIRST_LOCK_US << doublings, LONGEST_LOCK_US)


def begin_attempt(store: Store, principal: str, at_us: int) -> Attempt | None:
    """Charge an attempt; None where there is no such account or it is locked: the two take the same way."""
    with store.write() as connection:
        row = connection.execute(
            select(account.c.password_hash, account.c.failed_count, account.c.locked_until_us)
            .where(account.c.principal == principal)
            .with_for_update()
        ).one_or_none()
        if row is None or (row.locked_until_us is not None and at_us < row.locked_until_us):
            return None
        failures = row.failed_count + 1
        locked_us = lock_us(failures)
        connection.execute(
            update(account)
            .where(account.c.principal == principal)
            .values(failed_count=failures, locked_until_us=at_us + locked_us if locked_us else None)
        )
        return Attempt(principal, row.password_hash, failures)
