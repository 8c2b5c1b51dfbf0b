"""What correlation works on: shapes, groups of equal alerts within one tick, and incidents that still take alerts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from watchfloor_agents.triage import scoring
from watchfloor_agents.triage.baseline import Surprise
from watchfloor_agents.triage.features import Features
from watchfloor_core.incident import IncidentKind
from watchfloor_core.ports import Json

MAX_LINKS: Final = 256


@dataclass(frozen=True, slots=True)
class Link:
    """An entity by which alerts may be joined."""

    entity_id: bytes
    kind: str
    value: str
    weight: float
    """0–1: how well its kind and integrity identify one actor or victim."""
    is_alias: bool = False
    """A shorter name for an entity that the alert names in full."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Everything about an alert but its time."""

    id: bytes
    detector_id: bytes
    product: str
    title: str
    severity: int
    tactics: tuple[str, ...]
    asset_id: bytes
    """Empty where the alert names no asset."""
    asset: str
    is_asset_external: bool
    """The attacker could have written the asset's name: what is normal for it proves nothing."""
    tier: int | None
    users: tuple[bytes, ...]
    """Users named by the sensor, for whom novelty is judged."""
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Equal alerts of one tick."""

    tick: int
    shape: Shape
    alerts: int
    first_us: int
    last_us: int
    is_late: bool


@dataclass(frozen=True, slots=True)
class Join:
    """Why an observation is in its incident."""

    rule: str
    """``opened``, ``shared_entity``, ``same_detector_spreads``, ``routine``, ``context``."""
    text: str
    entity: str | None = None
    weight: float = 1.0
    seconds: int = 0
    """Event time since the incident last saw that entity."""

    def to_json(self) -> dict[str, Json]:
        return {
            "rule": self.rule,
            "text": self.text,
            "entity": self.entity,
            "weight": round(self.weight, 3),
            "seconds": self.seconds,
        }


@dataclass(slots=True)
class Observation:
    """A group, judged and placed."""

    group: Group
    surprise: Surprise
    incident_id: str
    revision: int
    join: Join


@dataclass(slots=True)
class OpenIncident:
    """An incident that event time has not yet passed, or that waits for its second look."""

    id: str
    kind: IncidentKind
    opened_tick: int
    last_tick: int
    """Last tick with an observation that was not context."""
    first_us: int
    last_us: int
    features: Features
    asset_id: bytes = b""
    """Of a routine incident: its asset."""
    alert_count: int = 0
    severity: int = 0
    revision: int = 0
    emitted: int = 0
    """Latest revision that was handed to the workflow."""
    is_sealed: bool = False
    is_hot: bool = False
    """Believed to be an attack: its assets are under suspicion."""
    hindsight_tick: int | None = None
    links: dict[str, int] = field(default_factory=dict)
    """Link (hex) → tick in which it was last seen."""
    alarms: dict[str, int] = field(default_factory=dict)
    """Asset (hex) → tick of its latest salient observation."""
    reclaimed_by: str | None = None
    """Of a routine incident: the incident that took alerts out of it as context, last."""
    merged_into: str | None = None
    changed_tick: int = -1

    def touch(self, tick: int, *, is_late: bool = False) -> None:
        """Count one change of content per tick, however many observations it has; each late one is a change."""
        if self.changed_tick != tick or is_late:
            self.changed_tick = tick
            self.revision += 1

    def remember(self, link: str, tick: int) -> str | None:
        """Returns the link that was forgotten for it, the one seen longest ago; that may be this very link."""
        self.links[link] = max(tick, self.links.get(link, tick))
        if len(self.links) <= MAX_LINKS:
            return None
        lost = min(self.links, key=lambda key: (self.links[key], key))
        del self.links[lost]
        return lost

    def raise_alarm(self, asset: bytes, tick: int) -> None:
        key = asset.hex()
        self.alarms[key] = max(tick, self.alarms.get(key, tick))
        if len(self.alarms) > MAX_LINKS:
            del self.alarms[min(self.alarms, key=lambda key: (self.alarms[key], key))]

    def fold_json(self) -> dict[str, Json]:
        """What correlation needs to go on after a restart."""
        return {
            "opened_tick": self.opened_tick,
            "last_tick": self.last_tick,
            "asset_id": self.asset_id.hex(),
            "emitted": self.emitted,
            "is_hot": self.is_hot,
            "hindsight_tick": self.hindsight_tick,
            "reclaimed_by": self.reclaimed_by,
            "links": dict(self.links),
            "alarms": dict(self.alarms),
            "changed_tick": self.changed_tick,
        }

    @property
    def title(self) -> str:
        """After the detector that says most, of sensors' own words; shown quoted."""
        strongest = max(self.features.detectors.values(), key=scoring.telling_order, default=None)
        asset = strongest.asset if strongest else "unknown"
        if self.kind is IncidentKind.ROUTINE:
            return f"Routine alerts on {asset}"
        more = len(self.features.assets) - 1
        return f"{strongest.title if strongest else 'Alerts'} on {asset}" + (f" and {more} more" if more > 0 else "")
