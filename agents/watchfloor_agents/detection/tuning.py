"""The specialist that tunes detections: which harmless alerts of a rule people need not see again.

It learns from people's verdicts alone. Where people have called what one rule reports of one host harmless again and
again, it proposes a filter for exactly that, and only where nothing that the filter would set aside was ever anything
else. What it names are values that sensors write themselves; text that an attacker could have written takes no part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

from watchfloor_core.alert import Integrity
from watchfloor_guardrails.rule_filter import CONDITIONS, RuleFilter

NAME: Final = "specialist:tuning"
VERSION: Final = "1"
MIN_INCIDENTS: Final = 3
"""So many incidents must people have called harmless before it is a habit and no chance."""
MAX_PROPOSALS: Final = 2
"""For one incident: a rule that takes more is one to be rewritten by people."""
_NAMED: Final = 5
"""Incidents that the purpose names."""


class Word(StrEnum):
    """What is known of an incident."""

    HARMLESS = "harmless"
    """A person has said so."""
    NOT_HARMLESS = "not_harmless"
    """A person called it an attack, or nobody has decided on it."""
    UNJUDGED = "unjudged"
    """An agent closed it: that teaches nothing, either way."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Alerts of one rule in one incident that name the same."""

    incident_id: str
    word: Word
    host: str
    facts: frozenset[tuple[str, str]]
    """Name (of `CONDITIONS`) and value, from fields that the sensor wrote itself."""
    integrity: Integrity
    """Of the least trusted of them."""


@dataclass(frozen=True, slots=True)
class Habit:
    """A filter that people's verdicts bear out."""

    wanted: RuleFilter
    incidents: tuple[str, ...]
    """That people called harmless and of which it would have set something aside, sorted."""
    integrity: Integrity
    purpose: str


def suggest_filters(
    rule: str, title: str, log_source: tuple[tuple[str, str], ...], incident_id: str, seen: Sequence[Sighting]
) -> list[Habit]:
    """Filters for what this rule reported in the incident, which a person has just called harmless; the narrowest.

    ``seen`` are all sightings of the rule on the hosts of the incident, its own among them. What cannot be a filter
    (a rule without a UUID, a host's name of no usual form) gives none.
    """
    found: dict[str, Habit] = {}
    for one in seen:
        if one.incident_id == incident_id and one.word is Word.HARMLESS:
            habit = _narrowest(rule, title, log_source, one, seen)
            if habit is not None:
                found.setdefault(habit.wanted.text, habit)
    return [found[text] for text in sorted(found)][:MAX_PROPOSALS]


def _narrowest(
    rule: str, title: str, log_source: tuple[tuple[str, str], ...], one: Sighting, seen: Sequence[Sighting]
) -> Habit | None:
    for facts in _subsets(one.facts):
        covered = [other for other in seen if other.host == one.host and facts <= other.facts]
        if any(other.word is Word.NOT_HARMLESS for other in covered):
            # A wider one would set that aside as well.
            return None
        harmless = tuple(sorted({other.incident_id for other in covered if other.word is Word.HARMLESS}))
        if len(harmless) < MIN_INCIDENTS:
            continue
        try:
            wanted = RuleFilter(rule=rule, log_source=log_source, host=one.host, **dict(facts))
        except ValueError:
            return None
        return Habit(wanted, harmless, one.integrity, _purpose(title, one.host, facts, harmless))
    return None


def _subsets(facts: frozenset[tuple[str, str]]) -> Iterator[frozenset[tuple[str, str]]]:
    """The narrowest first, none empty."""
    ordered = sorted(fact for fact in facts if fact[0] in CONDITIONS)
    for size in range(len(ordered), 0, -1):
        for some in combinations(ordered, size):
            if len(dict(some)) == size:
                yield frozenset(some)


def _purpose(title: str, host: str, facts: Iterable[tuple[str, str]], incidents: Sequence[str]) -> str:
    named = ", ".join(f"{name} {value}" for name, value in sorted(facts))
    listed = ", ".join(incidents[:_NAMED]) + (" and others" if len(incidents) > _NAMED else "")
    return (
        f"People called {len(incidents)} incidents with this harmless ({listed}) and none of them an attack: "
        f"what the rule {title[:120]!r} reports of host {host} with {named}."
    )
