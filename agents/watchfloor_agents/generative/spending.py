"""What a run of the generative engine may use up, and what it has: a call that does not fit is not made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from watchfloor_agents.generative.settings import Price

BYTES_PER_TOKEN: Final = 3
"""For the estimate before a call. English and JSON have about 4 bytes a token, so this errs towards refusing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What is left for this run: the smaller one of what the incident's and the day's budgets have left."""

    tokens: int
    micro_usd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Of one request; by the provider, or estimated."""

    input: int = 0
    output: int = 0
    cached: int = 0
    """Part of the input that the provider had in its prompt cache."""
    written: int = 0
    """Part of the input that it put there."""
    is_estimate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCall:
    """One request to one model, answered or not; what budgets are charged with."""

    model: str
    """As the settings name it."""
    position: int
    """In the chain of models: 0 is the first choice, more is a fallback."""
    attempt: int
    """0, or the number of the repetition after an error."""
    used: Tokens
    micro_usd: int
    error: str = ""
    """Class of the error; empty where it answered."""

    @property
    def tokens(self) -> int:
        return self.used.input + self.used.output


class OverBudgetError(Exception):
    """The next call would not fit into what is left, or the last one did not. Ends the run; no other model is tried."""


@dataclass(slots=True)
class Meter:
    """Counts one run. Not shared between runs."""

    allowance: Allowance
    on_call: Callable[[ModelCall], None] = lambda _: None
    """Told of each call as soon as it has ended, so that what it cost is on record whatever becomes of the run."""
    calls: list[ModelCall] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        return sum(one.tokens for one in self.calls)

    @property
    def micro_usd(self) -> int:
        return sum(one.micro_usd for one in self.calls)

    def admit(self, price: Price, input_bytes: int, max_output_tokens: int) -> None:
        """Raises `OverBudgetError` where a call of this size could go over what is left."""
        most = Tokens(input=estimated_tokens(input_bytes), output=max_output_tokens)
        tokens = self.tokens + most.input + most.output
        if tokens > self.allowance.tokens:
            raise OverBudgetError(
                f"the next call could bring it to {tokens:,} tokens, {self.allowance.tokens:,} are left"
            )
        cost = self.micro_usd + price.most_micro_usd(most.input, most.output)
        if cost > self.allowance.micro_usd:
            raise OverBudgetError(
                f"the next call could bring it to {cost / 1e6:.4f} USD, {self.allowance.micro_usd / 1e6:.4f} are left"
            )

    def charge(self, call: ModelCall) -> None:
        self.calls.append(call)
        self.on_call(call)


def estimated_tokens(size: int) -> int:
    """Of so many bytes, rounded up."""
    return -(-size // BYTES_PER_TOKEN)
