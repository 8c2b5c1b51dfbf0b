"""What an operator's Cedar policy demands, as its annotations say: Cedar itself knows only that it forbids."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from watchfloor_guardrails.limits import APPROVER_ROLES
from watchfloor_guardrails.matrix_entries import quote, unknown_key

MAX_QUORUM: Final = 9
MAX_REASON: Final = 500
"""Characters."""

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_ANNOTATIONS: Final = ("id", "effect", "quorum", "roles", "reason")

Notes: TypeAlias = Mapping[str, str | None]
"""Annotations by name; None for one without a value."""
Wrong: TypeAlias = Callable[[str], None]
"""Takes a mistake of the policy that is being read."""


class CedarEffect(StrEnum):
    """What a policy that applies demands."""

    ASK = "ask"
    """A person decides."""
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Demand:
    """What a policy that applies demands."""

    id: str
    effect: CedarEffect
    quorum: int | None
    """So many people, where it asks."""
    roles: tuple[str, ...]
    """Of which each must hold one, where it asks; empty: the usual ones."""
    reason: str


def read_annotations(notes: Notes, wrong: Wrong) -> Demand:
    """The demand; every mistake goes to ``wrong``, and then the demand counts for nothing."""
    demand = Demand(
        id=_id(notes, wrong),
        effect=_effect(notes, wrong),
        quorum=_quorum(notes, wrong),
        roles=_roles(notes, wrong),
        reason=_reason(notes, wrong),
    )
    for name in notes:
        if name not in _ANNOTATIONS:
            wrong(f"annotation: {unknown_key(name, _ANNOTATIONS)}")
    if demand.effect is CedarEffect.DENY:
        for name in ("quorum", "roles"):
            if name in notes:
                wrong(f'@{name} belongs to a policy with @effect("ask"); nobody is asked about what is denied')
    return demand


def _id(notes: Notes, wrong: Wrong) -> str:
    value = notes.get("id")
    if value is None:
        wrong('without a name; begin the policy with @id("…")')
    elif not _ID.fullmatch(value):
        wrong(f"{quote(value)} is not a policy id: up to 64 letters, digits and _ . : - are expected")
    return value or ""


def _effect(notes: Notes, wrong: Wrong) -> CedarEffect:
    value = notes.get("effect", CedarEffect.DENY)
    if value in tuple(CedarEffect):
        return CedarEffect(value)
    wrong(f"@effect: {quote(value)} is not one of {', '.join(CedarEffect)}")
    return CedarEffect.DENY


def _quorum(notes: Notes, wrong: Wrong) -> int | None:
    if "quorum" not in notes:
        return None
    value = notes["quorum"] or ""
    if re.fullmatch(f"[1-{MAX_QUORUM}]", value):
        return int(value)
    wrong(f"@quorum: {quote(value)} is not a number of people from 1 to {MAX_QUORUM}")
    return None


def _roles(notes: Notes, wrong: Wrong) -> tuple[str, ...]:
    if "roles" not in notes:
        return ()
    named = tuple(name.strip() for name in (notes["roles"] or "").split(","))
    for name in named:
        if name not in APPROVER_ROLES:
            wrong(f"@roles: {quote(name)} is not one of {', '.join(APPROVER_ROLES)}")
    return tuple(sorted(set(named)))


def _reason(notes: Notes, wrong: Wrong) -> str:
    value = notes.get("reason") or ""
    if len(value) > MAX_REASON or not value.isprintable():
        wrong(f"@reason: one line of at most {MAX_REASON} characters is expected")
    return value
