"""When two records are the same alert, and what two alerts have in common.

The *fingerprint* is an alert's identity: records that share it are one alert. The *shape* is everything about an alert
but its time; a flood repeats few shapes. Both are content digests, so every process and replay finds the same.
"""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import Final

from watchfloor_core.alert import Alert, DedupKey
from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.identity import digest16
from watchfloor_core.store.explanation import DedupExplanation, DedupRecord, explain

__all__ = [
    "FIELDS",
    "DedupExplanation",
    "DedupRecord",
    "Identity",
    "comparison",
    "explain",
    "fingerprint",
    "shape_id",
]

FIELDS: Final = frozenset({"native_uid", "detector", "entities", "attributes"})
"""What a connector may name in `DedupKey.fields`; ``detector`` includes the severity and is always compared."""

_CONTENT: Final = ("detector", "entities", "attributes")


def fingerprint(tenant: str, alert: Alert) -> bytes:  # noqa: ARG001  # the tenant keys the row, not the digest
    """16 bytes that are equal for records of the same alert, the same in every tenant.

    Where the vendor's id decides, they stand for connector and id; else for connector, window length, the compared
    fields and the start of the window that the event time falls in (the exact time for window 0), and sort by it.

    Raises `ConfigurationError` where the connector declares a comparison that does not exist.
    """
    return Identity.of(alert).fingerprint(alert)


def shape_id(alert: Alert) -> bytes:
    """16 bytes that stand for all of an alert but its time and the vendor's id."""
    return Identity.of(alert).shape_id


def comparison(alert: Alert) -> DedupKey:
    """What decides for this very alert: the vendor's id alone where it is named and given, else the content."""
    rule = alert.dedup
    if "native_uid" not in rule.fields:
        return rule
    if alert.native_uid is not None:
        return DedupKey(("native_uid",), 0)
    # Without the id, a declaration that names nothing else must not make one alert of all that a detector raises.
    return DedupKey(tuple(name for name in rule.fields if name != "native_uid") or _CONTENT, rule.window_s)


def in_time_order(event_us: int, digest: bytes) -> bytes:
    """16 bytes: the second of event time, and 12 of the digest.

    So alerts that come together lie together in the indexes. With digests alone, every row of a batch lands on a page
    of its own: at a million alerts, measured on SQLite, a batch wrote some 60 MB and took nine times as long as at
    the start.
    """
    seconds = event_us // MICROSECONDS
    try:
        head = seconds.to_bytes(4, "big")
    except OverflowError:  # before 1970 or after 2106
        head = b"\x00\x00\x00\x00" if seconds < 0 else b"\xff\xff\xff\xff"
    return head + digest[:12]


class Identity:
    """The digests of everything in an alert but time and native uid: computed once for the many that repeat it."""

    __slots__ = ("_connector", "_is_native", "_prefix", "_window_us", "rule", "shape_id")

    def __init__(self, alert: Alert) -> None:
        unknown = sorted(set(alert.dedup.fields) - FIELDS)
        if unknown or not alert.dedup.fields or alert.dedup.window_s < 0:
            raise ConfigurationError(
                f"connector {alert.connector!r} declares dedup by {alert.dedup.fields!r} in windows of "
                f"{alert.dedup.window_s} s; expected fields of {sorted(FIELDS)} and a window of 0 or more"
            )
        rule = comparison(alert)
        # Enum members are the text that they stand for; taking `.value` of each would cost as much as the hashing.
        detector = (alert.detector.product, alert.detector.uid, str(int(alert.severity)))
        entities = sorted((e.kind, e.value, e.role, chr(48 + e.integrity)) for e in alert.entities)
        attributes = sorted((a.name, a.value, chr(48 + a.integrity)) for a in alert.attributes)
        asset = alert.asset
        fields = ",".join(sorted(rule.fields))
        window = str(rule.window_s)
        self.rule: Final = rule
        self.shape_id: Final = digest16(
            "shape",
            *detector,
            *(("", "") if asset is None else (asset.kind, asset.value)),
            # The rule is part of it, so that a shape says how its records were compared.
            fields,
            window,
            str(len(entities)),
            *chain.from_iterable(entities),
            *chain.from_iterable(attributes),
        )
        self._connector: Final = alert.connector
        self._is_native: Final = rule.fields == ("native_uid",)
        self._window_us: Final = rule.window_s * MICROSECONDS
        # Labels are left out: a connector that learns to label better still sees the same alerts.
        compared_entities = [entity[:3] for entity in entities] if "entities" in rule.fields else []
        compared_attributes = [attribute[:2] for attribute in attributes] if "attributes" in rule.fields else []
        self._prefix: Final = digest16(
            "alert",
            alert.connector,
            *detector,
            fields,
            window,
            str(len(compared_entities)),
            *chain.from_iterable(compared_entities),
            *chain.from_iterable(compared_attributes),
        )

    def fingerprint(self, alert: Alert) -> bytes:
        """The fingerprint of an alert with this identity."""
        if self._is_native:
            assert alert.native_uid is not None  # noqa: S101  # told apart in `of`, and told to the type checker here
            # No time in it: the vendor sends the same alert again with another one.
            return digest16("alert", self._connector, alert.native_uid)
        event_us = alert.event_us
        if self._window_us:
            event_us -= event_us % self._window_us
        digest = hashlib.sha256(self._prefix + event_us.to_bytes(12, "big", signed=True)).digest()
        return in_time_order(event_us, digest)

    @classmethod
    def of(cls, alert: Alert) -> Identity:
        """The identity of an alert, from memory where its parts are the very objects of an earlier one.

        Connectors reuse the detector, entities and attributes of rows that repeat, so that objects need only be
        recognised, not compared.
        """
        key = (
            id(alert.detector),
            id(alert.entities),
            id(alert.attributes),
            id(alert.severity),
            id(alert.dedup),
            alert.native_uid is None,
            alert.connector,
        )
        known = _recent.get(key)
        if known is not None:
            return known[0]
        identity = cls(alert)
        if len(_recent) >= _RECENT_LIMIT:
            _recent.clear()
        # The parts are kept with the entry, so that no other object can take over their addresses.
        _recent[key] = (identity, (alert.detector, alert.entities, alert.attributes, alert.severity, alert.dedup))
        return identity


_RECENT_LIMIT: Final = 8192
_recent: dict[tuple[object, ...], tuple[Identity, tuple[object, ...]]] = {}
