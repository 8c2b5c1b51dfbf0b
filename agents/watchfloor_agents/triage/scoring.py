"""From features to log-odds: every contribution is a `Reason` with its number, and the sum is the answer.

The weights are set by reasoning and stated here; none is fitted to a data set. Detectors of one sensor speak of the
same event, so each further one of the same product counts half of the one before; another product is evidence of its
own. The prior is the base rate among incidents of unusual activity: about one in 55 is an attack.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from watchfloor_agents.triage.features import DetectorEvidence, Features
from watchfloor_agents.triage.lexicon import suggest
from watchfloor_core.alert import Severity
from watchfloor_core.incident import IncidentKind, Reason

PRIOR: Final = -4.0
SURPRISE_WEIGHT: Final = 0.8
SAME_SENSOR_DECAY: Final = 0.5
CORROBORATION_FROM: Final = 1.0
"""A sensor corroborates another where its own most surprising observation is at least this surprising."""
CORROBORATION_WEIGHT: Final = 0.5
CORROBORATION_MAX: Final = 2.5
PROGRESSION_WEIGHT: Final = 0.7
PROGRESSION_MAX: Final = 2.1
SPREAD_MAX: Final = 1.0
UNEXPECTED_FROM: Final = -0.5
"""A detector that is no more surprising than this is expected where it spoke; its title says nothing new."""
CERTAINTY_HALF_DAYS: Final = 1.0
"""Days of watching after which certainty is one half."""

TACTIC_ORDER: Final[dict[str, int]] = {
    tactic: place
    for place, tactic in enumerate(
        (
            "TA0043",  # reconnaissance
            "TA0042",  # resource development
            "TA0001",  # initial access
            "TA0002",  # execution
            "TA0003",  # persistence
            "TA0004",  # privilege escalation
            "TA0005",  # defense evasion
            "TA0006",  # credential access
            "TA0007",  # discovery
            "TA0008",  # lateral movement
            "TA0009",  # collection
            "TA0011",  # command and control
            "TA0010",  # exfiltration
            "TA0040",  # impact
        )
    )
}
"""The order in which ATT&CK's Enterprise matrix lists its tactics."""

_SEVERITY: Final[dict[int, float]] = {
    Severity.INFORMATIONAL: -0.5,
    Severity.LOW: -0.2,
    Severity.MEDIUM: 0.3,
    Severity.HIGH: 1.0,
    Severity.CRITICAL: 1.8,
    Severity.FATAL: 1.8,
}
_TIER: Final = {0: 1.0, 1: 0.5, 2: 0.0, 3: -0.3}


def severity_log_odds(severity: int) -> float:
    """What the sensor's own severity adds; unknown and other add nothing."""
    return _SEVERITY.get(severity, 0.0)


def telling_order(evidence: DetectorEvidence) -> tuple[float, str]:
    """Sorts detectors by how much they say: surprise, severity and title together."""
    said = evidence.total + severity_log_odds(evidence.severity) + suggest(evidence.title).log_odds
    return said, evidence.detector_id


def certainty(features: Features) -> float:
    """0–1: how much watching stands behind the surprises."""
    return features.exposure_days / (features.exposure_days + CERTAINTY_HALF_DAYS)


def probability(log_odds: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, log_odds))))


def contributions(features: Features) -> list[Reason]:
    """Every reason but people's verdicts, largest first after the prior."""
    reasons = [
        *_surprises(features),
        *_corroboration(features),
        *_progression(features),
        *_content(features),
        *_spread(features),
        *_criticality(features),
    ]
    reasons.sort(key=lambda reason: (-abs(reason.log_odds), reason.code, reason.text))
    prior = Reason("prior", "Base rate: about one incident in 55 is an attack", PRIOR)
    return [prior, *reasons]


def log_odds(reasons: Iterable[Reason]) -> float:
    return sum(reason.log_odds for reason in reasons)


def _by_product(features: Features) -> dict[str, list[DetectorEvidence]]:
    products: dict[str, list[DetectorEvidence]] = defaultdict(list)
    for evidence in features.detectors.values():
        products[evidence.product].append(evidence)
    for held in products.values():
        held.sort(key=lambda evidence: (-evidence.total, evidence.detector_id))
    return products


def _surprises(features: Features) -> list[Reason]:
    held = list(features.detectors.values())
    if not held:
        return []
    strongest = max(held, key=lambda evidence: (evidence.total, evidence.detector_id))
    if features.kind == IncidentKind.ROUTINE:
        text = f"Within the learned normal; the least expected is {_describe(strongest)}"
        return [Reason("within_normal", text, min(0.0, strongest.total))]
    if strongest.total <= 0:
        text = f"Nothing stands out against what is known so far; the least expected is {_describe(strongest)}"
        return [Reason("nothing_stands_out", text, strongest.total)]
    reasons = []
    for product_evidence in _by_product(features).values():
        for place, evidence in enumerate(product_evidence):
            share = SURPRISE_WEIGHT * max(0.0, evidence.total) * SAME_SENSOR_DECAY**place
            if share >= 0.01:
                reasons.append(Reason(_surprise_code(evidence), _describe(evidence), share))
    return reasons


def _surprise_code(evidence: DetectorEvidence) -> str:
    if evidence.volume > max(0.0, evidence.arrival):
        return "unusual_volume"
    return "novel_detector_on_asset" if evidence.hours_seen == 0 else "rare_detector_on_asset"


def _describe(evidence: DetectorEvidence) -> str:
    """The numbers behind a surprise; titles come from the rule's author and are quoted where shown."""
    seen = (
        "never before here"
        if evidence.hours_seen < 0.05
        else f"in {evidence.hours_seen:.0f} earlier hours here"
        if evidence.hours_seen >= 0.95
        else "hardly ever before here"
    )
    text = f"{evidence.product}: {evidence.title!r} on {evidence.asset!r}: {seen}, "
    text += f"expected {evidence.expected_per_day:.2g} active hours a day"
    if evidence.volume > 0:
        text += f"; {evidence.hour_total:,} alerts in one hour, {evidence.louder_hours:.0f} earlier hours as loud"
    return text


def _corroboration(features: Features) -> list[Reason]:
    if features.kind == IncidentKind.ROUTINE:
        return []
    best = sorted(
        ((held[0].total, product) for product, held in _by_product(features).items()),
        key=lambda pair: (-pair[0], pair[1]),
    )
    others = [(total, product) for total, product in best[1:] if total >= CORROBORATION_FROM]
    if not others:
        return []
    weight = min(CORROBORATION_MAX, CORROBORATION_WEIGHT * sum(total for total, _ in others))
    names = ", ".join([best[0][1], *(product for _, product in others)])
    return [Reason("corroboration", f"{len(others) + 1} independent sensors see something unusual: {names}", weight)]


def _tactics(evidence: DetectorEvidence) -> list[str]:
    if evidence.tactics:
        return evidence.tactics
    suggested = suggest(evidence.title).tactic
    return [suggested] if suggested else []


def _progression(features: Features) -> list[Reason]:
    """The longest chain of different tactics, each first seen no earlier than the one before it in the matrix."""
    first_seen: dict[str, int] = {}
    for evidence in features.detectors.values():
        if evidence.total <= 0:
            continue
        for tactic in _tactics(evidence):
            if tactic in TACTIC_ORDER:
                first_seen[tactic] = min(evidence.first_us, first_seen.get(tactic, evidence.first_us))
    ordered = sorted(first_seen, key=lambda tactic: TACTIC_ORDER[tactic])
    best: list[list[str]] = []
    for tactic in ordered:
        before = [chain for chain in best if first_seen[chain[-1]] <= first_seen[tactic]]
        best.append([*max(before, key=len, default=[]), tactic])
    chain = max(best, key=len, default=[])
    if len(chain) < 2:
        return []
    weight = min(PROGRESSION_MAX, PROGRESSION_WEIGHT * (len(chain) - 1))
    return [Reason("tactic_progression", f"ATT&CK tactics in order: {' → '.join(chain)}", weight)]


def _content(features: Features) -> list[Reason]:
    """The sensor's own severity and what the rule's title says, of detectors that are not expected here."""
    unexpected = [e for e in features.detectors.values() if e.total > UNEXPECTED_FROM]
    reasons = []
    severest = max(
        unexpected or features.detectors.values(),
        key=lambda e: (severity_log_odds(e.severity), e.detector_id),
        default=None,
    )
    if severest is not None and (weight := severity_log_odds(severest.severity)):
        name = Severity(severest.severity).name.capitalize()
        reasons.append(Reason("severity", f"{severest.product} rates {severest.title!r} {name}", weight))
    telling = max(unexpected, key=lambda e: (suggest(e.title).log_odds, e.detector_id), default=None)
    if telling is not None and (weight := suggest(telling.title).log_odds):
        reasons.append(Reason("rule_title", f"The rule's title names an attack technique: {telling.title!r}", weight))
    return reasons


def _spread(features: Features) -> list[Reason]:
    widest = max(
        (e for e in features.detectors.values() if e.arrival >= CORROBORATION_FROM),
        key=lambda e: (len(e.assets), e.detector_id),
        default=None,
    )
    if widest is None or len(widest.assets) < 3:
        return []
    weight = min(SPREAD_MAX, 0.5 * math.log(len(widest.assets)))
    return [Reason("spread", f"{widest.title!r} is new on {len(widest.assets)} assets at once", weight)]


def _criticality(features: Features) -> list[Reason]:
    if features.tier is None or not (weight := _TIER.get(features.tier, 0.0)):
        return []
    # A name that the attacker chose may be that of an unimportant machine.
    is_external = any(evidence.is_asset_external for evidence in features.detectors.values())
    text = f"Its most critical asset is of tier {features.tier}"
    return [Reason("asset_criticality", text, weight, rests_on_external=is_external)]
