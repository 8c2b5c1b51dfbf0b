"""What the explanations predict beyond what was found, asked of the sources for and against each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from watchfloor_agents.investigation.engine import Claim, Expectation
from watchfloor_agents.investigation.scope import scope_of
from watchfloor_agents.investigation.view import Answer, CaseView, EventEvidence, Question
from watchfloor_core.evidence import EvidenceKind
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Aggregate, AllOf, Condition, Operator, Select, TimeRange, Where
from watchfloor_core.report import HypothesisKind
from watchfloor_core.untrusted import quote_untrusted

MAX_TESTED: Final = 4
"""Claims whose consequences are looked for, the strongest."""
BEFORE_S: Final = 7 * 86_400
"""How far back routine is looked for."""
AFTER_S: Final = 3_600

SEEN: Final = "seen"
NOT_SEEN: Final = "not seen"
NOT_TESTABLE: Final = "not testable"


def expectations(view: CaseView, claims: Sequence[Claim]) -> tuple[Expectation, ...]:
    """For the strongest claims that tell of a program: what it would do next in an attack, and what it would have done
    before if it were routine."""
    found: dict[str, Expectation] = {}
    for event in _strongest(view, claims):
        for one in _of(view, event):
            found.setdefault(one.question.digest, one)
    return tuple(found.values())


def outcome(answer: Answer | None) -> str:
    """``seen``, ``not seen``, or ``not testable`` where the sources could not have shown it."""
    if answer is None:
        return NOT_TESTABLE
    if count_of(answer) > 0:
        return SEEN
    return NOT_SEEN if answer.can_say_no else NOT_TESTABLE


def count_of(answer: Answer) -> int:
    """Events found, whether they were counted or read."""
    counted = [one for one in answer.evidence if one.kind is EvidenceKind.COUNT]
    if not counted:
        return len(answer.evidence)
    totals = [one.body.get("total") for one in counted]
    return sum(total for total in totals if isinstance(total, int))


def _strongest(view: CaseView, claims: Sequence[Claim]) -> Iterator[EventEvidence]:
    ranked = sorted(claims, key=lambda one: (-one.log_odds, one.time_us, one.code))
    seen: set[tuple[str, str]] = set()
    for claim in ranked:
        if claim.about is not HypothesisKind.ATTACK or claim.log_odds <= 0 or len(seen) >= MAX_TESTED:
            continue
        evidence = view.evidence.get(claim.citations[0].evidence_id) if claim.citations else None
        if evidence is None or evidence.kind is not EvidenceKind.EVENT:
            continue
        event = EventEvidence(evidence)
        program = event.text(Field.HOST_NAME), event.text(Field.PROCESS_EXECUTABLE)
        if all(program) and program not in seen:
            seen.add(program)
            yield event


def _of(view: CaseView, event: EventEvidence) -> Iterator[Expectation]:
    program = event.text(Field.PROCESS_EXECUTABLE)
    where = _program_on_host(event)
    quoted = quote_untrusted(program, 120)
    after = TimeRange(event.time_us, event.time_us + AFTER_S * 1_000_000)
    yield Expectation(
        about=HypothesisKind.ATTACK,
        text=f"In an attack, {quoted} goes on to connect to other machines",
        question=Question(
            Select(range=after, types=frozenset({EventType.NETWORK_CONNECTION}), where=where, limit=50),
            tool="network_peers",
            purpose="Whether the program connected to other machines afterwards",
        ),
        seen_is_for=True,
        log_odds=0.7,
    )
    start = scope_of(view.case).range.start_us
    before = TimeRange(start - BEFORE_S * 1_000_000, start)
    yield Expectation(
        about=HypothesisKind.BENIGN,
        text=f"If it were routine, {quoted} would have done the same in the week before",
        question=Question(
            Aggregate(select=Select(range=before, types=frozenset({event.type}), where=where), by=(Field.HOST_NAME,)),
            tool="first_seen",
            purpose="Whether the program has done so before",
        ),
        seen_is_for=True,
        log_odds=0.7,
        log_odds_unseen=-0.5,
    )


def _program_on_host(event: EventEvidence) -> Condition:
    return AllOf(
        (
            Where(Field.HOST_NAME, Operator.EQUALS, (event.text(Field.HOST_NAME),)),
            Where(Field.PROCESS_EXECUTABLE, Operator.EQUALS, (event.text(Field.PROCESS_EXECUTABLE),)),
        )
    )
