"""Where a program came from: the starts of the processes behind what was found, and of their parents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from watchfloor_agents.investigation.analysers.indicator import fields_of
from watchfloor_agents.investigation.engine import Claim
from watchfloor_agents.investigation.view import CaseView, EventEvidence, Question
from watchfloor_core.evidence import EvidenceKind
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.follow import Relation, follow
from watchfloor_core.report import HypothesisKind

MAX_FOLLOWED: Final = 12
"""Events of one round whose process is followed."""


def lineage(view: CaseView, claims: Sequence[Claim]) -> Sequence[Question]:
    """The start of each program that something was found of, and in each further round its parent's."""
    found = [*_cited(view, claims), *_starts(view)][: MAX_FOLLOWED * 4]
    questions: dict[str, Question] = {}
    for event in found:
        is_start = event.type is EventType.PROCESS_START
        relation = Relation.PARENT if is_start else Relation.START
        query = follow(log_event(event), relation, limit=5)
        if query is not None:
            question = Question(query, "process_tree", "Where the program came from")
            questions.setdefault(question.digest, question)
    unasked = [one for digest, one in questions.items() if digest not in view.by_question]
    return unasked[:MAX_FOLLOWED]


def chain_of(view: CaseView, event: EventEvidence) -> tuple[EventEvidence, ...]:
    """The start of the event's process and those of its ancestors, the nearest first, as far as they were found."""
    starts = list(view.events(EventType.PROCESS_START))
    chain: list[EventEvidence] = []
    entity, pid, host, before = _identity(event)
    if event.type is EventType.PROCESS_START:
        chain.append(event)
        entity, pid = event.text(Field.PARENT_ENTITY_ID), event.text(Field.PARENT_PID)
    while len(chain) < MAX_FOLLOWED:
        found = _start_of(starts, entity, pid, host, before)
        if found is None or found in chain:
            break
        chain.append(found)
        entity, pid, before = found.text(Field.PARENT_ENTITY_ID), found.text(Field.PARENT_PID), found.time_us
    return tuple(chain)


def log_event(event: EventEvidence) -> LogEvent:
    """The event again, as the source gave it."""
    body = event.evidence.body
    return LogEvent(
        id=str(body.get("event", "")),
        source=event.evidence.source,
        time_us=event.time_us,
        precision=event.precision,
        type=event.type,
        fields=fields_of(event),
    )


def _identity(event: EventEvidence) -> tuple[str, str, str, int]:
    return (
        event.text(Field.PROCESS_ENTITY_ID),
        event.text(Field.PROCESS_PID),
        event.text(Field.HOST_NAME),
        event.time_us,
    )


def _start_of(
    starts: Sequence[EventEvidence], entity: str, pid: str, host: str, before_us: int
) -> EventEvidence | None:
    """By the id that is never used again; else by pid on the host, the latest start before."""
    for one in starts:
        if entity and one.text(Field.PROCESS_ENTITY_ID) == entity:
            return one
    if not pid or not host:
        return None
    same = [
        one
        for one in starts
        if one.text(Field.PROCESS_PID) == pid and one.text(Field.HOST_NAME) == host and one.time_us <= before_us
    ]
    return max(same, key=lambda one: one.time_us, default=None)


def _cited(view: CaseView, claims: Sequence[Claim]) -> Iterator[EventEvidence]:
    seen: set[str] = set()
    strongest = sorted(claims, key=lambda one: (-one.log_odds, one.time_us))
    for claim in strongest:
        if claim.about is not HypothesisKind.ATTACK:
            continue
        for id_ in dict.fromkeys(one.evidence_id for one in claim.citations):
            evidence = view.evidence.get(id_)
            if evidence is not None and evidence.kind is EvidenceKind.EVENT and id_ not in seen:
                seen.add(id_)
                yield EventEvidence(evidence)


def _starts(view: CaseView) -> Iterator[EventEvidence]:
    """Starts that an earlier round has brought: their parents are next."""
    for answer in view.answers:
        if answer.question.tool == "process_tree":
            yield from (EventEvidence(one) for one in answer.evidence[:5] if one.kind is EvidenceKind.EVENT)
