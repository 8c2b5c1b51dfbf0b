"""What the worker does every hour beside its work: it lets go of what the settings no longer keep."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from sqlalchemy import select

from watchfloor_core.errors import ConflictError, UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.retention import RetentionPolicy, apply_retention
from watchfloor_core.store.schema import source

_LOG = logging.getLogger(__name__)

EVERY_S: Final = 3600.0


async def keep_house(settings: Settings) -> None:
    """At once and every hour until cancelled; a store that is busy is left to the next hour."""
    store = open_store(settings.store_url)
    try:
        while True:
            try:
                await asyncio.to_thread(let_go, store, settings)
            except (UnavailableError, ConflictError) as error:
                _LOG.warning("retention is put off to the next hour: %s", error)
            await asyncio.sleep(EVERY_S)
    finally:
        store.close()


def let_go(store: Store, settings: Settings) -> None:
    """Apply retention to every tenant."""
    policy = RetentionPolicy(
        raw_days=settings.retention_raw_days,
        alert_days=settings.retention_alert_days,
        span_days=settings.retention_span_days,
    )
    with store.read() as connection:
        tenants = connection.execute(select(source.c.tenant).distinct().order_by(source.c.tenant)).scalars().all()
    for tenant in tenants:
        counts = apply_retention(store, tenant, policy)
        if counts != type(counts)():
            _LOG.info("retention in tenant %s: %s", tenant, counts)
