"""From a checked report to steps worth proposing: in phases, the least disruptive first.

A step is data. Whether it runs, and whether a person must agree, is decided by the guardrails like anybody's proposal;
blast radius and undo are computed there and not believed here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from watchfloor_agents.response.naming import naming_of
from watchfloor_core.alert import Integrity
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import Verdict
from watchfloor_core.report import Phase, Recommendation, Report
from watchfloor_guardrails.catalogue import CATALOGUE

MAX_STEPS: Final = 5
"""Proposals that one report leads to; what is beyond stays a recommendation for people."""
MAX_PURPOSE: Final = 600
"""Characters."""

_PHASES: Final = (Phase.CONTAIN, Phase.ERADICATE, Phase.RECOVER)
_DISRUPTION: Final = ("deny ip", "contain file", "stop process", "disable user")
"""The least first: an address outside costs nobody their work, an account costs one person theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One action to propose."""

    phase: Phase
    action_class: str
    target_kind: str
    value: str
    integrity: Integrity
    """Of the most trusted cited field that names the target."""
    sources: frozenset[str]
    """Whose own fields name it."""
    purpose: str
    """Why, with the findings it rests on."""


def plan_response(report: Report, evidence: Mapping[str, Evidence]) -> tuple[Step, ...]:
    """The steps, in the order in which they are worth taking; none unless the report finds an attack.

    ``report``: checked. A recommendation is left to people where no action class of the catalogue fits it, and where no
    field that its findings cite names the target.
    """
    if report.verdict is not Verdict.TRUE_POSITIVE:
        return ()
    found: dict[tuple[str, str], Step] = {}
    for one in report.recommendations:
        step = _step(one, report, evidence)
        if step is not None:
            found.setdefault((step.action_class, step.value), step)
    return tuple(sorted(found.values(), key=_rank))[:MAX_STEPS]


def _rank(step: Step) -> tuple[int, int, str]:
    known = step.action_class in _DISRUPTION
    disruption = _DISRUPTION.index(step.action_class) if known else len(_DISRUPTION)
    return _PHASES.index(step.phase), disruption, step.value


def _step(one: Recommendation, report: Report, evidence: Mapping[str, Evidence]) -> Step | None:
    known = CATALOGUE.get(one.action_class)
    if known is None or known.target != one.target_kind:
        return None
    named = naming_of(one.target, one.finding_ids, report, evidence)
    if named is None:
        return None
    text = f"{one.purpose} ({', '.join(one.finding_ids)}). Expected: {one.expected_effect}"
    return Step(
        phase=one.phase,
        action_class=one.action_class,
        target_kind=one.target_kind,
        value=one.target,
        integrity=named.integrity,
        sources=named.sources,
        purpose=text[:MAX_PURPOSE],
    )
