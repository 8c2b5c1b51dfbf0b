"""What triage weighs about an incident: written by correlation as of one revision, of bounded size.

Verdicts depend on these features alone (and on people's verdicts), never on what the store holds at the moment when
a worker happens to look. That makes a replay of five days give the verdicts of the live stream.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from watchfloor_agents.triage.baseline import Surprise
from watchfloor_core.ports import Json

MAX_DETECTORS: Final = 48
MAX_ASSETS: Final = 64
MAX_ASSETS_PER_DETECTOR: Final = 12


@dataclass(slots=True)
class DetectorEvidence:
    """What one detector contributed: its most surprising observation within the incident."""

    detector_id: str
    """Hex."""
    product: str
    title: str
    severity: int
    tactics: list[str]
    asset_id: str
    """Hex; where the most surprising observation was made."""
    asset: str
    is_asset_external: bool
    """The attacker could have written the asset's name; sticky, once one such observation was among them."""
    arrival: float
    volume: float
    expected_per_day: float
    hours_seen: float
    hour_total: int
    louder_hours: float
    first_us: int
    last_us: int
    alerts: int
    assets: list[str] = field(default_factory=list)

    @property
    def total(self) -> float:
        return self.arrival + self.volume if self.arrival > 0 else self.volume + self.arrival / 2

    def rejudge(self, surprise: Surprise) -> None:
        """Put another surprise in place of the one that is held."""
        self.arrival, self.volume = surprise.arrival, surprise.volume
        self.expected_per_day, self.hours_seen = surprise.expected_per_day, surprise.hours_seen
        self.hour_total, self.louder_hours = surprise.hour_total, surprise.louder_hours


@dataclass(slots=True)
class Features:
    """All that an assessment may rest on."""

    kind: str
    exposure_days: float
    """Days of watching behind the surprises, the old ones counted less."""
    detectors: dict[str, DetectorEvidence] = field(default_factory=dict)
    """By detector id, hex."""
    detectors_dropped: int = 0
    """Detectors beyond the bound; those held are the most surprising."""
    assets: dict[str, int] = field(default_factory=dict)
    """Asset value → alerts."""
    assets_dropped: int = 0
    tier: int | None = None
    """Most critical tier of its assets in the inventory; none where no asset is listed."""
    context_alerts: int = 0
    """Alerts within the learned normal that are held with the incident because their asset is under suspicion."""
    late_alerts: int = 0
    hindsight_us: int | None = None
    """Event time of the last second look, if there was one."""

    def add(self, evidence: DetectorEvidence) -> bool:
        """Take in one observation; True where it brings a detector that the incident had not."""
        held = self.detectors.get(evidence.detector_id)
        if held is None:
            self.detectors[evidence.detector_id] = evidence
            self._bound()
            return evidence.detector_id in self.detectors
        for asset in evidence.assets:
            if asset not in held.assets and len(held.assets) < MAX_ASSETS_PER_DETECTOR:
                held.assets.append(asset)
        held.alerts += evidence.alerts
        held.first_us = min(held.first_us, evidence.first_us)
        held.last_us = max(held.last_us, evidence.last_us)
        held.severity = max(held.severity, evidence.severity)
        held.is_asset_external = held.is_asset_external or evidence.is_asset_external
        if evidence.total > held.total:
            held.arrival, held.volume = evidence.arrival, evidence.volume
            held.expected_per_day, held.hours_seen = evidence.expected_per_day, evidence.hours_seen
            held.hour_total, held.louder_hours = evidence.hour_total, evidence.louder_hours
            held.asset_id, held.asset = evidence.asset_id, evidence.asset
        return False

    def count_asset(self, asset: str, alerts: int) -> None:
        if asset in self.assets or len(self.assets) < MAX_ASSETS:
            self.assets[asset] = self.assets.get(asset, 0) + alerts
        else:
            self.assets_dropped += 1

    def absorb(self, other: Features) -> None:
        """Take in the features of an incident that is merged into this one."""
        for evidence in other.detectors.values():
            self.add(replace(evidence, assets=list(evidence.assets)))
        for asset, alerts in other.assets.items():
            self.count_asset(asset, alerts)
        self.exposure_days = max(self.exposure_days, other.exposure_days)
        self.context_alerts += other.context_alerts
        self.late_alerts += other.late_alerts
        tiers = [tier for tier in (self.tier, other.tier) if tier is not None]
        self.tier = min(tiers, default=None)

    def _bound(self) -> None:
        if len(self.detectors) > MAX_DETECTORS:
            weakest = min(self.detectors.values(), key=lambda held: (held.total, held.detector_id))
            del self.detectors[weakest.detector_id]
            self.detectors_dropped += 1

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Features:
        """`data` is what `to_json` gave; the store's JSON columns are untyped."""
        fields = dict(data)
        detectors = {key: DetectorEvidence(**value) for key, value in fields.pop("detectors").items()}
        return cls(detectors=detectors, **fields)
