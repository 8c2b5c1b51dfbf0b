"""The chain of models of one run: the first is asked; where it fails, the next."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai.exceptions import ContentFilterError, ModelAPIError, OutputTokenLimitExceeded
from pydantic_ai.models.fallback import FallbackModel

from watchfloor_agents.generative.metered import MeteredModel, Terms
from watchfloor_agents.generative.providers import ReadyModel


def chain_of(models: Sequence[ReadyModel], terms: Terms) -> FallbackModel:
    """Raises ValueError where there is no model."""
    if not models:
        raise ValueError("no model to ask; configure one")
    first, *others = (MeteredModel(one.client, one.choice, position, terms) for position, one in enumerate(models))
    # The last two also stand for answers: one that was withheld, and one that was cut off.
    return FallbackModel(first, *others, fallback_on=(ModelAPIError, ContentFilterError, OutputTokenLimitExceeded))
