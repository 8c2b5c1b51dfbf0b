"""Randomness that gives the same scenario on every machine and Python release."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")

SEED: Final = "harrow-2026"


class Chance:
    """One named stream of random numbers; a change in one source of records leaves the others as they were.

    Only ``Random.random`` is used: Python promises its sequence for a seed, and not that of the other methods.
    """

    def __init__(self, stream: str, seed: str = SEED) -> None:
        # A scenario is no secret.
        self._random = random.Random(f"{seed}/{stream}")  # noqa: S311

    def unit(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.whole(0, len(items) - 1)]

    def weighted(self, weights: Sequence[int]) -> int:
        """An index, drawn in proportion to the weights."""
        left = self.unit() * sum(weights)
        for index, weight in enumerate(weights):
            left -= weight
            if left < 0:
                return index
        return len(weights) - 1

    def guid(self) -> str:
        return str(uuid.UUID(hex=self.hexadecimal(32), version=4))

    def hexadecimal(self, digits: int) -> str:
        return "".join("0123456789abcdef"[self.whole(0, 15)] for _ in range(digits))
