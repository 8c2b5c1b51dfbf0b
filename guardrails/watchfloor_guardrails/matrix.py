"""The autonomy matrix: which level the operator has set for which task, and how one row is chosen.

A row names a function and, where it matters, up to four dimensions. Of the rows that match a task, the most specific
one holds, whole: nothing is inherited from a less specific row.

Specificity is a total order over the rows that match one task:

1. the row that names more dimensions wins;
2. else the rows are compared dimension by dimension in the order of `DIMENSIONS`, where an exact name beats a
   prefix, a longer prefix beats a shorter one, and any name beats none.

Two rows that tie in both name the same dimensions; in each, both are exact (and equal, since both match the task), or
both are prefixes of one length of the same text (and so equal). They have the same selector, which is an error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pydantic import JsonValue

from watchfloor_core.alert import Severity
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.incident import AutonomyLevel, Function
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.closing_rule import ClosingRule
from watchfloor_guardrails.selector import NameMatch

CLOSE_INCIDENT: Final = "close incident"
"""Action class of closing an incident."""
INVESTIGATE_INCIDENT: Final = "investigate incident"
"""What an agent does for the function ``investigation``: it asks telemetry and writes a report."""

ACTION_CLASSES: Final = (CLOSE_INCIDENT, INVESTIGATE_INCIDENT, *CATALOGUE)
"""Every action class that a row may name: a misspelt one would never match, and so silently not restrict."""

UNKNOWN_TIER: Final = 2
"""An asset that is not in the inventory counts as tier 2."""

DIMENSIONS: Final = ("asset_tier", "tenant", "alert_family", "action_class")
"""The order that breaks ties between equally many named dimensions: what is at stake comes before whose it is."""


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be done, as the matrix sees it."""

    function: Function
    action_class: str
    alert_family: str
    asset_tier: int | None
    """0 (crown jewel) to 3; None where the asset is unknown, which counts as `UNKNOWN_TIER`."""
    tenant: str


@dataclass(frozen=True, slots=True)
class Selector:
    """The tasks of one function that a row speaks of; None in a dimension leaves it open."""

    action_class: str | None = None
    alert_family: NameMatch | None = None
    asset_tier: int | None = None
    tenant: NameMatch | None = None

    def matches(self, task: Task) -> bool:
        tier = UNKNOWN_TIER if task.asset_tier is None else task.asset_tier
        return (
            self.action_class in (None, task.action_class)
            and (self.alert_family is None or self.alert_family.matches(task.alert_family))
            and self.asset_tier in (None, tier)
            and (self.tenant is None or self.tenant.matches(task.tenant))
        )

    @property
    def specificity(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """Compares as the module's docstring says: named dimensions first, then each in the order of `DIMENSIONS`."""
        precisions = tuple(_precision(getattr(self, dimension)) for dimension in DIMENSIONS)
        return sum(precision > _OPEN for precision in precisions), precisions

    @property
    def is_default(self) -> bool:
        return self == Selector()

    def __str__(self) -> str:
        named = [(dimension, getattr(self, dimension)) for dimension in DIMENSIONS]
        return " ".join(f"{dimension}={value}" for dimension, value in named if value is not None) or "(default)"


_OPEN: Final = (0, 0)


def _precision(named: NameMatch | str | int | None) -> tuple[int, int]:
    match named:
        case None:
            return _OPEN
        case NameMatch(text, is_prefix=True):
            return 1, len(text)
        case NameMatch() | str() | int():
            return 2, 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an alert_triage row writes about closing; None takes the level's standard (`envelope_at`)."""

    close_below: float | None = None
    """The agent may close at or under this probability of TruePositive; at most 0.5."""
    min_certainty: float | None = None
    """0–1; under this certainty a person decides."""
    max_alerts: int | None = None
    """Blast cap: so many alerts may be closed in one act."""
    max_severity: Severity | None = None
    """A more severe incident goes to a person."""
    sample_review: float | None = None
    """0–1: the share of closures at L4 that is drawn for review afterwards."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """Inside which an agent closes at one level; None is no limit."""

    close_below: float
    min_certainty: float
    max_alerts: int | None
    max_severity: Severity | None
    sample_review: float


_STANDARD: Final = {
    AutonomyLevel.L3: Envelope(
        close_below=0.05, min_certainty=0.8, max_alerts=1_000, max_severity=Severity.MEDIUM, sample_review=1.0
    ),
    AutonomyLevel.L4: Envelope(
        close_below=0.5, min_certainty=0.0, max_alerts=None, max_severity=None, sample_review=0.1
    ),
}
"""No part of L3's is wider than L4's, so that lowering a level can only narrow what an agent may do."""


def envelope_at(level: AutonomyLevel, limits: Limits) -> Envelope:
    """What a row has written, else the standard of L4 or, at L3 and under, that of L3."""
    standard = _STANDARD[max(level, AutonomyLevel.L3)]
    return Envelope(
        close_below=standard.close_below if limits.close_below is None else limits.close_below,
        min_certainty=standard.min_certainty if limits.min_certainty is None else limits.min_certainty,
        max_alerts=standard.max_alerts if limits.max_alerts is None else limits.max_alerts,
        max_severity=standard.max_severity if limits.max_severity is None else limits.max_severity,
        # Every closure at L3 is reviewed, whatever the row says about sampling.
        sample_review=(
            standard.sample_review
            if limits.sample_review is None or level is not AutonomyLevel.L4
            else limits.sample_review
        ),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One setting of the matrix."""

    function: Function
    selector: Selector
    level: AutonomyLevel
    reason: str = ""
    """Why the operator set it so."""
    limits: Limits = Limits()

    def __str__(self) -> str:
        return f"{self.function} {self.selector}"


@dataclass(frozen=True)
class AutonomyMatrix:
    """The operator's whole policy on autonomy. One that exists is complete: every task has exactly one row."""

    rows: tuple[Row, ...]
    engine_caps: tuple[tuple[str, AutonomyLevel], ...] = ()
    """The most that each engine, or family of engines, may do; it can lower a level only."""
    rules: tuple[ClosingRule, ...] = ()
    """Deterministic closing rules; where several match, the first one closes."""

    def __post_init__(self) -> None:
        problems = [f"function {function} has no default row" for function in functions_without_default(self.rows)]
        problems += [f"two rows for {self.rows[second]}" for _, second in same_selectors(self.rows)]
        if problems:
            raise ConfigurationError([Problem(problem) for problem in problems])

    def row_for(self, task: Task) -> Row:
        """The row that holds for a task."""
        matching = [row for row in self.rows if row.function is task.function and row.selector.matches(task)]
        return max(matching, key=lambda row: row.selector.specificity)

    def rows_of(self, function: Function) -> tuple[Row, ...]:
        """The rows of a function, its default first, the most specific last."""
        rows = (row for row in self.rows if row.function is function)
        return tuple(sorted(rows, key=lambda row: (row.selector.specificity, str(row))))

    def rule(self, rule_id: str) -> ClosingRule | None:
        return next((rule for rule in self.rules if rule.id == rule_id), None)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) of what the policy says, whatever its formatting, comments and order of rows.

        The order of rules counts, since it decides which of two matching rules closes.
        """
        content: JsonValue = {
            "format": 1,
            "rows": [_row_content(row) for function in Function for row in self.rows_of(function)],
            "caps": dict(sorted((engine, f"L{level}") for engine, level in self.engine_caps)),
            "rules": [rule.content for rule in self.rules],
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def _row_content(row: Row) -> JsonValue:
    selector, limits = row.selector, row.limits
    return {
        "function": row.function.value,
        "action_class": selector.action_class,
        "alert_family": None if selector.alert_family is None else selector.alert_family.content,
        "asset_tier": selector.asset_tier,
        "tenant": None if selector.tenant is None else selector.tenant.content,
        "level": f"L{row.level}",
        "reason": row.reason,
        "limits": {
            "close_below": limits.close_below,
            "min_certainty": limits.min_certainty,
            "max_alerts": limits.max_alerts,
            "max_severity": limits.max_severity,
            "sample_review": limits.sample_review,
        },
    }


def functions_without_default(rows: Sequence[Row]) -> tuple[Function, ...]:
    """The functions for which some task would have no row."""
    present = {row.function for row in rows if row.selector.is_default}
    return tuple(function for function in Function if function not in present)


def same_selectors(rows: Sequence[Row]) -> tuple[tuple[int, int], ...]:
    """Pairs of positions of rows that speak of the same tasks: the first such row and each later one."""
    first: dict[tuple[Function, Selector], int] = {}
    pairs = []
    for position, row in enumerate(rows):
        earlier = first.setdefault((row.function, row.selector), position)
        if earlier != position:
            pairs.append((earlier, position))
    return tuple(pairs)
