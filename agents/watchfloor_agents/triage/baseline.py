"""What is normal here: how often each detector speaks, on which asset, at which hour, and how much.

The unit is the *active hour*: an hour of event time in which a detector raised anything on an asset. Counting hours,
not alerts, makes a chatty rule and a quiet one comparable and keeps a flood from teaching that floods are normal.

- Arrival: active hours per day of (detector, asset) follow a Gamma-Poisson model whose prior mean is the detector's
  own rate over all assets, whose prior mean in turn is a weak one. A pair never seen borrows from the detector's other
  assets; a detector never seen is surprising only once the organisation has been watched for a while. That is the
  cold start: with no exposure the posterior equals the prior and surprise is zero.
- Volume: the total of an hour is compared with the pair's own past hourly totals, in powers of two, with a heavy-tailed
  prior. Bins instead of moments, because alert counts have no useful variance.
- Season: each detector's profile over the hours of the day scales its rate, shrunk to flat.

- Subject: the same model for (detector, user), so that a rule which is usual on a server still stands out for an
  account that never raised it.

Everything is a fold over event time: the same alerts in the same ticks give the same state, whatever the batches.
State is bounded: least recently active keys are dropped, by (hour, key), beyond the limits below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from watchfloor_core.ports import Json

VERSION: Final = "1"
"""Changes when kept state would be read otherwise."""

HOURS_PER_DAY: Final = 24
PRIOR_DAYS: Final = 0.5
"""Weight of every prior, as days of exposure."""
ATTACK_RATE: Final = 0.5
"""Active hours a day that a detector is given under attack; also the rate of what nobody has seen yet."""
HALF_LIFE_DAYS: Final = 30.0
"""What was normal a month ago counts half."""
BINS: Final = 20
"""Bins of hourly totals: [1], [2,3], [4…7], … in powers of two."""
TAIL_DECAY: Final = 0.75
TAIL_WEIGHT: Final = 8.0
"""Prior of an hourly total: P(bin >= b) = TAIL_DECAY ** b, worth so many hours of evidence."""
ATTACK_TAIL: Final = 0.3
"""Share of attack hours that are at least this loud."""
SEASON_PRIOR: Final = 3.0
"""Active hours per hour of the day that the flat profile is worth."""
COMMON_LINK_RATE: Final = 6.0
"""Active hours a day at which an entity is half as telling."""
USER_DISCOUNT: Final = 0.5
MAX_LOG_ODDS: Final = 4.0
MIN_VOLUME: Final = 4
"""An hour of fewer alerts is never loud."""

MAX_PAIRS: Final = 50_000
MAX_DETECTORS: Final = 10_000
MAX_LINKS: Final = 50_000
MAX_BESIDE: Final = 16


def _decayed(days: float) -> float:
    return float(2.0 ** (-days / HALF_LIFE_DAYS))


def exposure(days: float) -> float:
    """Days of watching, the old ones counted less: the integral of the decay over `days`."""
    return HALF_LIFE_DAYS / math.log(2) * (1 - _decayed(max(0.0, days)))


@dataclass(slots=True)
class Activity:
    """Active hours of one key, with decay; the current hour is folded in when a later one begins."""

    first_hour: int
    hour: int
    """The latest active hour."""
    count: int = 0
    """Alerts within that hour so far; of a detector: assets on which it is active in that hour."""
    hours: float = 0.0
    """Decayed number of earlier active hours."""
    bins: list[float] = field(default_factory=list)
    """Decayed histogram of earlier hourly totals; empty where the volume is not watched."""
    is_suspect: bool = False
    """The current hour was part of what is believed to be an attack: it is not learned."""

    def roll(self, hour: int, *, worth: float = 1.0, with_bins: bool = False) -> bool:
        """Begin a new active hour; False where `hour` is the current one or, for a late alert, an earlier one.

        The hour that ends adds `worth` active hours.
        """
        if hour <= self.hour and self.count:
            return False
        if self.count:
            factor = _decayed((hour - self.hour) / HOURS_PER_DAY)
            self.hours = (self.hours + (0.0 if self.is_suspect else worth)) * factor
            if with_bins:
                if not self.bins:
                    self.bins = [0.0] * BINS
                self.bins[volume_bin(self.count)] += 0.0 if self.is_suspect else 1.0
                self.bins = [value * factor for value in self.bins]
        self.hour, self.count, self.is_suspect = hour, 0, False
        return True

    def to_json(self) -> list[Json]:
        return [self.first_hour, self.hour, self.count, self.hours, list(self.bins), self.is_suspect]

    @classmethod
    def from_json(cls, data: Sequence[Any]) -> Activity:
        """`data` is what `to_json` gave; the store's JSON columns are untyped."""
        first_hour, hour, count, hours, bins, is_suspect = data
        totals = [float(value) for value in bins]
        return cls(int(first_hour), int(hour), int(count), float(hours), totals, bool(is_suspect))


def volume_bin(count: int) -> int:
    return min(BINS - 1, count.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Surprise:
    """How unusual one observation is against the learned normal, as natural-log odds of attack to routine."""

    arrival: float
    """That the detector speaks here now at all; negative where it is expected."""
    volume: float
    """That it speaks so much; never negative."""
    expected_per_day: float
    """Active hours a day that the model expected."""
    hours_seen: float
    """Active hours of this detector on this asset before now, decayed."""
    detector_hours: float
    """The same over all assets."""
    hour_total: int
    """Alerts of this detector on this asset in the current hour so far."""
    louder_hours: float
    """Earlier hours at least as loud, decayed."""
    exposure_days: float
    """Days of watching behind this."""
    is_new_for_user: bool = False
    """The arrival is that of the user, who is the more surprising part."""

    @property
    def total(self) -> float:
        return self.arrival + self.volume if self.arrival > 0 else self.volume + self.arrival / 2


Key = tuple[bytes, bytes]
K = TypeVar("K")
OrderedK = TypeVar("OrderedK", bytes, Key)


class Baseline:
    """The learned normal of one tenant."""

    def __init__(self) -> None:
        self.start_hour: int | None = None
        self.pairs: dict[Key, Activity] = {}
        """(detector, asset) → activity, with volumes."""
        self.detectors: dict[bytes, Activity] = {}
        """Detector → hours summed over its assets."""
        self.seasons: dict[bytes, list[float]] = {}
        """Detector → active hours by hour of the day."""
        self.assets: dict[bytes, int] = {}
        """Asset → hour in which it was first seen."""
        self.users: dict[Key, Activity] = {}
        """(detector, user) → activity."""
        self.links: dict[bytes, Activity] = {}
        """Entity → hours with unusual observations that name it."""
        self.beside: dict[bytes, list[bytes]] = {}
        """Entity → assets on which those were, up to a bound."""
        self.dirty: set[tuple[str, bytes, bytes]] = set()

    def days_watched(self, hour: int) -> float:
        """Event time since the first alert, in days."""
        return 0.0 if self.start_hour is None else max(0.0, (hour - self.start_hour) / HOURS_PER_DAY)

    def observe(self, detector: bytes, asset: bytes, users: Sequence[bytes], hour: int, alerts: int) -> Surprise:
        """Judge one observation against what was known before it, then learn from it."""
        if self.start_hour is None:
            self.start_hour = hour
            self.dirty.add(("tenant", b"", b""))
        if asset not in self.assets:
            self.assets[asset] = hour
            self.dirty.add(("asset", asset, b""))
        pair = self._activity(self.pairs, (detector, asset), hour)
        overall = self._activity(self.detectors, detector, hour)
        if pair.roll(hour, with_bins=True):
            self._learn_hour(detector, overall, hour)
        pair.count += alerts
        self.dirty.add(("pair", detector, asset))
        surprise = self.judge(detector, asset, hour)
        for user in users:
            surprise = self._with_user(surprise, detector, user, hour, alerts)
        return surprise

    def judge(self, detector: bytes, asset: bytes, hour: int, hour_total: int | None = None) -> Surprise:
        """The surprise of a pair that has been observed, as of now; `hour_total` judges another hour's volume."""
        pair, overall = self.pairs.get((detector, asset)), self.detectors.get(detector)
        if pair is None or overall is None:
            pair, overall = pair or Activity(hour, hour), overall or Activity(hour, hour)
        watched = exposure(self.days_watched(hour))
        on_asset = exposure(max(0, hour - self.assets.get(asset, hour)) / HOURS_PER_DAY)
        detector_rate = self._rate(overall.hours / max(1, len(self.assets)), ATTACK_RATE, watched)
        rate = self._rate(pair.hours, detector_rate, on_asset) * self._season(detector, hour)
        total = pair.count if hour_total is None else hour_total
        louder, volume = _volume(pair.bins, total)
        return Surprise(_arrival(rate), volume, rate, pair.hours, overall.hours, total, louder, watched)

    def distrust(self, detector: bytes, asset: bytes) -> None:
        """Do not learn this pair's current hour: an attack must not become normal by going on.

        Only people's verdicts make normal what is believed to be an attack.
        """
        pair, overall = self.pairs[detector, asset], self.detectors[detector]
        if not pair.is_suspect:
            pair.is_suspect = True
            overall.count = max(0, overall.count - 1)
            self.dirty.add(("pair", detector, asset))
            self.dirty.add(("detector", detector, b""))

    def link(self, entity: bytes, asset: bytes, hour: int) -> float:
        """How telling an entity is as a link, 0–1, before this use of it; then count the use.

        An entity that shows up in many unusual observations, or beside many assets (a proxy, a domain controller, a
        scanner), would join what does not belong together.
        """
        seen = self._activity(self.links, entity, hour)
        seen.roll(hour)
        past = seen.hours * _decayed(max(0, hour - seen.hour) / HOURS_PER_DAY)
        rate = self._rate(past, ATTACK_RATE, exposure(self.days_watched(hour)))
        beside = self.beside.setdefault(entity, [])
        telling = 1 / (1 + rate / COMMON_LINK_RATE) / (1 + max(0, len(beside) - 2) / 3)
        seen.count += 1
        if asset not in beside and len(beside) < MAX_BESIDE:
            beside.append(asset)
        self.dirty.add(("link", entity, b""))
        return telling

    def _with_user(self, surprise: Surprise, detector: bytes, user: bytes, hour: int, alerts: int) -> Surprise:
        """The more surprising of asset and user; a user counts a little less, there being more of them."""
        key = (detector, user)
        seen = self._activity(self.users, key, hour)
        seen.roll(hour)
        seen.count += alerts
        self.dirty.add(("user", detector, user))
        overall = self.detectors[detector]
        watched = surprise.exposure_days
        spread = max(1, len(self.assets))
        rate = self._rate(seen.hours, self._rate(overall.hours / spread, ATTACK_RATE, watched), watched)
        arrival = _arrival(rate) - USER_DISCOUNT
        if arrival <= surprise.arrival:
            return surprise
        return replace(surprise, arrival=arrival, hours_seen=seen.hours, expected_per_day=rate, is_new_for_user=True)

    @staticmethod
    def _rate(hours: float, prior: float, watched: float) -> float:
        """Posterior mean of a Gamma-Poisson rate, active hours a day."""
        return (hours + PRIOR_DAYS * prior) / (watched + PRIOR_DAYS)

    @staticmethod
    def _activity(table: dict[K, Activity], key: K, hour: int) -> Activity:
        found = table.get(key)
        if found is None:
            found = table[key] = Activity(hour, hour)
        return found

    def _learn_hour(self, detector: bytes, overall: Activity, hour: int) -> None:
        """One more asset on which this detector is active in this hour.

        Assets of one hour count only from the next hour on: a thing that spreads is not normal because it spreads.
        """
        before = overall.hour
        spread = overall.count
        if overall.roll(hour, worth=float(spread)) and spread:
            self.seasons.setdefault(detector, [0.0] * HOURS_PER_DAY)[before % HOURS_PER_DAY] += spread
        overall.count += 1
        self.dirty.add(("detector", detector, b""))

    def _season(self, detector: bytes, hour: int) -> float:
        """How much busier than its mean hour this detector is at this hour of the day, 1/4 to 4."""
        profile = self.seasons.get(detector)
        if profile is None:
            return 1.0
        factor = HOURS_PER_DAY * (profile[hour % HOURS_PER_DAY] + SEASON_PRIOR)
        factor /= sum(profile) + HOURS_PER_DAY * SEASON_PRIOR
        return max(0.25, min(4.0, factor))

    def evict(self) -> list[tuple[str, bytes, bytes]]:
        """Drop what has been silent longest beyond the limits; returns what to delete from the store."""
        dropped: list[tuple[str, bytes, bytes]] = []
        dropped += [("pair", *key) for key in _oldest(self.pairs, MAX_PAIRS)]
        dropped += [("detector", key, b"") for key in _oldest(self.detectors, MAX_DETECTORS)]
        dropped += [("user", *key) for key in _oldest(self.users, MAX_PAIRS)]
        dropped += [("link", key, b"") for key in _oldest(self.links, MAX_LINKS)]
        for kind, key, second in dropped:
            match kind:
                case "pair":
                    del self.pairs[key, second]
                case "detector":
                    del self.detectors[key]
                    self.seasons.pop(key, None)
                case "user":
                    del self.users[key, second]
                case _:
                    del self.links[key]
                    self.beside.pop(key, None)
        self.dirty.difference_update(dropped)
        return dropped


def _oldest(table: dict[OrderedK, Activity], limit: int) -> list[OrderedK]:
    # One eighth at a time, so that a full table is not sorted at every tick.
    if len(table) <= limit + limit // 8:
        return []
    return sorted(table, key=lambda key: (table[key].hour, key))[: len(table) - limit]


def _arrival(rate: float) -> float:
    return max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, math.log(ATTACK_RATE / rate)))


def _volume(bins: list[float], total: int) -> tuple[float, float]:
    """Earlier hours at least as loud, and the log-odds of being so loud."""
    if total < MIN_VOLUME:
        return 0.0, 0.0
    bin_now = volume_bin(total)
    louder = sum(bins[bin_now:])
    tail = (louder + TAIL_WEIGHT * TAIL_DECAY**bin_now) / (sum(bins) + TAIL_WEIGHT)
    return louder, max(0.0, min(MAX_LOG_ODDS, math.log(ATTACK_TAIL / tail)))
