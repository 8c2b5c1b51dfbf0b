"""Which open incident does an unusual observation belong to, and why.

Two observations belong together where they share a telling entity within the session gap. Each shared entity is a
chance between 0 and 1 that the two have one cause: the weight of its kind, times how telling it has been, times how
recently the incident saw it. Chances combine as independent ones (noisy-or); half is enough. An asset of an incident
that is believed to be an attack stays under suspicion: what is unusual there belongs to it, for as long as it may last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from watchfloor_agents.correlation.observation import Group, Join, Link, OpenIncident
from watchfloor_core.incident import IncidentKind

JOIN_FROM: Final = 0.5
SUSPICION_CHANCE: Final = 0.6
SPREAD_WEIGHT: Final = 0.9
SPREAD_WINDOW_S: Final = 900
"""The same rare detector on another asset so soon is one campaign."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An incident that an observation could join."""

    incident: OpenIncident
    chance: float
    join: Join


class Sessions:
    """The open incidents of a tenant, indexed by their links."""

    def __init__(self, tick_s: int, gap_s: int, max_s: int) -> None:
        self._tick_s = tick_s
        self._gap = max(1, gap_s // tick_s)
        self._max = max(1, max_s // tick_s)
        self._spread = max(1, SPREAD_WINDOW_S // tick_s)
        self.incidents: dict[str, OpenIncident] = {}
        self._by_link: dict[str, set[str]] = defaultdict(set)

    def add(self, incident: OpenIncident) -> None:
        self.incidents[incident.id] = incident
        for link in incident.links:
            self._by_link[link].add(incident.id)

    def remove(self, incident: OpenIncident) -> None:
        del self.incidents[incident.id]
        for link in incident.links:
            self._unlink(link, incident.id)

    def _unlink(self, link: str, incident_id: str) -> None:
        holders = self._by_link.get(link)
        if holders is not None:
            holders.discard(incident_id)
            if not holders:
                del self._by_link[link]

    def remember(self, incident: OpenIncident, link: str, tick: int) -> None:
        self._by_link[link].add(incident.id)
        lost = incident.remember(link, tick)
        if lost is not None:
            self._unlink(lost, incident.id)

    def expiry(self, incident: OpenIncident) -> int:
        """The first tick in which the incident takes nothing more."""
        if incident.kind is IncidentKind.ROUTINE:
            return incident.last_tick
        quiet = incident.last_tick + (self._max if incident.is_hot else self._gap) + 1
        return min(quiet, incident.opened_tick + self._max + 1)

    def candidates(
        self, group: Group, told: Iterable[tuple[Link, float]], *, spreads: bool, suspected: OpenIncident | None
    ) -> list[Candidate]:
        """Incidents that the observation could join, likeliest first.

        `told` gives each link and how telling it is; `suspected` is the incident that its asset is under suspicion in.
        """
        chances: dict[str, list[tuple[float, Join]]] = defaultdict(list)
        for link, telling in told:
            key = link.entity_id.hex()
            for incident_id in self._by_link.get(key, ()):
                incident = self.incidents[incident_id]
                is_suspected = incident is suspected and link.entity_id == group.shape.asset_id
                reach = self._max if is_suspected else self._gap
                found = self._chance(group, incident, key, link.weight * telling, reach)
                if found is not None:
                    chance, seconds = found
                    text = f"shares {link.kind} {link.value!r}, last seen there {seconds} s apart"
                    if is_suspected and chance < SUSPICION_CHANCE:
                        chance, text = SUSPICION_CHANCE, f"{text}; that asset is under suspicion"
                    join = Join("shared_entity", text, f"{link.kind}:{link.value}", chance, seconds)
                    chances[incident_id].append((chance, join))
        if spreads:
            key = spread_key(group)
            for incident_id in self._by_link.get(key, ()):
                found = self._chance(group, self.incidents[incident_id], key, SPREAD_WEIGHT, self._spread)
                if found is not None:
                    chance, seconds = found
                    text = f"the same rare detection {group.shape.title!r} on another asset {seconds} s apart"
                    chances[incident_id].append((chance, Join("same_detector_spreads", text, None, chance, seconds)))
        candidates = [self._combine(self.incidents[incident_id], found) for incident_id, found in chances.items()]
        candidates = [candidate for candidate in candidates if candidate.chance >= JOIN_FROM]
        candidates.sort(key=lambda c: (-c.chance, c.incident.opened_tick, c.incident.id))
        return candidates

    def _chance(
        self, group: Group, incident: OpenIncident, key: str, weight: float, reach: int
    ) -> tuple[float, int] | None:
        apart = abs(group.tick - incident.links[key])
        if incident.is_sealed or apart > reach or group.tick > incident.opened_tick + self._max:
            return None
        return weight * (1 - 0.4 * min(1.0, apart / self._gap)), apart * self._tick_s

    @staticmethod
    def _combine(incident: OpenIncident, found: list[tuple[float, Join]]) -> Candidate:
        missed = 1.0
        for chance, _ in found:
            missed *= 1 - min(1.0, chance)
        strongest = max(found, key=lambda pair: (pair[0], pair[1].text))[1]
        return Candidate(incident, 1 - missed, strongest)


def spread_key(group: Group) -> str:
    """The pseudo-link by which one detector's alerts on several assets find each other."""
    return "detector:" + group.shape.detector_id.hex()
