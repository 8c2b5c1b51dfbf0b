"""Kinds of engine and the most that each may do without a certificate for the task."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from watchfloor_core.incident import AutonomyLevel

_CEILINGS: Final = {
    "specialist": AutonomyLevel.L4,
    # Generative engines err and can be talked into errors by what they read.
    "generative": AutonomyLevel.L2,
    # Somebody else's engine: no less than one of ours, and nobody has measured it.
    "plugin": AutonomyLevel.L2,
}
_CEILING_OF_OTHERS: Final = AutonomyLevel.L2


def family_of(engine: str) -> str:
    """``generative`` for ``generative:<model>``."""
    return engine.partition(":")[0]


def known_engines() -> tuple[str, ...]:
    return tuple(_CEILINGS)


def is_known_engine(engine: str) -> bool:
    return family_of(engine) in _CEILINGS


def engine_ceiling(engine: str, operator_caps: Iterable[tuple[str, AutonomyLevel]]) -> AutonomyLevel:
    """The lowest of what the kind of engine allows and what the operator allows it, by full name or by family."""
    own = _CEILINGS.get(family_of(engine), _CEILING_OF_OTHERS)
    return min([own, *(level for name, level in operator_caps if name in (engine, family_of(engine)))])
