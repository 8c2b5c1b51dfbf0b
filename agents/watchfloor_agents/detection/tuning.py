"""The specialist that tunes detections: which harmless alerts of a rule people need not see again.

It learns from people's verdicts alone. Where people have called what one rule reports of one host harmless again and
again, it proposes a filter for exactly that, and only where nothing that the filter would set aside was ever anything
else. Both are seen in the events themselves, as the rule matched them: what a filter hides is decided by their fields.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

from watchfloor_guardrails.rule_filter import RuleFilter

NAME: Final = "specialist:tuning"
VERSION: Final = "2"
MIN_INCIDENTS: Final = 3
"""So many incidents must people have called harmless before it is a habit and no chance."""
MAX_PROPOSALS: Final = 2
"""For one incident: what takes more is to be mended by people, in the rules."""
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
    """One event that the rule matched, in one incident."""

    incident_id: str
    word: Word
    event: Mapping[str, object]
    """By the names of its log."""
    host: tuple[str, str] | None
    """The field that names the host, with its value as filters compare it."""
    others: tuple[tuple[str, str], ...]
    """What else a filter could name of it."""


@dataclass(frozen=True, slots=True)
class Habit:
    """A filter that people's verdicts bear out."""

    wanted: RuleFilter
    incidents: tuple[str, ...]
    """That people called harmless and of which it would have set something aside, sorted."""
    purpose: str


def suggest_filters(
    rule: str, title: str, log_source: tuple[tuple[str, str], ...], incident_id: str, seen: Sequence[Sighting]
) -> list[Habit]:
    """Filters for what this rule reported in the incident, which a person has just called harmless; the narrowest.

    ``seen`` are all events of the rule in incidents that anybody has an opinion of or nobody has yet, on any host. What
    cannot be a filter (a rule without a UUID, a host's name of no usual form) gives none.
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
    if one.host is None:
        return None
    for some in _subsets(one.others):
        try:
            wanted = RuleFilter(rule=rule, log_source=log_source, event=tuple(sorted((one.host, *some))))
        except ValueError:
            continue
        covered = [other for other in seen if wanted.sets_aside(other.event)]
        if any(other.word is Word.NOT_HARMLESS for other in covered):
            # A wider one would set that aside as well.
            continue
        harmless = tuple(sorted({other.incident_id for other in covered if other.word is Word.HARMLESS}))
        if len(harmless) >= MIN_INCIDENTS:
            return Habit(wanted, harmless, _purpose(title, wanted, harmless))
    return None


def _subsets(others: Iterable[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], ...]]:
    """The narrowest first, none empty."""
    ordered = sorted(others)
    for size in range(len(ordered), 0, -1):
        yield from combinations(ordered, size)


def _purpose(title: str, wanted: RuleFilter, incidents: Sequence[str]) -> str:
    named = ", ".join(f"{name} {value}" for name, value in wanted.event)
    listed = ", ".join(incidents[:_NAMED]) + (" and others" if len(incidents) > _NAMED else "")
    return (
        f"People called {len(incidents)} incidents with this harmless ({listed}) and none of them an attack: "
        f"what the rule {title[:120]!r} reports with {named}."
    )
