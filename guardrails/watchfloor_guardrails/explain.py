"""A ruling, or the whole matrix, as lines for a person."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from watchfloor_core.alert import Severity
from watchfloor_core.incident import Function
from watchfloor_guardrails.matrix import AutonomyMatrix, Limits
from watchfloor_guardrails.ruling import Requirement, Ruling

SHOWN_APART: Final = (
    Function.RISK_MANAGEMENT,
    Function.THREAT_DETECTION,
    Function.ALERT_TRIAGE,
    Function.INCIDENT_RESPONSE,
)
"""Always shown, first, and each by itself: one word on "the autonomy of the SOC" would hide that they differ."""


def explain(ruling: Ruling) -> list[str]:
    """Why a ruling is as it is. Control characters, wherever they came from, are shown as escapes."""
    return [_printable(line) for line in _ruling_lines(ruling)]


def show_matrix(matrix: AutonomyMatrix) -> list[str]:
    """Every row by function, from the default to the most specific, then caps, closing rules and the digest."""
    return [_printable(line) for line in _matrix_lines(matrix)]


def _ruling_lines(ruling: Ruling) -> Iterator[str]:
    verdict = f" on {ruling.verdict}" if ruling.verdict else ""
    yield f"incident {ruling.incident_id} revision {ruling.revision}: {ruling.decision}, {ruling.route}{verdict}"
    yield f"decided by: {ruling.actor}" + (f" ({ruling.rule_id})" if ruling.rule_id else "")
    effective = ruling.effective
    yield f"level: L{effective.level} (configured L{effective.configured} by row: {effective.row})"
    for cap in effective.caps:
        yield f"  {'held down by' if cap in effective.binding else 'not binding:'} {cap}"
    width = max((len(hit.rule) for hit in ruling.hits), default=0)
    yield "rules:"
    for hit in ruling.hits:
        yield f"  {hit.outcome:<5} {hit.rule:<{width}}  {hit.text}"
    if ruling.is_shadow:
        yield "the agent's answer is sealed until a person has given theirs"
    if ruling.requirement is not None:
        yield f"needed: {_needed(ruling.requirement)}"
    if ruling.review_drawn:
        yield "drawn for review by a person afterwards"
    yield f"policy: {ruling.policy_digest or 'unreadable'}"


def _needed(requirement: Requirement) -> str:
    people = "one person" if requirement.quorum == 1 else f"{requirement.quorum} different people"
    return f"{people} with role {' or '.join(requirement.roles)} within {requirement.deadline_s / 3600:g} h"


def _matrix_lines(matrix: AutonomyMatrix) -> Iterator[str]:
    for function in (*SHOWN_APART, *(other for other in Function if other not in SHOWN_APART)):
        yield f"{function}"
        for row in matrix.rows_of(function):
            reason = f"  # {row.reason}" if row.reason else ""
            yield f"  L{row.level}  {row.selector}{_limits(row.limits)}{reason}"
    yield "engine caps"
    for engine, level in matrix.engine_caps:
        yield f"  L{level}  {engine}"
    yield "closing rules"
    for rule in matrix.rules:
        yield f"  {rule.id}  {rule.verdict} until {rule.expires}  # {rule.reason}"
    yield f"digest {matrix.digest}"


def _limits(limits: Limits) -> str:
    written = {
        "close_below": limits.close_below,
        "min_certainty": limits.min_certainty,
        "max_alerts": limits.max_alerts,
        "max_severity": None if limits.max_severity is None else Severity(limits.max_severity).name.lower(),
        "sample_review": limits.sample_review,
    }
    shown = ", ".join(f"{name} {value}" for name, value in written.items() if value is not None)
    return f"  [{shown}]" if shown else ""


def _printable(text: str) -> str:
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
