"""What one run may not bring together without asking: the lethal trifecta.

Whoever can write what a run reads, where the run also holds what must not get out and can act outside, can make it
carry the one to the other (S. Willison, "The lethal trifecta for AI agents", 2025). Any two of the three are harmless.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final


class Fact(StrEnum):
    """What a run has touched. Wire format: kept in the store by these names."""

    UNTRUSTED_INPUT = "untrusted_input"
    """It has read text that an attacker could have written."""
    SENSITIVE_DATA = "sensitive_data"
    OUTWARD_EFFECT = "outward_effect"
    """It has changed, or is to change, something outside."""


TRIFECTA: Final = frozenset(Fact)


def completes_trifecta(facts_before: Collection[Fact], facts_of_this: Collection[Fact]) -> bool:
    """Whether a step with these facts leaves the run with all three; a step that touches nothing completes nothing.

    True again for each further step once they are together: one question does not answer the next.
    """
    return bool(facts_of_this) and TRIFECTA.issubset((*facts_before, *facts_of_this))
