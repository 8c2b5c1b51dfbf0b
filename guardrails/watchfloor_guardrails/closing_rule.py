"""Deterministic closing rules: what an operator has decided once, for every alert of one kind.

A rule matches on fields that the sensor itself wrote, exactly, and only until a date. It closes an incident only where
it matches every alert in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from pydantic import JsonValue

from watchfloor_core.alert import Detector, Entity, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import Verdict
from watchfloor_guardrails.selector import NameMatch

SENSOR_KINDS: Final = (
    EntityKind.HOST,
    EntityKind.USER,
    EntityKind.IP,
    EntityKind.FILE_HASH,
    EntityKind.RESOURCE,
)
"""Kinds of entity that a rule may name. URLs, file names, domains, processes and mailboxes are chosen by attackers, who
could close an incident through a rule on one of them."""

_DAY_US: Final = 86_400_000_000
_EPOCH: Final = date(1970, 1, 1)


def severity_rank(severity: Severity) -> int:
    """For comparison: an unknown severity counts as medium, a vendor's own (OCSF ``Other``) as the worst."""
    return Severity.MEDIUM if severity is Severity.UNKNOWN else severity


@dataclass(frozen=True, slots=True)
class EntityMatch:
    """One entity by its exact, normalised value."""

    kind: EntityKind
    value: str

    def matches(self, entity: Entity) -> bool:
        # The same kind of field can be the sensor's in one alert and the attacker's in another (the user of a failed
        # login), so the label of the very field counts.
        return entity.kind is self.kind and entity.value == self.value and entity.integrity < Integrity.EXTERNAL

    @property
    def content(self) -> JsonValue:
        return {"kind": self.kind.value, "value": self.value}


@dataclass(frozen=True, slots=True)
class RuleSubject:
    """One distinct alert of an incident, as far as a rule may look at it."""

    detector: Detector
    severity: Severity
    asset: Entity | None
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """What a rule matches on; every part that is given must hold."""

    tenant: NameMatch | None = None
    product: str | None = None
    uid: str | None = None
    title: str | None = None
    asset: EntityMatch | None = None
    entity: EntityMatch | None = None
    """An entity in any role but the observer's."""
    severity_max: Severity = Severity.MEDIUM

    def matches(self, subject: RuleSubject) -> bool:
        detector = subject.detector
        return (
            self.product in (None, detector.product)
            and self.uid in (None, detector.uid)
            and self.title in (None, detector.title)
            and severity_rank(subject.severity) <= self.severity_max
            and (self.asset is None or (subject.asset is not None and self.asset.matches(subject.asset)))
            and (
                self.entity is None
                or any(
                    self.entity.matches(entity) for entity in subject.entities if entity.role is not EntityRole.OBSERVER
                )
            )
        )


@dataclass(frozen=True, slots=True)
class ClosingRule:
    """One rule of the operator."""

    id: str
    verdict: Verdict
    """BenignPositive or FalsePositive."""
    reason: str
    expires: date
    """The last day, in UTC, on which it matches."""
    match: RuleMatch

    def __post_init__(self) -> None:
        if not self.verdict.is_benign:
            raise ConfigurationError(f"rule {self.id!r} says {self.verdict}; a rule closes only on a benign verdict")

    def is_expired(self, now_us: int) -> bool:
        """``now_us``: microseconds since the Unix epoch."""
        return now_us >= ((self.expires - _EPOCH).days + 1) * _DAY_US

    def covers_tenant(self, tenant: str) -> bool:
        return self.match.tenant is None or self.match.tenant.matches(tenant)

    @property
    def content(self) -> JsonValue:
        """What it says, for the digest of the policy."""
        match = self.match
        return {
            "id": self.id,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "expires": self.expires.isoformat(),
            "tenant": None if match.tenant is None else match.tenant.content,
            "product": match.product,
            "uid": match.uid,
            "title": match.title,
            "asset": None if match.asset is None else match.asset.content,
            "entity": None if match.entity is None else match.entity.content,
            "severity_max": match.severity_max,
        }


def matching_rule(
    rules: Sequence[ClosingRule], tenant: str, subjects: Sequence[RuleSubject], now_us: int
) -> ClosingRule | None:
    """The first rule that is in force and matches every alert of an incident; none does where there are no alerts."""
    if not subjects:
        return None
    return next(
        (
            rule
            for rule in rules
            if rule.covers_tenant(tenant)
            and not rule.is_expired(now_us)
            and all(rule.match.matches(subject) for subject in subjects)
        ),
        None,
    )
