"""The specialist engine: investigates with no model, by what analysers know of techniques."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from watchfloor_agents.investigation import look_ups
from watchfloor_agents.investigation.analysers import ANALYSERS
from watchfloor_agents.investigation.composing import compose
from watchfloor_agents.investigation.engine import Analyser, Analysis, Claim
from watchfloor_agents.investigation.lineage import lineage
from watchfloor_agents.investigation.testing_hypotheses import expectations
from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_core.attack_ids import current_techniques
from watchfloor_core.report import HypothesisKind, Report, Unknown

NAME: Final = "specialist"
VERSION: Final = "4"

TechniqueName = Callable[[str], str | None]
"""The name of an ATT&CK technique by its id; None where it is unknown."""


def _in_order(analyses: Sequence[Analysis]) -> tuple[Claim, ...]:
    # Rules and analysers are of different years, and say of one technique by different ids.
    found = [
        replace(claim, techniques=current_techniques(claim.techniques)) for one in analyses for claim in one.claims
    ]
    return tuple(sorted(found, key=lambda one: (one.time_us, one.code, one.text)))


class SpecialistEngine:
    """An `InvestigationEngine` made of analysers."""

    name = NAME

    def __init__(
        self, analysers: Sequence[Analyser] = ANALYSERS, technique_name: TechniqueName = lambda _: None
    ) -> None:
        self._analysers = tuple(analysers)
        self._technique_name = technique_name
        parts = [f"{one.name}:{one.version}" for one in self._analysers]
        self.version = hashlib.sha256("\n".join((VERSION, *parts)).encode()).hexdigest()[:16]
        """Another one where any analyser is."""

    def plan(self, view: CaseView) -> Sequence[Question]:
        """First what the analysers look for; then where the programs came from that they found, and what is known of
        all that was found."""
        if view.round == 0:
            return [question for one in self._analysers for question in one.questions(view)]
        claims = self._claims(view)
        return [*lineage(view, claims), *look_ups.of_findings(view, claims)]

    def tests(self, view: CaseView) -> Sequence[Question]:
        claims = self._claims(view)
        return [*(one.question for one in expectations(view, claims)), *look_ups.of_findings(view, claims)]

    def conclude(self, view: CaseView) -> Report:
        analyses = [one.analyse(view) for one in self._analysers]
        claims = _in_order(analyses)
        report = compose(view, claims, expectations(view, claims), self._named(claims), (self.name, self.version))
        said = tuple(Unknown(text=text, cause="not_collected") for one in analyses for text in one.unknowns)
        return replace(report, unknowns=(*report.unknowns, *said))

    def _claims(self, view: CaseView) -> tuple[Claim, ...]:
        return _in_order([one.analyse(view) for one in self._analysers])

    def _named(self, claims: Sequence[Claim]) -> Mapping[str, str]:
        attack = {technique for one in claims if one.about is HypothesisKind.ATTACK for technique in one.techniques}
        return {one: self._technique_name(one) or one for one in sorted(attack)}
