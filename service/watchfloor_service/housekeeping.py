"""What the worker does every hour beside its work: it lets go of what the settings no longer keep."""

from __future__ import annotations

import logging

from sqlalchemy import select

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.retention import RetentionPolicy, apply_retention
from watchfloor_core.store.schema import source

_LOG = logging.getLogger(__name__)


def keep_house(store: Store, settings: Settings) -> None:
    """Apply retention to every tenant. Raises `UnavailableError` where the store is busy; the next hour goes on."""
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
