"""What an investigation has asked and found so far. Engines and analysers read it; they ask nothing themselves.

A question becomes evidence outside of them (the only part that touches a source), so that an engine is a pure function
of the view: equal views give equal questions and equal reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_core.alert import TimePrecision
from watchfloor_core.context import Asked, LookUp, ToolCall, asked_digest
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, Select
from watchfloor_core.logs.source import Coverage, Health
from watchfloor_core.report import Citation


@dataclass(frozen=True, slots=True)
class Question:
    """One question: to every log source, to every source of a kind of context, or to one tool of others."""

    query: Asked
    tool: str
    """Of the tools of the agents, e.g. ``process_tree``; for the record, budgets and spans."""
    purpose: str
    """For a person: what the answer is to tell."""

    @property
    def digest(self) -> str:
        """Equal queries are asked once in an investigation, whoever asks."""
        return asked_digest(self.query)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the sources said."""

    question: Question
    evidence: tuple[Evidence, ...]
    """Events by time, one COUNT for each source, or the facts of a look-up; empty where nothing was found."""
    coverage: tuple[Coverage, ...]
    """One for each source that was asked."""
    is_cut: bool = False

    @property
    def is_about_telemetry(self) -> bool:
        """False for look-ups and tools: what they bring says nothing of how much there was to see."""
        return not isinstance(self.question.query, (LookUp, ToolCall))

    @property
    def can_say_no(self) -> bool:
        """True where finding nothing means that there is nothing: sources were asked, and none was dark or partial."""
        return bool(self.coverage) and not self.is_cut and all(one.health is Health.WHOLE for one in self.coverage)

    @property
    def concerned(self) -> tuple[Coverage, ...]:
        """Of the sources asked, those that the question was for: one that never has such events is left out, where
        another one has them."""
        types = kinds_asked(self.question.query)
        having = tuple(one for one in self.coverage if not types or not one.types or types & one.types)
        return having if any(one.health is not Health.DARK for one in having) else self.coverage


def kinds_asked(asked: Asked) -> frozenset[EventType]:
    """Kinds of event that a question is about; empty for any, and for what is not about events."""
    match asked:
        case Aggregate():
            return asked.select.types
        case Select():
            return asked.types
        case LookUp() | ToolCall():
            return frozenset()


@dataclass(frozen=True)
class EventEvidence:
    """An event among the evidence."""

    evidence: Evidence

    @cached_property
    def type(self) -> EventType:
        return EventType(str(self.evidence.body["type"]))

    @property
    def time_us(self) -> int:
        return self.evidence.time_us or 0

    @property
    def precision(self) -> TimePrecision:
        return TimePrecision(str(self.evidence.body["precision"]))

    def text(self, name: Field) -> str:
        """A field's value as text, empty where it has none."""
        return self.evidence.value(name.value) or ""

    def cite(self, name: Field, part: str | None = None) -> Citation:
        """The citation of a field, or of the first occurrence of a part of it (compared without regard to case).

        Raises ValueError where the field does not hold that.
        """
        whole = self.evidence.value(name.value)
        if whole is None:
            raise ValueError(f"evidence {self.evidence.id} has no {name.value}")
        if part is None:
            return Citation(self.evidence.id, name.value, whole)
        start = whole.lower().find(part.lower())
        if start < 0 or len(whole.lower()) != len(whole):
            if part not in whole:
                raise ValueError(f"{name.value} of evidence {self.evidence.id} does not hold {part!r}")
            start = whole.index(part)
        return Citation(self.evidence.id, name.value, whole[start : start + len(part)], start)


@dataclass(frozen=True)
class CaseView:
    """The case with all answers so far."""

    case: InvestigationCase
    answers: tuple[Answer, ...] = ()
    round: int = 0
    """How many times the loop of questions has run."""

    @cached_property
    def by_question(self) -> dict[str, Answer]:
        """Answers by the digest of their query."""
        return {one.question.digest: one for one in self.answers}

    @cached_property
    def evidence(self) -> dict[str, Evidence]:
        """All evidence by id: the alerts' and the answers'."""
        found = {alert.evidence.id: alert.evidence for alert in self.case.alerts}
        for answer in self.answers:
            found.update((one.id, one) for one in answer.evidence)
        return found

    @cached_property
    def all_events(self) -> tuple[EventEvidence, ...]:
        """Every event found, each once, by time and then id."""
        events = (EventEvidence(one) for one in self.evidence.values() if one.kind is EvidenceKind.EVENT)
        return tuple(sorted(events, key=lambda one: (one.time_us, one.evidence.id)))

    @cached_property
    def facts(self) -> tuple[Evidence, ...]:
        """What sources of context have said, by id."""
        found = (one for one in self.evidence.values() if one.kind is EvidenceKind.LOOKUP)
        return tuple(sorted(found, key=lambda one: one.id))

    def events(self, *types: EventType) -> Iterator[EventEvidence]:
        """Those of these types, by time."""
        return (one for one in self.all_events if one.type in types)

    def answer_to(self, question: Question) -> Answer | None:
        return self.by_question.get(question.digest)
