"""Somebody else's source of context among ours: its failures are darkness, and it answers only what was asked."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Final

from watchfloor_connectors.context.indicators import others_may_know
from watchfloor_core.context import ContextKind, ContextSource, Fact, Facts, LookUp, evidence_of_fact
from watchfloor_core.logs.source import Coverage, Health

logger = logging.getLogger(__name__)

MAX_FACTS: Final = 500
"""In one answer."""


class GuardedContextSource:
    """A `ContextSource` that never raises, and answers under the name and kind that the operator gave it."""

    def __init__(self, name: str, kind: ContextKind, inner: ContextSource) -> None:
        self.name = name
        self.kind = kind
        self._inner = inner

    def look_up(self, question: LookUp) -> Facts:
        if self.kind is ContextKind.INTELLIGENCE:
            # Where the plug-in asks is unknown: our own addresses are nobody's to learn.
            entities = tuple(one for one in question.entities if others_may_know(one))
            if not entities and not question.terms:
                return Facts((), Coverage(self.name, Health.WHOLE))
            question = replace(question, entities=entities)
        try:
            given = self._inner.look_up(question)
            facts = tuple(one for one in given.facts[:MAX_FACTS] if self._fits(one, question))
            coverage = replace(given.coverage, source=self.name)
            return Facts(facts, coverage, given.is_cut or len(given.facts) > len(facts))
        except Exception as error:  # noqa: BLE001  # someone else's code: the others are asked all the same
            # The class alone: its text can quote a secret of its own, or what an attacker wrote.
            problem = f"the plug-in failed with {type(error).__qualname__}"
            logger.warning("source of context %s: %s", self.name, problem)
            return Facts((), Coverage(self.name, Health.DARK, problem))

    def _fits(self, fact: Fact, question: LookUp) -> bool:
        """About something that was asked for, and of a size that evidence may have. Raises what a broken one raises."""
        if fact.entity is not None and fact.entity not in question.entities:
            return False
        if not all(isinstance(one, (str, int)) for one in fact.fields.values()):
            return False
        evidence_of_fact(self.name, self.kind, fact)
        return True
