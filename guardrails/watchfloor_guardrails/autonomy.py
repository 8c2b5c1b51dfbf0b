"""Autonomy as the operator sets it (`AutonomyMatrix`) and as it is in force (`effective_level`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.matrix import CLOSE_INCIDENT, AutonomyMatrix, Limits, Row, Selector, Task
from watchfloor_guardrails.matrix_file import load_matrix
from watchfloor_guardrails.selector import NameMatch

__all__ = [
    "CLOSE_INCIDENT",
    "DEFAULT_MATRIX_FILE",
    "AutonomyMatrix",
    "Cap",
    "CapName",
    "EffectiveLevel",
    "Limits",
    "NameMatch",
    "Row",
    "Selector",
    "Task",
    "effective_level",
    "load_matrix",
]

DEFAULT_MATRIX_FILE: Final = Path(__file__).with_name("default_autonomy.yaml")
"""The matrix that ships; in force where the operator has written none."""


class CapName(StrEnum):
    """What can hold a level down."""

    POLICY = "policy"
    """The matrix cannot be read."""
    CERTIFIED = "certified"
    """The level that measured outcomes bear out for this task."""
    ENGINE = "engine"
    """The most that this kind of engine may do."""
    LABEL = "label"
    """Attacker-written text stands behind the answer."""
    BLAST = "blast"
    """The act touches too much at once."""
    DATA_HEALTH = "data_health"
    """A sensor is dark."""
    BUDGET = "budget"
    PLAYBOOK = "playbook"
    """The playbook wants no more autonomy for this step."""
    BREAKER = "breaker"
    """Tripped by a harm or a run of errors."""


@dataclass(frozen=True, slots=True)
class Cap:
    """One upper bound on a level."""

    name: CapName
    level: AutonomyLevel
    reason: str
    """For a person, with the numbers."""

    def __str__(self) -> str:
        return f"{self.name} L{self.level}: {self.reason}"


@dataclass(frozen=True, slots=True)
class EffectiveLevel:
    """The level in force for one task, and why."""

    level: AutonomyLevel
    configured: AutonomyLevel
    row: str
    """The matrix row that set `configured`, e.g. ``alert_triage tenant=run-*``."""
    caps: tuple[Cap, ...]
    """Every cap that was looked at, binding or not."""

    @property
    def binding(self) -> tuple[Cap, ...]:
        """The caps but for which the level would be higher, or would be so with the others gone."""
        return tuple(cap for cap in self.caps if cap.level == self.level < self.configured)


def effective_level(configured: Row, caps: Iterable[Cap]) -> EffectiveLevel:
    """The minimum of the configured level and all caps: nothing raises it."""
    looked_at = tuple(caps)
    level = min([configured.level, *(cap.level for cap in looked_at)])
    return EffectiveLevel(level, configured.level, str(configured), looked_at)
