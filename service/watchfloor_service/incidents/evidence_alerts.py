"""The alerts that a piece of evidence stands for, as the store has them now, and the record that one was made of.

They are no part of the evidence: its id commits to what was known when it was cited, and alerts go on coming.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, bindparam, func, select

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import NotFoundError
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.store.evidence import Use
from watchfloor_core.store.originals import load_raw
from watchfloor_core.store.schema import alert, batch_raw, observation, record
from watchfloor_core.untrusted import escape_untrusted

MAX_LINES: Final = 40
MAX_CHARACTERS: Final = 4_000
"""Of an original record, as shown."""

_OURS: Final = (
    observation.c.tenant == bindparam("tenant"),
    observation.c.incident_id == bindparam("incident"),
    observation.c.shape_id == bindparam("shape"),
)
_SUMMARY: Final = select(
    func.sum(observation.c.alerts).label("alerts"),
    func.min(observation.c.first_us).label("first_us"),
    func.max(observation.c.last_us).label("last_us"),
).where(*_OURS)
_ONE: Final = (
    select(alert.c.fingerprint, record.c.batch_id, record.c.position)
    .select_from(observation)
    .join(
        alert,
        and_(
            alert.c.tenant == observation.c.tenant,
            alert.c.tick == observation.c.tick,
            alert.c.shape_id == observation.c.shape_id,
        ),
    )
    # Of an alert's records, the one that made it.
    .outerjoin(
        record,
        and_(
            record.c.tenant == alert.c.tenant,
            record.c.fingerprint == alert.c.fingerprint,
            record.c.batch_id == alert.c.batch_id,
        ),
    )
    .outerjoin(batch_raw, batch_raw.c.batch_id == record.c.batch_id)
    .where(*_OURS)
    # One whose bytes are kept, where there is any.
    .order_by(batch_raw.c.batch_id.is_(None), alert.c.event_us, alert.c.fingerprint, record.c.position)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class AlertsBehind:
    """The alerts of one shape in one incident."""

    incident_id: str
    count: int
    first_us: int
    last_us: int
    fingerprint: bytes | None
    """Of one of them; None where none is kept in detail any more."""
    original: bytes | None
    """What it was made of, as it came in; None where retention has taken it."""


@dataclass(frozen=True, slots=True)
class AlertsView:
    """The same for programs."""

    incident_id: str
    count: int
    first: str
    last: str
    fingerprint: str | None
    original: str | None
    """Its first 4,000 characters, as they came; `alert show --json` has all bytes."""
    original_bytes: int | None
    """How long it is; None where it is not kept."""


def alerts_behind(
    connection: Connection, tenant: str, found: Evidence, uses: Sequence[Use]
) -> tuple[AlertsBehind, ...]:
    """For each incident that holds this alert, the latest investigated first; nothing for evidence of other kinds."""
    shape = _shape(found)
    if shape is None:
        return ()
    each = (_behind(connection, tenant, shape, incident) for incident in dict.fromkeys(use.incident_id for use in uses))
    return tuple(one for one in each if one is not None)


def alerts_view(behind: AlertsBehind) -> AlertsView:
    original = behind.original
    return AlertsView(
        incident_id=behind.incident_id,
        count=behind.count,
        first=to_iso(behind.first_us),
        last=to_iso(behind.last_us),
        fingerprint=None if behind.fingerprint is None else behind.fingerprint.hex(),
        original=None if original is None else _beginning(original)[:MAX_CHARACTERS],
        original_bytes=None if original is None else len(original),
    )


def shown_original(original: bytes) -> tuple[list[str], bool]:
    """The lines of a record that are shown, safe to look at, and whether they are all of it."""
    text = _beginning(original)
    # Of what ends a line only the line feed does: the others are shown.
    lines = [line.removesuffix("\r") for line in text[:MAX_CHARACTERS].removesuffix("\n").split("\n")]
    is_whole = len(text) <= MAX_CHARACTERS and len(lines) <= MAX_LINES
    return [escape_untrusted(line) for line in lines[:MAX_LINES]], is_whole


def _beginning(original: bytes) -> str:
    """One character more than is shown, where there are more."""
    # No character of UTF-8 has more than four bytes.
    return original[: 4 * (MAX_CHARACTERS + 1)].decode("utf-8", "replace")


def _shape(found: Evidence) -> bytes | None:
    shape = found.body.get("shape")
    if found.kind is not EvidenceKind.ALERT or not isinstance(shape, str):
        return None
    try:
        return bytes.fromhex(shape)
    except ValueError:
        return None


def _behind(connection: Connection, tenant: str, shape: bytes, incident_id: str) -> AlertsBehind | None:
    asked = {"tenant": tenant, "incident": incident_id, "shape": shape}
    summary = connection.execute(_SUMMARY, asked).one()
    if summary.alerts is None:
        return None
    one = connection.execute(_ONE, asked).one_or_none()
    original = None
    if one is not None and one.position is not None:
        try:
            original = load_raw(connection, tenant, one.batch_id, one.position)
        except NotFoundError:
            original = None
    return AlertsBehind(
        incident_id=incident_id,
        count=int(summary.alerts),
        first_us=summary.first_us,
        last_us=summary.last_us,
        fingerprint=None if one is None else bytes(one.fingerprint),
        original=original,
    )
