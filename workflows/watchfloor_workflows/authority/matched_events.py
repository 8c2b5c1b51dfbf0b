"""The events that a Sigma rule matched in incidents, as they came in: what a filter of the rule would look at."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, bindparam, func, select

from watchfloor_connectors.detection.filters import named_fields
from watchfloor_core.store.originals import expand
from watchfloor_core.store.schema import alert, batch, batch_raw, detector, observation, record, shape

PRODUCT: Final = "sigma"
"""The detector whose alerts a Sigma filter can name."""
MAX_EVENTS: Final = 2_000
_PLACES: Final = (
    select(observation.c.incident_id, record.c.batch_id, record.c.position, record.c.fingerprint)
    .distinct()
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .join(detector, and_(detector.c.tenant == shape.c.tenant, detector.c.id == shape.c.detector_id))
    .join(
        alert,
        and_(
            alert.c.tenant == shape.c.tenant,
            alert.c.shape_id == shape.c.id,
            alert.c.event_us >= observation.c.first_us,
            alert.c.event_us <= observation.c.last_us,
        ),
    )
    .join(record, and_(record.c.tenant == alert.c.tenant, record.c.fingerprint == alert.c.fingerprint))
    .where(
        observation.c.tenant == bindparam("tenant"),
        observation.c.incident_id.in_(bindparam("incidents", expanding=True)),
        detector.c.product == PRODUCT,
        func.lower(detector.c.uid) == bindparam("uid"),
    )
    .order_by(record.c.batch_id, record.c.position)
    .limit(MAX_EVENTS + 1)
)
_EXPECTED: Final = (
    select(observation.c.incident_id, func.sum(observation.c.alerts).label("alerts"))
    .select_from(observation)
    .join(shape, and_(shape.c.tenant == observation.c.tenant, shape.c.id == observation.c.shape_id))
    .join(detector, and_(detector.c.tenant == shape.c.tenant, detector.c.id == shape.c.detector_id))
    .where(
        observation.c.tenant == bindparam("tenant"),
        observation.c.incident_id.in_(bindparam("incidents", expanding=True)),
        detector.c.product == PRODUCT,
        func.lower(detector.c.uid) == bindparam("uid"),
    )
    .group_by(observation.c.incident_id)
)
"""How many alerts of the rule each incident was made of, whether or not they are still kept."""
_RAW: Final = (
    select(batch.c.first_position, batch_raw.c.data, batch_raw.c.lengths)
    .join(batch_raw, batch_raw.c.batch_id == batch.c.id)
    .where(batch.c.tenant == bindparam("tenant"), batch.c.id == bindparam("batch_id"))
)


@dataclass(frozen=True, slots=True)
class MatchedEvent:
    """One of them."""

    incident_id: str
    title: str
    """The rule's, as the alert has it."""
    log_source: tuple[tuple[str, str], ...]
    """The rule's, by name; empty where the alert does not say."""
    event: Mapping[str, Any]
    host: tuple[str, str] | None
    others: tuple[tuple[str, str], ...]


def matched_events(
    connection: Connection, tenant: str, uid: str, incidents: Collection[str]
) -> tuple[MatchedEvent, ...] | None:
    """The events of the rule ``uid`` (lower case) in these incidents; None where not all of them can be looked at.

    They are too many, or retention has deleted one or its original, or that is not of the form that names its event.
    """
    if not incidents:
        return ()
    asked = {"tenant": tenant, "uid": uid, "incidents": sorted(incidents)}
    places = connection.execute(_PLACES, asked).all()
    if len(places) > MAX_EVENTS or not _is_complete(connection, asked, places):
        return None
    batches: dict[int, tuple[int, list[bytes]] | None] = {}
    found: list[MatchedEvent] = []
    for place in places:
        if place.batch_id not in batches:
            batches[place.batch_id] = _originals(connection, tenant, place.batch_id)
        originals = batches[place.batch_id]
        one = None if originals is None else _event(place.incident_id, originals[1], place.position - originals[0])
        if one is None:
            return None
        found.append(one)
    return tuple(found)


def _is_complete(connection: Connection, asked: Mapping[str, Any], places: Sequence[Any]) -> bool:
    """False where an incident was made of more alerts than are found: what is gone may be what a filter would hide."""
    kept: defaultdict[str, set[bytes]] = defaultdict(set)
    for place in places:
        kept[place.incident_id].add(bytes(place.fingerprint))
    return all(len(kept[row.incident_id]) >= row.alerts for row in connection.execute(_EXPECTED, asked))


def _originals(connection: Connection, tenant: str, batch_id: int) -> tuple[int, list[bytes]] | None:
    """The position of a batch's first record, and all of its records: one batch holds many of the events."""
    row = connection.execute(_RAW, {"tenant": tenant, "batch_id": batch_id}).one_or_none()
    if row is None:
        return None
    packed = expand(row.lengths)
    data, start, found = expand(row.data), 0, []
    for length in struct.unpack(f"<{len(packed) // 4}I", packed):
        found.append(data[start : start + length])
        start += length
    return row.first_position, found


def _event(incident_id: str, originals: list[bytes], index: int) -> MatchedEvent | None:
    if not 0 <= index < len(originals):
        return None
    try:
        original = json.loads(originals[index])
        rule, event = original["sigma"], dict(original["event"])
        source = tuple(sorted((str(name), str(value)) for name, value in (rule.get("logsource") or {}).items()))
        host, others = named_fields(event)
        return MatchedEvent(incident_id, str(rule["title"]), source, event, host, others)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
