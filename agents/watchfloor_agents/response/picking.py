"""Which playbooks fit a report: by the techniques that it bears out, and the entities that it names.

A pick is data, and gives no authority: what the playbook does is proposed step by step, and ruled on as anything is.
The same report and playbooks always give the same picks, with the reason for each and for each that was left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from watchfloor_agents.response.naming import naming_of
from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import EntityKind, EntityRole
from watchfloor_core.attack_ids import current_technique
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import Verdict
from watchfloor_core.report import AffectedEntity, HypothesisKind, Report, Scope, Stance, TechniqueClaim
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.endorsement import endorse_by_corroboration
from watchfloor_playbooks.binding import Candidate, Filling, fill
from watchfloor_playbooks.extension import of_playbook
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held, Values

_ROLES: Final[Mapping[Scope, frozenset[EntityRole]]] = {
    # An attacker who is in control of an entity has done something to it, and does things with it.
    Scope.COMPROMISED: frozenset({EntityRole.TARGET, EntityRole.ACTOR}),
    Scope.TARGETED: frozenset({EntityRole.TARGET}),
    Scope.INVOLVED: frozenset({EntityRole.ACTOR, EntityRole.RELATED}),
}
"""A report tells how far an entity is affected; a binding asks for the part that it played."""
_STRENGTH: Final = (Scope.COMPROMISED, Scope.TARGETED, Scope.INVOLVED)
_SHOWN: Final = 80


@dataclass(frozen=True, slots=True)
class TechniqueMatch:
    """A technique of the report that a playbook answers."""

    technique: str
    """As the report names it."""
    answered_as: str
    """As the playbook names it: the same, or the technique that it is a part of."""
    finding_ids: tuple[str, ...]
    """That bear it out and speak for an attack."""
    log_odds: float
    """What these findings add for an attack, natural logarithm."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A playbook that fits."""

    playbook: Playbook
    values: Values
    """What its run is given: each variable with the label of the entity that fills it."""
    others: Mapping[str, tuple[str, ...]]
    """By variable, other entities of the report that would do, the best first; only variables that have some."""
    matches: tuple[TechniqueMatch, ...]
    """The strongest first."""
    weight: float
    """What the findings of all matches, each once, add for an attack (natural-log odds)."""
    reason: str
    """In words; what an attacker may have written is quoted in it."""


@dataclass(frozen=True, slots=True)
class Left:
    """A playbook that does not fit."""

    playbook: Playbook
    reason: str
    is_near: bool
    """It answers a technique of the report, and something else is missing."""


@dataclass(frozen=True, slots=True)
class Picks:
    picked: tuple[Pick, ...]
    """The best first: by the weight of the findings that it answers, then by how many techniques."""
    left: tuple[Left, ...]
    """Near ones first, in the order in which they were given."""


def pick(
    report: Report, evidence: Mapping[str, Evidence], playbooks: Sequence[Playbook], *, is_attack: bool | None = None
) -> Picks:
    """The playbooks that fit a report.

    ``report``: checked; ``evidence``: what it cites, by id. What is no attack has none; ``is_attack`` says that it is
    one, or is none, where somebody else than the report decides on that.
    """
    if is_attack is None:
        is_attack = report.verdict is Verdict.TRUE_POSITIVE
    picked: list[Pick] = []
    left: list[Left] = []
    for playbook in playbooks:
        found = _considered(playbook, report, evidence, is_attack=is_attack)
        if isinstance(found, Pick):
            picked.append(found)
        else:
            left.append(found)
    return Picks(tuple(sorted(picked, key=_rank)), tuple(sorted(left, key=lambda one: not one.is_near)))


def candidates_of(
    report: Report, evidence: Mapping[str, Evidence], answered: frozenset[str] = frozenset()
) -> tuple[Candidate, ...]:
    """The report's entities as they may fill variables, the best first.

    ``answered``: findings that a playbook answers; of entities else alike, what most of these name comes first.
    An entity that no cited field names fills nothing. Its label is that of the most trusted cited field; several
    sources that name it in fields of their own vouch for it.
    """
    found = []
    for one in report.entities:
        named = naming_of(one.value, one.finding_ids, report, evidence)
        if named is None or one.kind not in tuple(EntityKind):
            continue
        labelled = endorse_by_corroboration(Labelled(one.value, named.integrity), named.sources)
        candidate = Candidate(EntityKind(one.kind), _ROLES[one.scope], Held.of(labelled))
        found.append((_order(one, labelled, answered), candidate))
    return tuple(candidate for _, candidate in sorted(found, key=lambda pair: pair[0]))


def _order(
    one: AffectedEntity, labelled: Labelled, answered: frozenset[str]
) -> tuple[bool, int, bool, int, int, str, str]:
    is_inside = one.kind == EntityKind.IP.value and not is_outside(one.value)
    named_by = len(answered.intersection(one.finding_ids))
    known = (is_inside, _STRENGTH.index(one.scope), labelled.is_tainted)
    return *known, -named_by, -len(one.finding_ids), one.kind, one.value


def _rank(one: Pick) -> tuple[float, int, int, str, str]:
    head = one.playbook.head
    return -one.weight, -len(one.matches), -(head.severity or 0), head.id, head.modified


def _considered(
    playbook: Playbook, report: Report, evidence: Mapping[str, Evidence], *, is_attack: bool
) -> Pick | Left:
    ours = of_playbook(playbook)
    if not is_attack:
        return Left(playbook, f"the report finds no attack; its verdict is {report.verdict}", False)
    if playbook.head.revoked:
        return Left(playbook, "it is revoked", False)
    if not ours.attack:
        return Left(playbook, "it names no ATT&CK technique that it answers", False)
    matches = _matches(ours.attack, report, evidence)
    if not matches:
        borne_out = ", ".join(one.technique for one in report.techniques) or "none"
        return Left(playbook, f"it answers {', '.join(ours.attack)}; the report bears out {borne_out}", False)
    answered = frozenset(finding_id for one in matches for finding_id in one.finding_ids)
    filling = fill(playbook, candidates_of(report, evidence, answered), report.incident_id)
    if filling.missing:
        wanted = ", ".join(_wanted(playbook, name) for name in filling.missing)
        return Left(playbook, f"{_answers(matches)}, but the report names nothing for {wanted}", True)
    if filling.problem is not None:
        tried = _told(filling, report) or "nothing"
        return Left(playbook, f"{_answers(matches)}, but {filling.problem} with {tried}", True)
    unfilled = sorted(name for name in ours.bindings if name not in filling.filled)
    rest = f"; not filled: {', '.join(unfilled)}" if unfilled else ""
    told = _told(filling, report)
    reason = _answers(matches) + (f"; {told}" if told else "") + rest
    others = {name: tuple(str(one.held.value) for one in some) for name, some in filling.others.items() if some}
    return Pick(playbook, filling.values, others, matches, _weight(matches, report), reason)


def _weight(matches: Iterable[TechniqueMatch], report: Report) -> float:
    answered = {finding_id for one in matches for finding_id in one.finding_ids}
    return sum(one.log_odds for one in report.findings if one.id in answered)


def _matches(answered: Iterable[str], report: Report, evidence: Mapping[str, Evidence]) -> tuple[TechniqueMatch, ...]:
    current = {current_technique(one): one for one in answered}
    found = []
    for claim in report.techniques:
        technique = current_technique(claim.technique)
        name = current.get(technique) or current.get(technique.partition(".")[0])
        finding_ids, log_odds = _borne_out(claim, report, evidence)
        if name is not None and finding_ids:
            found.append(TechniqueMatch(claim.technique, name, finding_ids, log_odds))
    return tuple(sorted(found, key=lambda one: (-one.log_odds, one.technique)))


def _borne_out(
    claim: TechniqueClaim, report: Report, evidence: Mapping[str, Evidence]
) -> tuple[tuple[str, ...], float]:
    """The findings of a technique that speak for an attack and whose evidence is there, and their weight."""
    attacks = {one.id for one in report.hypotheses if one.kind is HypothesisKind.ATTACK}
    kept = [
        one
        for one in report.findings
        if one.id in claim.finding_ids
        and one.stance is Stance.SUPPORTS
        and (one.hypothesis_id is None or one.hypothesis_id in attacks)
        and one.citations
        and all(citation.evidence_id in evidence for citation in one.citations)
    ]
    return tuple(one.id for one in kept), sum(one.log_odds for one in kept)


def _answers(matches: Sequence[TechniqueMatch]) -> str:
    return f"it answers {', '.join(map(_answer, matches))}"


def _answer(one: TechniqueMatch) -> str:
    part = "" if one.answered_as == one.technique else f" (as {one.answered_as})"
    return f"{one.technique}{part} by {_ids(one.finding_ids)}"


def _ids(finding_ids: Sequence[str]) -> str:
    return " ".join(finding_ids[:4]) + (f" and {len(finding_ids) - 4} more" if len(finding_ids) > 4 else "")


def _wanted(playbook: Playbook, name: str) -> str:
    binding = of_playbook(playbook).bindings.get(name)
    if binding is None:
        return f"{name} (which only people can give)"
    return f"{name} ({binding.entity}{'' if binding.role is None else f' as {binding.role}'})"


def _told(filling: Filling, report: Report) -> str:
    scopes = {(one.kind, one.value): one for one in report.entities}
    told = []
    for name, candidate in sorted(filling.filled.items()):
        held = candidate.held
        entity = scopes[candidate.kind.value, str(held.value)]
        label = f"{held.integrity.name.lower()}{f', vouched for by {held.endorsed_by}' if held.endorsed_by else ''}"
        others = len(filling.others[name])
        beside = f"; {others} more would do" if others else ""
        told.append(
            f"{name} is the {candidate.kind} {quote_untrusted(str(held.value), _SHOWN)} "
            f"({entity.scope}, {_ids(entity.finding_ids)}, {label}{beside})"
        )
    return ", ".join(told)
