"""What of an incident a proposal rests on, and when a change of it is material.

A late alert of the same kind makes a new revision and changes nothing about what was proposed; a person's verdict, a
closure or a target that is no longer part of the incident does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watchfloor_core.alert import Severity
from watchfloor_core.incident import Function, Verdict
from watchfloor_guardrails.catalogue import CATALOGUE, function_of
from watchfloor_guardrails.closing_rule import severity_rank

HARMLESS: Final = frozenset({Verdict.FALSE_POSITIVE, Verdict.BENIGN_POSITIVE})


@dataclass(frozen=True, slots=True)
class IncidentFacts:
    """An incident at one revision, as far as it bears on a proposal."""

    revision: int
    is_open: bool
    verdict: Verdict | None
    severity: Severity
    asset_tier: int | None
    alert_family: str
    has_target: bool
    """The proposal's target stands in it, or a person named the target."""


def material_change(before: IncidentFacts, now: IncidentFacts, action_class: str) -> str | None:
    """Why a proposal of this class made on ``before`` no longer holds, in words for a person; None where it does.

    A response rests on an open incident that is as bad as it was. That less is detected rests on one that is held for
    harmless, open or closed; and that all is detected again rests on nothing.
    """
    if function_of(action_class) is Function.THREAT_DETECTION:
        known = CATALOGUE.get(action_class)
        return _no_longer_harmless(before, now) if known is None or known.is_containment else None
    if not now.is_open:
        return "the incident is no longer open"
    if now.verdict is not before.verdict:
        return f"the verdict was {before.verdict or 'none'} and is {now.verdict or 'none'}"
    if before.has_target and not now.has_target:
        return "the target is no longer part of the incident"
    if now.asset_tier != before.asset_tier:
        return f"the most critical asset was of tier {before.asset_tier} and is of tier {now.asset_tier}"
    if severity_rank(now.severity) < severity_rank(before.severity):
        return f"the severity fell from {before.severity.name.lower()} to {now.severity.name.lower()}"
    return None


def _no_longer_harmless(before: IncidentFacts, now: IncidentFacts) -> str | None:
    if now.verdict not in HARMLESS:
        return f"nobody holds the incident for harmless: its verdict is {now.verdict or 'none'}"
    if now.asset_tier != before.asset_tier:
        return f"the most critical asset was of tier {before.asset_tier} and is of tier {now.asset_tier}"
    return None
