"""Somebody else's analyser among ours: its failures are its own, and its claims carry no more than claims may."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from watchfloor_agents.investigation.engine import Analyser, Analysis, Claim
from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_core.report import Stance

logger = logging.getLogger(__name__)

MAX_QUESTIONS: Final = 50
"""In one round; the investigation's own budget holds beside it."""
MAX_CLAIMS: Final = 100
MAX_CLAIM_ODDS: Final = 5.0
"""No single claim makes an engine surer than 150 to 1."""


class Guarded:
    """An `Analyser` that never raises and never floods.

    Whatever it claims passes the check of reports like everybody's; what is bounded here is what the check does not
    look at.
    """

    def __init__(self, inner: Analyser) -> None:
        self._inner = inner
        self.name = inner.name
        self.version = inner.version

    def questions(self, view: CaseView) -> Sequence[Question]:
        try:
            return tuple(self._inner.questions(view))[:MAX_QUESTIONS]
        except Exception as error:  # noqa: BLE001  # someone else's code: the others go on
            self._tell("questions", error)
            return ()

    def analyse(self, view: CaseView) -> Analysis:
        try:
            found = self._inner.analyse(view)
            claims = tuple(_bounded(self.name, one) for one in found.claims)[:MAX_CLAIMS]
        except Exception as error:  # noqa: BLE001  # as above
            self._tell("analyse", error)
            return Analysis(unknowns=(f"The analyser {self.name} failed with {type(error).__name__}",))
        return Analysis(claims=claims, unknowns=tuple(found.unknowns)[:MAX_CLAIMS])

    def _tell(self, what: str, error: Exception) -> None:
        # The class alone: its text can quote what an attacker wrote.
        logger.warning("analyser %s failed in %s: %s", self.name, what, type(error).__qualname__)


def _bounded(name: str, claim: Claim) -> Claim:
    odds = claim.log_odds if math.isfinite(claim.log_odds) else 0.0
    bounded = max(-MAX_CLAIM_ODDS, min(MAX_CLAIM_ODDS, odds))
    code = claim.code if claim.code.startswith(f"{name}.") else f"{name}.{claim.code}"
    stance = claim.stance if isinstance(claim.stance, Stance) else Stance.NEUTRAL
    return replace(claim, code=code, log_odds=bounded, stance=stance)
