"""Who may vouch for a value that an attacker could have written, so that an action on it needs no extra person.

A label is lowered by these and nothing else. That a value is in the inventory vouches for its form, and not for acting
on it: whoever fails a login chooses which of our accounts is named, and must not be able to have it disabled.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Final

from watchfloor_core.alert import Integrity
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.decision import Principal, PrincipalKind

CORROBORATION: Final = "corroboration"
_PERSON: Final = "person:"
_ENDORSER: Final = re.compile(r"[a-z][a-z0-9_]{0,63} [A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
MIN_PRODUCTS: Final = 2
"""So many independent sensors must name the same value in fields of their own."""


def endorse_by_corroboration(value: Labelled, sensor_products: Collection[str]) -> Labelled:
    """Lowered where enough products name the value in fields that they wrote themselves (not copied from outside)."""
    if value.is_tainted and len(set(sensor_products)) >= MIN_PRODUCTS:
        return replace(value, endorsed_by=CORROBORATION)
    return value


def endorse_by_endorser(value: Labelled, endorser: str) -> Labelled:
    """Lowered where an endorser of others has vouched for it; ``endorser`` is its name and version.

    It is named as what it is, and so never passes for a person or for one of ours. Raises ValueError for what names
    none.
    """
    if not _ENDORSER.fullmatch(endorser):
        raise ValueError(f"{endorser!r} names no endorser; expected its name and version with a space between")
    return replace(value, endorsed_by=f"endorser:{endorser}") if value.is_tainted else value


def named_by(value: str | int | bool, principal: Principal) -> Labelled:
    """A value that someone authenticated typed. Only a person's counts as theirs."""
    if principal.kind is PrincipalKind.PERSON:
        return Labelled(value, Integrity.HUMAN, f"{_PERSON}{principal.name}")
    return Labelled(value, Integrity.EXTERNAL)


def person_behind(endorsed_by: str | None) -> str | None:
    """The person who typed the value; None where none did."""
    return endorsed_by.removeprefix(_PERSON) if endorsed_by is not None and endorsed_by.startswith(_PERSON) else None
