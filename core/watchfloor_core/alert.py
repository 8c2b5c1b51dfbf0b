"""An alert: one detection from a sensor, in the terms of OCSF *Detection Finding* (class 2004).

Values are frozen and cheap: hundreds of thousands of them pass through ingest in one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Integrity(IntEnum):
    """Who could have written a field. A larger value is trusted less."""

    POLICY = 0
    """Signed operator policy."""
    HUMAN = 1
    """An authenticated person."""
    SENSOR = 2
    """The sensor itself: its clock, its rule id, the host it watches."""
    DERIVED = 3
    """Computed from sensor fields."""
    EXTERNAL = 4
    """Attacker-authored: command line, user agent, file name, URL, mail subject, DNS name, failed-login user."""


class Severity(IntEnum):
    """OCSF ``severity_id``."""

    UNKNOWN = 0
    INFORMATIONAL = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5
    FATAL = 6
    OTHER = 99


class EntityKind(StrEnum):
    """What an entity (OCSF observable) is."""

    HOST = "host"
    USER = "user"
    IP = "ip"
    DOMAIN = "domain"
    URL = "url"
    FILE = "file"
    FILE_HASH = "file_hash"
    PROCESS = "process"
    MAILBOX = "mailbox"
    RESOURCE = "resource"
    """A cloud resource: account, bucket, instance, key, application."""


class EntityRole(StrEnum):
    """The part an entity plays in an alert."""

    TARGET = "target"
    """The asset on which it happened; the first host with this role is the alert's asset."""
    ACTOR = "actor"
    """Who or what did it."""
    RELATED = "related"
    OBSERVER = "observer"
    """The sensor's own host: it never joins alerts."""


class TimePrecision(StrEnum):
    """The precision in which the source gave its time."""

    SECOND = "s"
    MILLISECOND = "ms"
    MICROSECOND = "us"
    NANOSECOND = "ns"


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity as an alert names it."""

    kind: EntityKind
    value: str
    """Normalised: host, user and domain names in lower case, IP addresses in RFC 5952 form, hashes in lower case."""
    role: EntityRole = EntityRole.RELATED
    integrity: Integrity = Integrity.SENSOR


@dataclass(frozen=True, slots=True)
class Attribute:
    """A further field that an analyst or agent may want to see, with who could have written it."""

    name: str
    value: str
    integrity: Integrity


@dataclass(frozen=True, slots=True)
class Detector:
    """The rule or model that raised the alert."""

    product: str
    """The sensor in lower case, e.g. ``suricata``; alerts of different products corroborate each other."""
    uid: str
    """The rule's stable id within the product; the title where the product has no id."""
    title: str
    category: str | None = None
    """The product's own rule group, e.g. ``web-application-attack``."""
    tactics: tuple[str, ...] = ()
    """ATT&CK tactic ids (``TA0006``)."""
    techniques: tuple[str, ...] = ()
    """ATT&CK technique ids (``T1110.001``)."""


@dataclass(frozen=True, slots=True)
class DedupKey:
    """Why two records are the same alert: equal values of the named fields inside one window of event time."""

    fields: tuple[str, ...]
    """Names of what is compared: ``native_uid``, or ``detector``, ``entities``, ``attributes``."""
    window_s: int
    """Event time is cut into windows of so many seconds; 0 where ``native_uid`` alone decides."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One normalised detection."""

    connector: str
    detector: Detector
    severity: Severity
    event_us: int
    """Event time, microseconds since the Unix epoch, UTC."""
    precision: TimePrecision
    entities: tuple[Entity, ...]
    attributes: tuple[Attribute, ...] = ()
    native_uid: str | None = None
    """The vendor's id of this very alert, where it gives one."""
    dedup: DedupKey = DedupKey(("detector", "entities", "attributes"), 1)

    @property
    def asset(self) -> Entity | None:
        """The asset on which it happened: the first target host, else the first target, else the first host."""
        targets = [entity for entity in self.entities if entity.role is EntityRole.TARGET]
        hosts = [entity for entity in targets if entity.kind is EntityKind.HOST]
        if hosts:
            return hosts[0]
        if targets:
            return targets[0]
        return next(
            (e for e in self.entities if e.kind is EntityKind.HOST and e.role is not EntityRole.OBSERVER),
            None,
        )
