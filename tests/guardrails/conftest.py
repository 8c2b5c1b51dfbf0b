"""Values that the guardrail tests start from; each test changes the one thing that it is about."""

from __future__ import annotations

from datetime import date

import pytest

from watchfloor_core.alert import Severity
from watchfloor_core.incident import AutonomyLevel, Function, IncidentKind, Verdict
from watchfloor_guardrails.autonomy import AutonomyMatrix, Row, Selector
from watchfloor_guardrails.closing_rule import ClosingRule, RuleMatch
from watchfloor_guardrails.ruling import ClosureProposal, RulingContext


def _matrix_at(level: AutonomyLevel) -> AutonomyMatrix:
    return AutonomyMatrix(
        rows=tuple(
            Row(function, Selector(), level if function is Function.ALERT_TRIAGE else AutonomyLevel.L0)
            for function in Function
        ),
        rules=(
            ClosingRule("scanner", Verdict.BENIGN_POSITIVE, "CHG-1042", date(2026, 6, 30), RuleMatch(uid="2001219")),
            ClosingRule("old", Verdict.FALSE_POSITIVE, "CHG-1", date(2020, 1, 1), RuleMatch(uid="2001219")),
        ),
    )


@pytest.fixture(scope="session")
def matrices() -> dict[AutonomyLevel, AutonomyMatrix]:
    """One matrix for each level of alert_triage, with the rules ``scanner`` (in force) and ``old`` (expired)."""
    return {level: _matrix_at(level) for level in AutonomyLevel}


@pytest.fixture(scope="session")
def quiet_proposal() -> ClosureProposal:
    """An incident that an agent may close at L3: benign, certain, mild, small, on an ordinary asset."""
    return ClosureProposal(
        tenant="acme",
        incident_id="inc-0123456789abcdef",
        revision=3,
        kind=IncidentKind.ACTIVITY,
        is_sealed=True,
        verdict=Verdict.BENIGN_POSITIVE,
        probability=0.01,
        certainty=0.95,
        reasons=(),
        engine="specialist",
        alert_count=12,
        severity=Severity.LOW,
        asset_tier=2,
        alert_family="web",
        rule_id=None,
        has_open_context=False,
    )


@pytest.fixture(scope="session")
def calm_contexts(matrices: dict[AutonomyLevel, AutonomyMatrix]) -> dict[AutonomyLevel, RulingContext]:
    """Nothing stands in the way, at each configured level. The time is 2026-01-01."""
    return {
        level: RulingContext(
            matrix=matrix,
            caps=(),
            now_us=1_767_225_600_000_000,
            current_revision=3,
            engaged_kill_switches=(),
            dark_sources=(),
            is_human_locked=False,
        )
        for level, matrix in matrices.items()
    }
