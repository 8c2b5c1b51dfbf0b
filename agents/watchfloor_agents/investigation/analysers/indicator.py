"""An indicator: an event that speaks for a technique, stated as a question so that every source can find it.

An indicator is data. What it says of an event it says by fields that the event holds; what would explain the event
without an attack stands beside it, and turns a claim into one for the benign hypothesis where the event shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from watchfloor_agents.investigation.analysers.repetition import MAX_QUOTED, repetition
from watchfloor_agents.investigation.engine import Analysis, Claim
from watchfloor_agents.investigation.scope import Scope as CaseScope
from watchfloor_agents.investigation.scope import scope_of
from watchfloor_agents.investigation.view import CaseView, EventEvidence, Question
from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import EntityKind, Integrity
from watchfloor_core.logs.event import EventType, Value
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.matching import fulfils
from watchfloor_core.logs.query import AllOf, AnyOf, Condition, Not, Operator, Select, Where
from watchfloor_core.report import Citation, HypothesisKind, Scope, Stance
from watchfloor_core.untrusted import quote_untrusted

MAX_EVENTS: Final = 200
"""In the answer to one indicator's question."""
MAX_CLAIMS: Final = 3
"""Of one indicator in a report; what repeats is counted in the last one's text."""

_WHERE: Final = (Field.HOST_NAME, Field.USER_NAME, Field.PROCESS_NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indicator:
    """What to look for and what it means."""

    code: str
    title: str
    """Begins the claim's sentence."""
    techniques: tuple[str, ...]
    types: frozenset[EventType]
    where: Condition
    cite: tuple[Field, ...]
    """The fields that bear it out; those that the event has are quoted and cited."""
    log_odds: float
    """Natural-log odds for an attack, of one event."""
    benign: Condition | None = None
    """What the event shows where it is explained without an attack."""
    benign_title: str = ""
    scope: Scope = Scope.COMPROMISED
    """Of the host that the event is of."""
    target: tuple[EntityKind, Field] | None = None
    """An entity that the act was aimed at."""
    source: tuple[EntityKind, Field] | None = None
    """An entity that it came from."""
    inner_title: str = ""
    """Begins the sentence instead where the address of ``source`` is not one of the public Internet."""


@dataclass(slots=True)
class IndicatorAnalyser:
    """Looks for indicators on the hosts and around the time of the case."""

    name: str
    version: str
    indicators: tuple[Indicator, ...] = field(repr=False)

    def questions(self, view: CaseView) -> Sequence[Question]:
        scope = scope_of(view.case)
        return [
            Question(
                Select(range=scope.range, types=one.types, where=scope.on_hosts(one.where), limit=MAX_EVENTS),
                tool=_TOOLS.get(min(one.types), "search_events"),
                purpose=one.title,
            )
            for one in self.indicators
        ]

    def analyse(self, view: CaseView) -> Analysis:
        scope = scope_of(view.case)
        claims: list[Claim] = []
        for one in self.indicators:
            found = [event for event in view.events(*one.types) if _shows(one, event, scope)]
            claims += _claims(one, found)
        return Analysis(tuple(claims))


_TOOLS: Final[Mapping[EventType, str]] = {
    EventType.PROCESS_START: "process_tree",
    EventType.PROCESS_ACCESS: "process_access",
    EventType.LOGON: "logon_sessions",
    EventType.LOGON_FAILED: "logon_sessions",
    EventType.NETWORK_CONNECTION: "network_peers",
    EventType.FILE_CHANGE: "file_history",
    EventType.REGISTRY_CHANGE: "registry_history",
}
"""Under what an agent's tool the question counts; the rest is ``search_events``."""


def fields_of(event: EventEvidence) -> Mapping[Field, Value]:
    """The event's fields in the vocabulary."""
    body = event.evidence.body.get("fields")
    if not isinstance(body, Mapping):
        return {}
    return {_BY_NAME[name]: value for name, value in body.items() if name in _BY_NAME and isinstance(value, (str, int))}


_BY_NAME: Final = {name.value: name for name in Field}


def _shows(indicator: Indicator, event: EventEvidence, scope: CaseScope) -> bool:
    return scope.is_about(event) and fulfils(indicator.where, fields_of(event))


def _claims(indicator: Indicator, found: Sequence[EventEvidence]) -> Iterator[Claim]:
    """The first of each host, user and program; what is beyond is said in words."""
    groups: defaultdict[tuple[bool, bool, tuple[str, ...]], list[EventEvidence]] = defaultdict(list)
    for event in found:
        is_benign = indicator.benign is not None and fulfils(indicator.benign, fields_of(event))
        is_inner = bool(indicator.inner_title) and _is_inner(indicator, event)
        groups[is_inner, is_benign, tuple(event.text(name) for name in _WHERE)].append(event)
    # Connections within never take the place of those to the outside.
    for (is_inner, is_benign, _), events in sorted(groups.items(), key=lambda one: one[0][0])[:MAX_CLAIMS]:
        yield _claim(indicator, events, is_benign=is_benign, is_inner=is_inner)


def _claim(indicator: Indicator, events: Sequence[EventEvidence], *, is_benign: bool, is_inner: bool) -> Claim:
    event = events[0]
    citations = tuple(_citations(indicator, event))
    repeated, others = repetition(events, [Field(one.field) for one in citations if Field(one.field) not in _WHERE])
    integrities = [event.evidence.integrity(one.field) for one in citations]
    is_external = all(one is Integrity.EXTERNAL for one in integrities)
    plain = indicator.inner_title if is_inner else indicator.title
    title = indicator.benign_title if is_benign else plain
    return Claim(
        code=f"{indicator.code}_explained" if is_benign else indicator.code,
        text=_sentence(title, event, citations) + repeated,
        citations=(*citations, *others),
        time_us=event.time_us,
        stance=Stance.SUPPORTS,
        about=HypothesisKind.BENIGN if is_benign else HypothesisKind.ATTACK,
        # Text that an attacker can write never speaks for the benign explanation.
        log_odds=(0.0 if is_external else 1.0) if is_benign else indicator.log_odds,
        techniques=() if is_benign else indicator.techniques,
        entities=() if is_benign else tuple(_entities(indicator, event)),
        rests_on_external=is_external,
    )


def _citations(indicator: Indicator, event: EventEvidence) -> Iterator[Citation]:
    for name in dict.fromkeys((*indicator.cite, *_WHERE)):
        if event.text(name):
            yield event.cite(name)


def _is_inner(indicator: Indicator, event: EventEvidence) -> bool:
    if indicator.source is None:
        return False
    value = event.text(indicator.source[1])
    try:
        ip_address(value)
    except ValueError:
        return False
    return not is_outside(value)


def _sentence(title: str, event: EventEvidence, citations: Sequence[Citation]) -> str:
    host, user = event.text(Field.HOST_NAME), event.text(Field.USER_NAME)
    where = (f" on {quote_untrusted(host, MAX_QUOTED)}" if host else "") + (
        f" by {quote_untrusted(user, MAX_QUOTED)}" if user else ""
    )
    beside = {Field.HOST_NAME.value, Field.USER_NAME.value}
    told = ", ".join(
        f"{one.field} {quote_untrusted(one.text, MAX_QUOTED)}" for one in citations if one.field not in beside
    )
    return f"{title}{where}: {told}" if told else f"{title}{where}"


def _entities(indicator: Indicator, event: EventEvidence) -> Iterator[tuple[str, str, Scope]]:
    host, user = event.text(Field.HOST_NAME), event.text(Field.USER_NAME)
    if host:
        yield EntityKind.HOST.value, host, indicator.scope
    if user and not is_machine_account(user):
        # In a failed logon the name is what somebody typed: its holder did nothing.
        is_typed = event.type is EventType.LOGON_FAILED
        yield EntityKind.USER.value, user, Scope.TARGETED if is_typed else Scope.INVOLVED
    for part, scope in ((indicator.target, Scope.TARGETED), (indicator.source, Scope.INVOLVED)):
        if part is not None and event.text(part[1]):
            yield part[0].value, event.text(part[1]), scope


def is_machine_account(user: str) -> bool:
    """Whether every Windows computer has such an account, or it is a computer's own: nobody's to hold or to lose."""
    return user.endswith("$") or user.casefold().rpartition("\\")[2] in _MACHINE


_MACHINE: Final = frozenset({"system", "local service", "network service", "-", "anonymous logon"})


def equals(name: Field, *values: Value) -> Where:
    return Where(name, Operator.EQUALS, values)


def contains(name: Field, *values: Value) -> Where:
    return Where(name, Operator.CONTAINS, values)


def starts(name: Field, *values: Value) -> Where:
    return Where(name, Operator.STARTS_WITH, values)


def ends(name: Field, *values: Value) -> Where:
    return Where(name, Operator.ENDS_WITH, values)


def exists(name: Field) -> Where:
    return Where(name, Operator.EXISTS)


def all_of(*conditions: Condition) -> AllOf:
    return AllOf(conditions)


def any_of(*conditions: Condition) -> AnyOf:
    return AnyOf(conditions)


def none_of(*conditions: Condition) -> Not:
    return Not(AnyOf(conditions))


def types(*some: EventType) -> frozenset[EventType]:
    return frozenset(some)


COMMANDS: Final = types(EventType.PROCESS_START, EventType.SCRIPT)


def said(*words: str) -> Condition:
    """A command line or a script holds any of these."""
    return any_of(contains(Field.PROCESS_COMMAND_LINE, *words), contains(Field.SCRIPT_TEXT, *words))
