"""What the worker does now and then: the store forgets what the settings say."""

from __future__ import annotations

import logging
from typing import Final

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.retention import RetentionPolicy, apply_retention
from watchfloor_core.store.sources import list_tenants
from watchfloor_workflows.outbox import forget_delivered

logger = logging.getLogger(__name__)

DELIVERED_KEPT_US: Final = 86_400 * MICROSECONDS
"""Delivered rows of the outbox are kept for so long, for whoever asks what became of an incident."""


def keep_house(store: Store, settings: Settings) -> None:
    """Apply the retention settings to every tenant. Safe beside other workers that do the same."""
    policy = RetentionPolicy(
        raw_days=settings.retention_raw_days,
        alert_days=settings.retention_alert_days,
        span_days=settings.retention_span_days,
    )
    with store.read() as connection:
        tenants = list_tenants(connection)
    for tenant in tenants:
        done = apply_retention(store, tenant, policy)
        logger.info("retention for tenant %s: %s", tenant, done)
    forgotten = forget_delivered(store, before_us=now_us() - DELIVERED_KEPT_US)
    logger.info("%d delivered rows of the outbox went", forgotten)
