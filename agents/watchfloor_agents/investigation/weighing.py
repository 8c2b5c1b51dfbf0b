"""From claims to probabilities: the competing explanations, weighed by log-odds.

Claims of one code are not independent, and neither are those of one technique: the strongest counts in full, each
further one of the same code not at all, and codes beyond the first of a technique by half. Source of the form: naive
Bayes in log-odds with shared evidence discounted (Good, 1950).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from watchfloor_agents.investigation.engine import Claim
from watchfloor_agents.investigation.view import CaseView
from watchfloor_core.logs.source import Coverage, Health
from watchfloor_core.report import HypothesisKind

MAX_LOG_ODDS: Final = 6.0
"""No pile of evidence makes an engine surer than 400 to 1."""
MAX_LIMITED: Final = 0.99
"""Certainty where a source that the case is about was not whole; it never rounds to 1."""
_WORTH: Final = {Health.WHOLE: 1.0, Health.PARTIAL: 0.5, Health.DARK: 0.0}
REPEATED: Final = 0.5
"""What a further indicator of the same technique counts."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """The explanations' probabilities; they add up to 1."""

    attack: float
    benign: float
    insufficient: float


def visibility(view: CaseView) -> float:
    """0–1: how much there was to look at, as the share of answers whose sources were whole; a partial one counts half.

    0 where nothing could be asked.
    """
    telemetry = [answer for answer in view.answers if answer.is_about_telemetry]
    if not telemetry:
        return 0.0
    return sum(_seen(answer.coverage) for answer in telemetry) / len(telemetry)


def certainty(view: CaseView, weighed: Weighed) -> float:
    """0–1: what is decided, lowered by what the sources could not show.

    However telling the evidence is, a source that was dark or held a part could have shown more of it, on either side:
    each answer counts by the mean of the sources that it was for, and with no sight at all half of the certainty is
    left. Below 1 where any of them was not whole, however many others there are.
    """
    decided = 1 - weighed.insufficient
    telemetry = [answer for answer in view.answers if answer.is_about_telemetry]
    worths = [[_WORTH[one.health] for one in answer.concerned] for answer in telemetry]
    seen = sum(sum(each) / len(each) for each in worths if each) / len(worths) if worths else 0.0
    return decided if seen == 1.0 else min(MAX_LIMITED, decided * (1 + seen) / 2)


def weigh(prior: float | None, attack: float, benign: float, seen: float) -> Weighed:
    """``prior``: probability of an attack before anything was looked at; ``attack`` and ``benign``: log-odds found for
    each; ``seen``: `visibility`.

    What was not seen stays undecided: with little for either side, the share of it that could not be seen goes to
    "insufficient".
    """
    start = math.log(_bounded(prior) / (1 - _bounded(prior))) if prior is not None else 0.0
    total = max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, start + attack - benign))
    decided = 1 - math.exp(-(attack + benign))
    # Evidence that was found counts however little there was to look at; its absence counts only where one could look.
    known = decided + (1 - decided) * 0.5 * seen
    share = 1 / (1 + math.exp(-total))
    return Weighed(known * share, known * (1 - share), 1 - known)


def combined(claims: Iterable[Claim], about: HypothesisKind) -> float:
    """Log-odds of the claims for one explanation; not below 0."""
    strongest: dict[str, Claim] = {}
    for one in claims:
        if one.about is about and one.log_odds > strongest.get(one.code, one).log_odds - 1e-12:
            strongest[one.code] = one
    by_technique: defaultdict[str, list[float]] = defaultdict(list)
    for one in strongest.values():
        by_technique[min(one.techniques, default=one.code)].append(one.log_odds)
    return max(0.0, sum(_discounted(sorted(each, reverse=True)) for each in by_technique.values()))


def _discounted(values: Sequence[float]) -> float:
    return values[0] + REPEATED * sum(values[1:])


def _seen(coverage: Sequence[Coverage]) -> float:
    healths = [one.health for one in coverage]
    if not healths:
        return 0.0
    # The source that sees most decides: another one that is dark takes nothing away.
    return max(_WORTH[one] for one in healths)


def _bounded(probability: float) -> float:
    return min(0.99, max(0.01, probability))
