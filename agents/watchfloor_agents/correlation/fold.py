"""Event time, folded tick by tick: judge each group of alerts, place it, learn from it.

The fold is pure and ordered: its state after a tick depends on the alerts of all ticks so far and on nothing else. It
reads no clock and no store, so the size of batches, the number of workers and the hour of the day at which a file is
replayed change nothing.

An observation is one of three:

- *routine*: its detector has been active on its asset often enough to be known, and not more than usual. Routine
  observations are gathered per asset and window and decided once, when the window is over. They never join alerts.
- *salient*: surprising enough to start or join an incident of unusual activity, and to draw two such together.
- *unfamiliar*: neither; too little is known to call it routine. It joins or starts an incident, but merges none.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from watchfloor_agents.correlation.observation import Group, Join, Link, Observation, OpenIncident
from watchfloor_agents.correlation.sessions import Candidate, Sessions, spread_key
from watchfloor_agents.triage import scoring
from watchfloor_agents.triage.baseline import Baseline, Surprise, exposure
from watchfloor_agents.triage.features import DetectorEvidence, Features
from watchfloor_agents.triage.lexicon import suggest
from watchfloor_agents.triage.specialist import ATTACK_FROM, BENIGN_BELOW, NO_BASIS_BELOW
from watchfloor_core import identity
from watchfloor_core.incident import IncidentKind

SALIENT_FROM: Final = 1.0
"""Log-odds of attack to routine from which an observation stands out by itself."""
SUSPICION: Final = 1.0
"""By so much less must it stand out on an asset of an incident that is believed to be an attack."""
MAX_SUSPECTS: Final = 16
"""Assets of one incident that may be under suspicion for being touched at all."""
SWEEP_ASSETS: Final = 4
"""A detection on so many assets of an incident is a sweep; being swept does not make an asset suspect."""
FAMILIAR_HOURS: Final = 3.0
"""Earlier active hours after which a detector is known on an asset."""
EXPECTED: Final = -0.5
EXPECTED_HOURS: Final = 6.0
"""Or its rate on other assets makes it expected here, known from so many active hours there."""
HINDSIGHT_S: Final = 86_400
"""An incident that could not be told is looked at once more when so much more event time has been seen."""
CONTEXT_S: Final = 1_800
"""Routine alerts of a suspected asset are kept with the incident from so long before to so long after its activity:
an agent closes nothing as usual where an attack is believed to run."""


@dataclass(frozen=True, slots=True)
class FoldSettings:
    """Seconds of event time; see `watchfloor_core.settings`."""

    tick_s: int = 60
    session_gap_s: int = 3_600
    incident_max_s: int = 86_400
    routine_window_s: int = 86_400


@dataclass(slots=True)
class Changes:
    """What a run of the fold did, for the store to write."""

    observations: list[Observation] = field(default_factory=list)
    moved: dict[tuple[int, bytes], tuple[str, int, Join]] = field(default_factory=dict)
    """(tick, shape) of earlier observations → incident, revision and reason: routine ones held as context."""
    merged: list[tuple[OpenIncident, OpenIncident, int]] = field(default_factory=list)
    """(kept, absorbed, revision of the kept one that first held the observations of the other)."""
    touched: dict[str, OpenIncident] = field(default_factory=dict)
    emitted: dict[str, int] = field(default_factory=dict)
    """Incident → revision that its workflow is to see."""
    forgotten: list[OpenIncident] = field(default_factory=list)
    """Done with: no further alert, no further look."""


class Fold:
    """The state of one tenant between ticks."""

    def __init__(self, tenant: str, settings: FoldSettings, baseline: Baseline, sessions: Sessions) -> None:
        self.tenant = tenant
        self.settings = settings
        self.baseline = baseline
        self.sessions = sessions
        self.routine: dict[tuple[bytes, int], OpenIncident] = {}
        """(asset, window) → the incident that gathers its routine alerts."""
        self.recent: dict[bytes, list[tuple[Group, str]]] = {}
        """Asset → its routine groups of the last `CONTEXT_S`, each with its incident: they may yet become context."""
        self.hot: dict[bytes, OpenIncident] = {}
        """Asset → the incident that puts it under suspicion."""
        self.changes = Changes()
        self._tick = 0

    def take(self, tick: int, groups: Iterable[Group]) -> None:
        """Work off one tick. Groups may come in any order; ticks must come in order."""
        self.expire(tick)
        for group in sorted(groups, key=lambda group: (group.tick, group.shape.id)):
            self._place(group)
        self._judge_incidents(tick)

    def expire(self, tick: int) -> None:
        """Seal what event time has passed before `tick`, and take the second looks that are due, in order of time."""
        self._tick = tick
        due: list[tuple[int, str, OpenIncident]] = []
        for incident in self.sessions.incidents.values():
            at = incident.hindsight_tick if incident.is_sealed else self.sessions.expiry(incident)
            if at is not None and at <= tick:
                due.append((at, incident.id, incident))
        for (_, window), incident in self.routine.items():
            end = self._window_end(window)
            if end <= tick:
                due.append((end, incident.id, incident))
        for at, _, incident in sorted(due, key=lambda item: item[:2]):
            if incident.is_sealed:
                self._look_again(incident, at)
            else:
                self._seal(incident, at)
                if incident.hindsight_tick is not None and incident.hindsight_tick <= tick:
                    self._look_again(incident, incident.hindsight_tick)

    def finish(self, tick: int) -> None:
        """No more alerts will come: seal everything and take the second looks now, with all that was learned."""
        self._tick = tick
        for incident in sorted(self.routine.values(), key=lambda incident: incident.id):
            self._seal(incident, tick)
        for incident in sorted(self.sessions.incidents.values(), key=lambda incident: incident.id):
            if not incident.is_sealed:
                self._seal(incident, tick)
            if incident.hindsight_tick is not None:
                self._look_again(incident, max(tick, incident.last_tick))

    def _place(self, group: Group) -> None:
        shape = group.shape
        hour = group.tick * self.settings.tick_s // 3_600
        surprise = self.baseline.observe(shape.detector_id, shape.asset_id, shape.users, hour, group.alerts)
        if shape.is_asset_external:
            # Attacker-written text may raise suspicion, never lower it: repeating a name does not make it familiar.
            surprise = replace(surprise, arrival=max(0.0, surprise.arrival), hours_seen=0.0)
        salience = self._salience(group, surprise)
        suspected = self._suspected(group)
        threshold = SALIENT_FROM - (SUSPICION if suspected else 0.0)
        if salience <= threshold and _is_familiar(surprise):
            if suspected is not None and self._in_context(suspected, group):
                self._hold(group, surprise, suspected)
            else:
                self._gather(group, surprise)
            return
        is_salient = salience > threshold
        told = [(link, self.baseline.link(link.entity_id, shape.asset_id, hour)) for link in shape.links]
        candidates = self.sessions.candidates(
            group, told, spreads=surprise.arrival >= SALIENT_FROM, suspected=suspected
        )
        if candidates:
            incident, join = candidates[0].incident, candidates[0].join
            if is_salient:
                incident = self._draw_together(candidates)
        else:
            incident, join = self._open(group), Join("opened", "nothing open shares a telling entity with it")
        self._add(incident, group, surprise, join, told)
        if salience >= SALIENT_FROM:
            incident.raise_alarm(shape.asset_id, group.tick)
        if incident.is_hot:
            self.baseline.distrust(shape.detector_id, shape.asset_id)

    def _salience(self, group: Group, surprise: Surprise) -> float:
        salience = surprise.total + scoring.severity_log_odds(group.shape.severity)
        if surprise.arrival > 0:
            salience += suggest(group.shape.title).log_odds
        return salience

    def _suspected(self, group: Group) -> OpenIncident | None:
        incident = self.hot.get(group.shape.asset_id)
        if incident is None or incident.is_sealed:
            return None
        return incident

    def _in_context(self, incident: OpenIncident, group: Group) -> bool:
        """Something salient happened on this very asset a short while ago."""
        alarm = incident.alarms.get(group.shape.asset_id.hex())
        return alarm is not None and group.tick - alarm <= CONTEXT_S // self.settings.tick_s

    def _open(self, group: Group) -> OpenIncident:
        seed = identity.incident_id(self.tenant, "activity", str(group.tick), group.shape.id.hex())
        incident = self._new(seed, IncidentKind.ACTIVITY, group)
        self.sessions.add(incident)
        return incident

    def _new(self, incident_id: str, kind: IncidentKind, group: Group) -> OpenIncident:
        return OpenIncident(
            id=incident_id,
            kind=kind,
            opened_tick=group.tick,
            last_tick=group.tick,
            first_us=group.first_us,
            last_us=group.last_us,
            features=Features(kind=kind, exposure_days=0.0),
        )

    def _add(
        self,
        incident: OpenIncident,
        group: Group,
        surprise: Surprise,
        join: Join,
        told: Iterable[tuple[Link, float]],
    ) -> None:
        is_new_detector = self._count(incident, group, surprise, join)
        incident.last_tick = max(incident.last_tick, group.tick)
        for link, _ in told:
            self.sessions.remember(incident, link.entity_id.hex(), group.tick)
        if surprise.arrival >= SALIENT_FROM:
            self.sessions.remember(incident, spread_key(group), group.tick)
        if is_new_detector and incident.emitted:
            self._emit(incident)

    def _gather(self, group: Group, surprise: Surprise) -> None:
        asset = group.shape.asset_id
        window = group.tick * self.settings.tick_s // self.settings.routine_window_s
        incident = self.routine.get((asset, window))
        if incident is None:
            seed = identity.incident_id(self.tenant, "routine", str(window), asset.hex())
            if group.is_late:
                # Its window may be over and decided; what comes late is decided by itself.
                seed = identity.incident_id(self.tenant, "late", str(group.tick), group.shape.id.hex())
            incident = self._new(seed, IncidentKind.ROUTINE, group)
            incident.asset_id = asset
            self.routine[asset, window] = incident
        join = Join("routine", "within the learned normal of its asset")
        self._count(incident, group, surprise, join)
        recent = self.recent.setdefault(asset, [])
        recent.append((group, incident.id))
        horizon = group.tick - CONTEXT_S // self.settings.tick_s
        while recent and recent[0][0].tick < horizon:
            recent.pop(0)

    def _hold(self, group: Group, surprise: Surprise, incident: OpenIncident) -> None:
        join = Join("context", "its asset is under suspicion in this incident: nothing is closed there as usual")
        incident.touch(self._tick, is_late=group.is_late)
        self._extend(incident, group)
        incident.features.context_alerts += group.alerts
        self.changes.observations.append(Observation(group, surprise, incident.id, incident.revision, join))

    def _count(self, incident: OpenIncident, group: Group, surprise: Surprise, join: Join) -> bool:
        shape = group.shape
        incident.touch(self._tick, is_late=group.is_late)
        self._extend(incident, group)
        features = incident.features
        features.exposure_days = surprise.exposure_days
        features.late_alerts += group.alerts if group.is_late else 0
        features.count_asset(shape.asset, group.alerts)
        if shape.tier is not None:
            features.tier = shape.tier if features.tier is None else min(features.tier, shape.tier)
        self.changes.observations.append(Observation(group, surprise, incident.id, incident.revision, join))
        return features.add(_evidence(group, surprise))

    def _extend(self, incident: OpenIncident, group: Group) -> None:
        incident.first_us = min(incident.first_us, group.first_us)
        incident.last_us = max(incident.last_us, group.last_us)
        incident.alert_count += group.alerts
        # OCSF's 99 is "other", not the worst.
        incident.severity = max(incident.severity, group.shape.severity if group.shape.severity < 99 else 0)
        self.changes.touched[incident.id] = incident

    def _draw_together(self, candidates: list[Candidate]) -> OpenIncident:
        """Join every candidate into the oldest: the observation shows that they are one."""
        ordered = sorted((c.incident for c in candidates), key=lambda incident: (incident.opened_tick, incident.id))
        kept = ordered[0]
        for absorbed in ordered[1:]:
            self._absorb(kept, absorbed)
        return kept

    def _absorb(self, kept: OpenIncident, absorbed: OpenIncident) -> None:
        kept.touch(self._tick)
        kept.features.absorb(absorbed.features)
        kept.alert_count += absorbed.alert_count
        kept.first_us = min(kept.first_us, absorbed.first_us)
        kept.last_us = max(kept.last_us, absorbed.last_us)
        kept.last_tick = max(kept.last_tick, absorbed.last_tick)
        kept.severity = max(kept.severity, absorbed.severity)
        for link, seen in absorbed.links.items():
            self.sessions.remember(kept, link, seen)
        for key, seen in absorbed.alarms.items():
            kept.raise_alarm(bytes.fromhex(key), seen)
        self.sessions.remove(absorbed)
        for asset, incident in self.hot.items():
            if incident is absorbed:
                self.hot[asset] = kept
        absorbed.touch(self._tick)
        absorbed.merged_into = kept.id
        absorbed.alert_count = 0
        self.changes.merged.append((kept, absorbed, kept.revision))
        self.changes.touched[kept.id] = kept
        self.changes.touched[absorbed.id] = absorbed
        for observation in self.changes.observations:
            if observation.incident_id == absorbed.id:
                observation.incident_id, observation.revision = kept.id, kept.revision
        if absorbed.emitted:
            self._emit(absorbed)
        if kept.emitted:
            self._emit(kept)

    def _judge_incidents(self, tick: int) -> None:
        """After a tick: tell the workflow of what a person should not wait for, and suspect the assets of an attack."""
        for incident in sorted(self.changes.touched.values(), key=lambda incident: incident.id):
            if incident.kind is IncidentKind.ROUTINE or incident.changed_tick != tick or incident.merged_into:
                continue
            probability = _probability(incident.features)
            is_known = scoring.certainty(incident.features) >= NO_BASIS_BELOW
            # What is known to look benign is decided when its session is over; for all else nobody should wait.
            if not incident.emitted and (probability >= BENIGN_BELOW or not is_known):
                self._emit(incident)
            if probability >= ATTACK_FROM:
                if not incident.is_hot:
                    incident.is_hot = True
                    self._emit(incident)
                self._suspect(incident)

    def _suspect(self, incident: OpenIncident) -> None:
        """Put its assets under suspicion; routine alerts from shortly before and after an alarm are kept with it."""
        join = Join("context", "routine alerts of a suspected asset, at the time when it drew suspicion")
        suspects = _suspects(incident)
        for asset in [asset for asset, held in self.hot.items() if held is incident and asset not in suspects]:
            del self.hot[asset]
        self.hot.update(dict.fromkeys(sorted(suspects), incident))
        span = CONTEXT_S // self.settings.tick_s
        for key, alarm in incident.alarms.items():
            asset = bytes.fromhex(key)
            if asset not in suspects:
                continue
            kept = []
            for group, routine_id in self.recent.get(asset, []):
                if abs(group.tick - alarm) <= span:
                    self._reclaim(group, routine_id, incident, join)
                else:
                    kept.append((group, routine_id))
            self.recent[asset] = kept

    def _reclaim(self, group: Group, routine_id: str, incident: OpenIncident, join: Join) -> None:
        source = next((routine for routine in self.routine.values() if routine.id == routine_id), None)
        if source is None:
            return
        source.alert_count -= group.alerts
        source.reclaimed_by = incident.id
        self.changes.touched[source.id] = source
        self._extend(incident, group)
        incident.features.context_alerts += group.alerts
        self.changes.moved[group.tick, group.shape.id] = (incident.id, incident.revision, join)

    def _seal(self, incident: OpenIncident, tick: int) -> None:
        incident.is_sealed = True
        self.changes.touched[incident.id] = incident
        for asset in [asset for asset, suspect in self.hot.items() if suspect is incident]:
            del self.hot[asset]
        if incident.kind is IncidentKind.ROUTINE:
            for key in [key for key, held in self.routine.items() if held is incident]:
                del self.routine[key]
            self.changes.forgotten.append(incident)
            # It is decided now, with all that was learned in its window.
            hour = tick * self.settings.tick_s // 3_600
            incident.features.exposure_days = exposure(self.baseline.days_watched(hour))
            if incident.alert_count:
                self._emit(incident)
            else:
                # All that it gathered was taken out of it as context: nothing is left to decide.
                incident.merged_into = incident.reclaimed_by
            return
        if incident.emitted < incident.revision:
            self._emit(incident)
        if self._needs_hindsight(incident):
            incident.hindsight_tick = max(tick, incident.opened_tick + HINDSIGHT_S // self.settings.tick_s)
        else:
            self._forget(incident)

    def _needs_hindsight(self, incident: OpenIncident) -> bool:
        """Unclear, or low for want of knowledge; what looks like an attack is not explained away later."""
        probability = _probability(incident.features)
        certainty = scoring.certainty(incident.features)
        return probability < ATTACK_FROM and (probability >= BENIGN_BELOW or certainty < 0.5)

    def _look_again(self, incident: OpenIncident, tick: int) -> None:
        """Judge the same observations by what is known now: what recurs without consequence is normal."""
        hour = tick * self.settings.tick_s // 3_600
        for evidence in incident.features.detectors.values():
            detector, asset = bytes.fromhex(evidence.detector_id), bytes.fromhex(evidence.asset_id)
            later = self.baseline.judge(detector, asset, hour, evidence.hour_total)
            incident.features.exposure_days = later.exposure_days
            if later.total < evidence.total and not evidence.is_asset_external:
                evidence.rejudge(later)
        incident.features.hindsight_us = tick * self.settings.tick_s * 1_000_000
        incident.hindsight_tick = None
        incident.revision += 1
        incident.changed_tick = tick
        self.changes.touched[incident.id] = incident
        self._emit(incident)
        self._forget(incident)

    def _forget(self, incident: OpenIncident) -> None:
        self.sessions.remove(incident)
        self.changes.forgotten.append(incident)

    def _emit(self, incident: OpenIncident) -> None:
        self.changes.emitted[incident.id] = incident.revision
        incident.emitted = incident.revision

    def _window_end(self, window: int) -> int:
        return (window + 1) * self.settings.routine_window_s // self.settings.tick_s


def _is_familiar(surprise: Surprise) -> bool:
    is_expected = surprise.arrival <= EXPECTED and surprise.detector_hours >= EXPECTED_HOURS
    return surprise.hours_seen >= FAMILIAR_HOURS or is_expected


def _suspects(incident: OpenIncident) -> set[bytes]:
    """The assets of an incident that may be compromised.

    In a small incident each one; of a sweep across the estate only those on which something else was seen too: where
    everything is under suspicion, nothing is, and one scan would swallow whatever happens that day.
    """
    held = incident.features.detectors.values()
    alarmed = {bytes.fromhex(asset) for asset in incident.alarms}
    everything = alarmed | {bytes.fromhex(evidence.asset_id) for evidence in held}
    if len(everything) <= MAX_SUSPECTS:
        return everything
    return {bytes.fromhex(evidence.asset_id) for evidence in held if len(evidence.assets) < SWEEP_ASSETS}


def _probability(features: Features) -> float:
    return scoring.probability(scoring.log_odds(scoring.contributions(features)))


def _evidence(group: Group, surprise: Surprise) -> DetectorEvidence:
    shape = group.shape
    return DetectorEvidence(
        detector_id=shape.detector_id.hex(),
        product=shape.product,
        title=shape.title,
        severity=shape.severity,
        tactics=list(shape.tactics),
        asset_id=shape.asset_id.hex(),
        asset=shape.asset,
        is_asset_external=shape.is_asset_external,
        arrival=surprise.arrival,
        volume=surprise.volume,
        expected_per_day=surprise.expected_per_day,
        hours_seen=surprise.hours_seen,
        hour_total=surprise.hour_total,
        louder_hours=surprise.louder_hours,
        first_us=group.first_us,
        last_us=group.last_us,
        alerts=group.alerts,
        assets=[shape.asset],
    )
