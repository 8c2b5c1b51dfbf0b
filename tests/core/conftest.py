"""Alerts and batches as the core's tests need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from watchfloor_core.alert import (
    Alert,
    Attribute,
    DedupKey,
    Detector,
    Entity,
    EntityKind,
    EntityRole,
    Integrity,
    Severity,
    TimePrecision,
)
from watchfloor_core.errors import RecordError
from watchfloor_core.store.ingest import ParsedBatch, ParsedRecord

MIDNIGHT_US = 1_700_006_400_000_000
BY_CONTENT = DedupKey(("detector", "entities", "attributes"), 1)


def _alert(
    second: float = 0,
    *,
    host: str = "mail",
    user: str = "root",
    uid: str = "5710",
    product: str = "wazuh",
    connector: str = "wazuh",
    command: str = "ssh root@mail",
    severity: Severity = Severity.MEDIUM,
    integrity: Integrity = Integrity.EXTERNAL,
    native_uid: str | None = None,
    dedup: DedupKey = BY_CONTENT,
) -> Alert:
    """A failed login, ``second`` seconds after midnight."""
    return Alert(
        connector=connector,
        detector=Detector(product, uid, "sshd: attempt to login using a non-existent user", "sshd", ("TA0006",)),
        severity=severity,
        event_us=MIDNIGHT_US + round(second * 1_000_000),
        precision=TimePrecision.SECOND,
        entities=(
            Entity(EntityKind.HOST, host, EntityRole.TARGET),
            Entity(EntityKind.USER, user, EntityRole.ACTOR, Integrity.EXTERNAL),
        ),
        attributes=(Attribute("command", command, integrity),),
        native_uid=native_uid,
        dedup=dedup,
    )


def _batch(
    outcomes: Sequence[Alert | RecordError | None],
    *,
    key: str = "1",
    first: int = 1,
    source_id: str = "file:1",
    connector: str = "wazuh",
) -> ParsedBatch:
    """Consecutive records from position ``first``; the bytes of each say its position."""
    records = [
        ParsedRecord(position, f"record {position} of {source_id}".encode(), outcome)
        for position, outcome in enumerate(outcomes, first)
    ]
    return ParsedBatch(source_id, key, connector, "1", records)


@pytest.fixture
def login() -> Callable[..., Alert]:
    """Makes failed logins."""
    return _alert


@pytest.fixture
def batch_of() -> Callable[..., ParsedBatch]:
    """Makes batches."""
    return _batch
