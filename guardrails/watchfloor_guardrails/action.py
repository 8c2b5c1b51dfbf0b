"""An action as data: what is to be done to what, by which tool, and who could have written each part of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from watchfloor_core.alert import Integrity
from watchfloor_guardrails.catalogue import TargetKind

Scalar: TypeAlias = "str | int | bool"

MAX_TEXT: Final = 4_096
"""Characters of a target's or an argument's value."""


@dataclass(frozen=True, slots=True)
class Target:
    """The one thing that is acted on."""

    kind: TargetKind
    value: str
    """Normalised, as the tool will get it."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A value with who could have written it."""

    value: Scalar
    integrity: Integrity
    endorsed_by: str | None = None
    """The named endorser that lowered the label: ``corroboration``, ``person:<name>``, or one of others,
    ``endorser:<name> <version>``."""

    @property
    def is_tainted(self) -> bool:
        """Attacker-authored, and nobody has vouched for it."""
        return self.integrity is Integrity.EXTERNAL and self.endorsed_by is None


@dataclass(frozen=True, slots=True)
class Action:
    """What a tool is told to do; final once sealed into a proposal."""

    action_class: str
    """A name of `watchfloor_guardrails.catalogue.CATALOGUE`."""
    tool: str
    """The configured tool that does it, e.g. ``edge-firewall``."""
    target: Target
    arguments: Mapping[str, Scalar]
    """What the tool needs beside the target; empty for most."""
