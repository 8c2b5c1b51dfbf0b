"""What to look up beside telemetry: the entities of the alerts first, then those that events and findings bring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from watchfloor_agents.investigation.engine import Claim
from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import EntityKind, EntityRole
from watchfloor_core.context import MAX_ENTITIES, MAX_TERM, MAX_TERMS, ContextKind, LookUp
from watchfloor_core.logs.fields import NAMING
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.report import HypothesisKind, Stance

TOOL: Final = "look_up"
KINDS: Final = {
    ContextKind.INTELLIGENCE: (EntityKind.IP, EntityKind.DOMAIN, EntityKind.URL, EntityKind.FILE_HASH),
    ContextKind.INVENTORY: (EntityKind.HOST, EntityKind.USER, EntityKind.IP),
    ContextKind.HISTORY: (EntityKind.HOST, EntityKind.USER, EntityKind.IP, EntityKind.DOMAIN, EntityKind.FILE_HASH),
    ContextKind.DIRECTORY: (EntityKind.USER,),
}
"""What each source of context is asked about."""
_FROM_EVENTS: Final = (ContextKind.INTELLIGENCE,)
"""Of what events name, only what others may have seen: what is ours the alerts name."""
_PURPOSES: Final = {
    ContextKind.INTELLIGENCE: "Whether others have seen it used in attacks",
    ContextKind.INVENTORY: "What is ours, and how much depends on it",
    ContextKind.HISTORY: "What people decided about it before",
    ContextKind.RUNBOOK: "What the organisation does in such a case",
    ContextKind.DIRECTORY: "What the directory says of the account",
}


def of_alerts(view: CaseView) -> tuple[Question, ...]:
    """About the entities of the case's alerts."""
    entities = [one for one in view.case.entities if one.role is not EntityRole.OBSERVER]
    named = [EntityRef(one.kind, _plain(one.kind, one.value)) for one in entities]
    # A directory knows whose domain it is, and that the account of another is not its own.
    whole = [EntityRef(one.kind, one.value) for one in entities]
    others = [one for one in KINDS if one is not ContextKind.DIRECTORY]
    nothing: frozenset[tuple[ContextKind, EntityRef]] = frozenset()
    return (*_questions(named, others, nothing), *_questions(whole, (ContextKind.DIRECTORY,), nothing))


def of_findings(view: CaseView, claims: Sequence[Claim]) -> tuple[Question, ...]:
    """About what events name and was not looked up before, and for what the organisation does about the techniques."""
    asked = {
        (one.question.query.kind, entity)
        for one in view.answers
        if isinstance(one.question.query, LookUp)
        for entity in one.question.query.entities
    }
    named = [
        EntityRef(kind, event.text(name))
        for event in view.all_events
        for kind in KINDS[ContextKind.INTELLIGENCE]
        for name in NAMING[kind]
        if event.text(name)
    ]
    return (*_questions(named, _FROM_EVENTS, asked), *_runbooks(claims))


def _questions(
    named: Sequence[EntityRef],
    contexts: Iterable[ContextKind],
    asked: Set[tuple[ContextKind, EntityRef]],
) -> Iterator[Question]:
    for context in contexts:
        wanted = {
            one
            for one in named
            if one.kind in KINDS[context] and (context, one) not in asked and _is_worth_asking(context, one)
        }
        # In one order, so that equal views give equal questions; what others may know of is the last to be cut.
        chosen = tuple(sorted(wanted, key=lambda one: (_is_inner(one), one.kind.value, one.value)))[:MAX_ENTITIES]
        if chosen:
            yield Question(LookUp(kind=context, entities=chosen), TOOL, _PURPOSES[context])


def _runbooks(claims: Sequence[Claim]) -> Iterator[Question]:
    techniques = {
        technique[:MAX_TERM]
        for one in claims
        if one.about is HypothesisKind.ATTACK and one.stance is Stance.SUPPORTS
        for technique in one.techniques
        if technique
    }
    if techniques:
        terms = tuple(sorted(techniques))[:MAX_TERMS]
        yield Question(LookUp(kind=ContextKind.RUNBOOK, terms=terms), TOOL, _PURPOSES[ContextKind.RUNBOOK])


def _is_worth_asking(context: ContextKind, entity: EntityRef) -> bool:
    if not entity.value:
        return False
    if context is ContextKind.INTELLIGENCE and entity.kind is EntityKind.IP:
        # An operator's own list may name private ones; sources that come from others leave those out themselves.
        return _address(entity.value) is not None
    return True


def _is_inner(entity: EntityRef) -> bool:
    return entity.kind is EntityKind.IP and not is_outside(entity.value)


def _address(value: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(value)
    except ValueError:
        return None


def _plain(kind: EntityKind, value: str) -> str:
    """As telemetry names it: a user without the domain."""
    return value.rpartition("\\")[2] or value if kind is EntityKind.USER else value
