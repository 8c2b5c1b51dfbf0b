"""What sources of context say of the case, as findings: lists of others, our inventory, directory, past and runbooks.

A listing elsewhere may raise suspicion. What is ours, and what people decided before, decides nothing: it tells whoever
reads the report where to look. Nothing here speaks for a benign explanation, so that no feed, and nobody who writes to
one, can have an attack put aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from watchfloor_agents.investigation import look_ups
from watchfloor_agents.investigation.analysers.directory import of_directory
from watchfloor_agents.investigation.engine import Analysis, Claim
from watchfloor_agents.investigation.view import CaseView, EventEvidence, Question
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind
from watchfloor_core.evidence import Evidence
from watchfloor_core.logs.fields import NAMING
from watchfloor_core.report import Citation, Scope, Stance
from watchfloor_core.untrusted import quote_untrusted

MAX_LISTED: Final = 20
"""Listings that become findings, those of which most is thought first."""
LEAST_ODDS: Final = 0.3
MOST_ODDS: Final = 1.8
"""Of one listing, by its confidence of 0 to 100. Feeds go stale and addresses change hands: none decides by itself."""
MAX_TOLD: Final = 10
"""Critical assets, and entities with a past, that become findings: what weighs nothing must not fill a report."""
UNSTATED_CONFIDENCE: Final = 50
CRITICAL_TIER: Final = 1
RUNBOOK: Final = "runbook"


class ContextAnalyser:
    """An `Analyser` of what was looked up."""

    name = "context"
    version = "2"

    def questions(self, view: CaseView) -> Sequence[Question]:
        return look_ups.of_alerts(view)

    def analyse(self, view: CaseView) -> Analysis:
        by_kind: dict[str, list[Evidence]] = {}
        for one in view.facts:
            by_kind.setdefault(str(one.body.get("context")), []).append(one)
        listed = sorted(by_kind.get(ContextKind.INTELLIGENCE, ()), key=lambda one: (-_confidence(one), one.id))
        where = _named_in(view)
        assets = _most_first(by_kind.get(ContextKind.INVENTORY, ()), "asset.tier", -1)
        decided = _most_first(by_kind.get(ContextKind.HISTORY, ()), "incidents.true_positive")
        claims = [
            *(_listed(view, one, where) for one in listed[:MAX_LISTED]),
            *islice(_of_inventory(view, assets), MAX_TOLD),
            *islice(_of_history(view, decided), MAX_TOLD),
            *islice(of_directory(view, by_kind.get(ContextKind.DIRECTORY, ())), MAX_TOLD),
            *_of_runbooks(view, by_kind.get(ContextKind.RUNBOOK, ())),
        ]
        return Analysis(tuple(claims))


def _listed(view: CaseView, fact: Evidence, where: Mapping[tuple[str, str], tuple[EventEvidence, Citation]]) -> Claim:
    kind, value = _entity(fact)
    seen = where.get((kind, value.lower()))
    said = quote_untrusted(fact.value("indicator.name") or "", 120)
    warning = fact.value("warning_list.name")
    names = ("indicator.value", "indicator.name", *(("warning_list.name",) if warning else ()))
    text = f"{quote_untrusted(fact.source, 60)} lists the {kind} {quote_untrusted(value, 200)} as {said}"
    if warning:
        text += f", and it is on the warning list {quote_untrusted(warning, 80)}, so the listing says little"
    if seen is not None:
        text += "; an event names it"
    return Claim(
        code="threat_intelligence_warned" if warning else "threat_intelligence",
        text=text,
        citations=(*([seen[1]] if seen else ()), *_cited(fact, *names)),
        time_us=seen[0].time_us if seen else view.case.range.start_us,
        stance=Stance.NEUTRAL if warning else Stance.SUPPORTS,
        log_odds=0.0 if warning else LEAST_ODDS + (MOST_ODDS - LEAST_ODDS) * _confidence(fact) / 100,
        entities=() if warning else ((kind, value, Scope.INVOLVED),),
        rests_on_external=True,
    )


def _of_inventory(view: CaseView, facts: Sequence[Evidence]) -> Iterator[Claim]:
    for fact in facts:
        tier = fact.value("asset.tier")
        if tier is None or not tier.isdecimal() or int(tier) > CRITICAL_TIER:
            continue
        kind, value = _entity(fact)
        groups = fact.value("asset.groups")
        belongs = f", in {quote_untrusted(groups, 120)}" if groups else ""
        weight = "a crown jewel" if tier == "0" else "critical"
        yield Claim(
            code="critical_asset",
            text=f"The {kind} {quote_untrusted(value, 120)} is {weight} by the inventory (tier {tier}){belongs}",
            citations=_cited(fact, "asset.value", "asset.tier", *(("asset.groups",) if groups else ())),
            time_us=view.case.range.start_us,
            stance=Stance.NEUTRAL,
        )


def _of_history(view: CaseView, facts: Sequence[Evidence]) -> Iterator[Claim]:
    for fact in facts:
        kind, value = _entity(fact)
        total, attacks = fact.value("incidents.decided"), fact.value("incidents.true_positive")
        if total is None or attacks is None:
            continue
        yield Claim(
            code="entity_history",
            text=(
                f"People have decided {total} earlier incidents that named the {kind} {quote_untrusted(value, 120)}; "
                f"{attacks} were attacks"
            ),
            citations=_cited(fact, "entity.value", "incidents.decided", "incidents.true_positive"),
            time_us=view.case.range.start_us,
            stance=Stance.NEUTRAL,
        )


def _of_runbooks(view: CaseView, facts: Sequence[Evidence]) -> Iterator[Claim]:
    for fact in facts:
        title, path = fact.value("runbook.title"), fact.value("runbook.path")
        if not title or not path:
            continue
        yield Claim(
            code=RUNBOOK,
            text=f"The runbook {quote_untrusted(title, 160)} is about what was found, in {quote_untrusted(path, 200)}",
            citations=_cited(fact, "runbook.title", "runbook.path"),
            time_us=view.case.range.start_us,
            stance=Stance.NEUTRAL,
        )


def _most_first(facts: Sequence[Evidence], name: str, sign: int = 1) -> list[Evidence]:
    """By a number that they state, the largest first, or with ``sign`` -1 the smallest; without it last."""

    def rank(one: Evidence) -> tuple[bool, int, str]:
        stated = one.value(name) or ""
        return not stated.isdecimal(), -sign * int(stated) if stated.isdecimal() else 0, one.id

    return sorted(facts, key=rank)


def _named_in(view: CaseView) -> dict[tuple[str, str], tuple[EventEvidence, Citation]]:
    """The first event that names each entity, and where it does."""
    found: dict[tuple[str, str], tuple[EventEvidence, Citation]] = {}
    for event in view.all_events:
        for kind in look_ups.KINDS[ContextKind.INTELLIGENCE]:
            for name in NAMING[kind]:
                value = event.text(name)
                if value:
                    found.setdefault((kind.value, value.lower()), (event, event.cite(name)))
    return found


def _confidence(fact: Evidence) -> int:
    stated = fact.value("indicator.confidence")
    if stated is None or not stated.isdecimal():
        return UNSTATED_CONFIDENCE
    return min(100, int(stated))


def _entity(fact: Evidence) -> tuple[str, str]:
    """Kind and value of what a fact is about."""
    return fact.value("entity.kind") or EntityKind.RESOURCE.value, fact.value("entity.value") or ""


def _cited(fact: Evidence, *names: str) -> tuple[Citation, ...]:
    return tuple(Citation(fact.id, name, value) for name in names if (value := fact.value(name)) is not None)
