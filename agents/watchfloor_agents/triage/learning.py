"""What people's verdicts teach about a detector, shrunk so that few verdicts move little.

Verdicts are counted at three levels, each the prior of the one below: the organisation, the product (a detector's
cousins), the detector. At each level the share of true positives is a Beta posterior whose prior mean is the level
above, worth `PRIOR_VERDICTS` verdicts; the lesson is the log-odds by which the detector's share differs from the base
rate. Only verdicts of people count; what an agent closed teaches nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, func, select

from watchfloor_agents.triage.features import Features
from watchfloor_core.incident import Verdict
from watchfloor_core.store import schema

PRIOR_VERDICTS: Final = 6.0
"""Verdicts that a prior is worth at each level."""
BASE_SHARE: Final = 0.2
"""Share of true positives among incidents that people judge, before any verdict: they see the unclear ones."""
MAX_LOG_ODDS: Final = 2.5
NEWEST: Final = 5_000
"""So many of the latest verdicts are looked at."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What people said of incidents that this detector led."""

    true_positives: int
    benign: int
    cousins: int
    """Verdicts on other detectors of the same product."""
    log_odds: float


@dataclass(frozen=True, slots=True)
class JudgedIncident:
    """One person's verdict, with the detectors that led the incident."""

    verdict: Verdict
    leaders: tuple[tuple[str, str], ...]
    """(detector id, product) of the most surprising detectors."""


def leaders(features: Features, limit: int = 3) -> tuple[tuple[str, str], ...]:
    """The detectors that a verdict on this incident speaks of."""
    held = sorted(features.detectors.values(), key=lambda evidence: (-evidence.total, evidence.detector_id))
    return tuple((evidence.detector_id, evidence.product) for evidence in held[:limit])


def lessons(judged: Iterable[JudgedIncident], wanted: Iterable[tuple[str, str]]) -> dict[str, Lesson]:
    """The lesson for each wanted (detector, product); detectors on which nothing bears are left out."""
    total = [0, 0]
    products: dict[str, list[int]] = {}
    detectors: dict[str, list[int]] = {}
    for case in judged:
        if case.verdict is Verdict.UNDETERMINED:
            continue
        column = 0 if case.verdict is Verdict.TRUE_POSITIVE else 1
        total[column] += 1
        for product in {product for _, product in case.leaders}:
            products.setdefault(product, [0, 0])[column] += 1
        for detector, _ in case.leaders:
            detectors.setdefault(detector, [0, 0])[column] += 1
    if not any(total):
        return {}
    found = {}
    for detector, product in wanted:
        of_product = products.get(product, [0, 0])
        of_detector = detectors.get(detector, [0, 0])
        if not any(of_product):
            continue
        # The organisation's overall share says which incidents people are shown, not what a detector is worth:
        # it is not a level of its own.
        share = _posterior(of_detector, _posterior(of_product, BASE_SHARE))
        weight = math.log(share / (1 - share)) - math.log(BASE_SHARE / (1 - BASE_SHARE))
        found[detector] = Lesson(
            of_detector[0],
            of_detector[1],
            sum(of_product) - sum(of_detector),
            max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, weight)),
        )
    return found


def _posterior(counts: list[int], prior: float) -> float:
    return (counts[0] + PRIOR_VERDICTS * prior) / (sum(counts) + PRIOR_VERDICTS)


def lessons_for(connection: Connection, tenant: str, features: Features) -> dict[str, Lesson]:
    """What people's verdicts so far teach about the leaders of an incident."""
    verdicts, incidents = schema.human_verdict, schema.incident
    latest = (
        select(verdicts.c.incident_id, func.max(verdicts.c.id).label("id"))
        .where(verdicts.c.tenant == tenant)
        .group_by(verdicts.c.incident_id)
        .order_by(func.max(verdicts.c.id).desc())
        .limit(NEWEST)
        .subquery()
    )
    rows = connection.execute(
        select(verdicts.c.verdict, incidents.c.features)
        .join(latest, latest.c.id == verdicts.c.id)
        .join(
            incidents,
            (incidents.c.tenant == verdicts.c.tenant) & (incidents.c.id == verdicts.c.incident_id),
        )
    )
    judged = [JudgedIncident(Verdict(row.verdict), leaders(Features.from_json(row.features["triage"]))) for row in rows]
    return lessons(judged, leaders(features))
