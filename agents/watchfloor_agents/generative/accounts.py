"""The budgets of models, in the terms in which the store counts every budget.

A run reserves what it may use up, works, and settles: the reservation is given back and what was used is charged
instead. So runs at the same time share the day's budget exactly, and one that was cut off half-way keeps its
reservation charged, which errs towards stopping.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watchfloor_agents.generative.settings import ModelSettings
from watchfloor_agents.generative.spending import Allowance
from watchfloor_guardrails.budget import MAX_AMOUNT, Charge

TOKENS: Final = "model_tokens"
MICRO_USD: Final = "model_micro_usd"
OF_THE_DAY: Final = "all incidents"
"""The subject beside each incident's own."""
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What is used of the budgets so far: of the incident since ever, of the tenant within `DAY_S`."""

    incident_tokens: int
    day_tokens: int
    incident_micro_usd: int
    day_micro_usd: int


def allowance_of(settings: ModelSettings, used: Used) -> Allowance:
    """What is left for a run; nothing below zero."""
    tokens = min(settings.tokens_per_incident - used.incident_tokens, settings.tokens_per_day - used.day_tokens)
    money = min(
        settings.micro_usd_per_incident - used.incident_micro_usd, settings.micro_usd_per_day - used.day_micro_usd
    )
    return Allowance(tokens=max(tokens, 0), micro_usd=max(money, 0))


def reserve(settings: ModelSettings, allowance: Allowance, incident_id: str, reference: str) -> tuple[Charge, ...]:
    """Charges that hold a run's allowance; refused by the store where another run was faster."""
    limits = (
        settings.tokens_per_incident,
        settings.tokens_per_day,
        settings.micro_usd_per_incident,
        settings.micro_usd_per_day,
    )
    return tuple(_charges(allowance.tokens, allowance.micro_usd, incident_id, reference, limits))


def settle(tokens: int, micro_usd: int, incident_id: str, reference: str) -> tuple[Charge, ...]:
    """Charges for what was used. They are never refused: it is spent. Of the same ``reference`` as the reservation,
    which has to be given back before, in one transaction."""
    return tuple(_charges(tokens, micro_usd, incident_id, reference, (MAX_AMOUNT,) * 4))


def _charges(
    tokens: int, micro_usd: int, incident_id: str, reference: str, limits: tuple[int, int, int, int]
) -> Iterator[Charge]:
    """Those of an amount: nothing is charged for nothing, such as a free model's money."""
    entries = (
        (TOKENS, incident_id, tokens, None),
        (TOKENS, OF_THE_DAY, tokens, DAY_S),
        (MICRO_USD, incident_id, micro_usd, None),
        (MICRO_USD, OF_THE_DAY, micro_usd, DAY_S),
    )
    for (budget, subject, amount, window_s), limit in zip(entries, limits, strict=True):
        if amount > 0:
            yield Charge(budget, subject, amount, limit, window_s, reference)
