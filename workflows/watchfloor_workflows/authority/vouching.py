"""Endorsers of others, asked before an agent's proposals are drafted, a report's and the first ones of all, outside of
any transaction.

What they say goes into the draft as ours does, by name and version, and from there into what people sign. Nothing asks
them again: the ruling and the executor go by what is sealed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from watchfloor_agents.response.planning import Step, plan_response
from watchfloor_agents.response.specialist import Suggestion
from watchfloor_agents.vouching.asking import PluggedEndorser
from watchfloor_agents.vouching.endorser import NamedValue
from watchfloor_core.evidence import Evidence
from watchfloor_core.report import Report
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.endorsement import endorse_by_corroboration

Vouched: TypeAlias = Mapping[tuple[str, str], str]
"""By action class and value, the endorser that vouches for it: name and version."""


@dataclass(frozen=True, slots=True)
class Vouchers:
    """The endorsers of the settings, in their order: the first that vouches for a value is named with it."""

    endorsers: Sequence[PluggedEndorser] = ()

    def of(self, report: Report, evidence: Mapping[str, Evidence]) -> Vouched:
        """For the steps that a checked report leads to. Blocks."""
        if not self.endorsers:
            return {}
        return self.of_values(open_values(suggestion_of(step) for step in plan_response(report, evidence)))

    def of_values(self, open_: Sequence[NamedValue]) -> Vouched:
        """For what nobody of ours vouches for. Blocks."""
        found: dict[tuple[str, str], str] = {}
        for endorser in self.endorsers:
            asked = [one for one in open_ if (one.action_class, one.value) not in found]
            if asked:
                for one in asyncio.run(endorser.vouched(asked)):
                    found[one.action_class, one.value] = endorser.signature
        return found


def suggestion_of(step: Step) -> Suggestion:
    return Suggestion(step.action_class, step.target_kind, step.value, step.integrity, step.sources, step.purpose)


def open_values(suggested: Iterable[Suggestion]) -> tuple[NamedValue, ...]:
    """The targets for which nobody of ours vouches: endorsers are asked about these alone."""
    return tuple(
        NamedValue(
            action_class=one.action_class,
            kind=one.target_kind,
            value=one.value,
            sources=tuple(sorted(one.products)),
        )
        for one in suggested
        if endorse_by_corroboration(Labelled(one.value, one.integrity), one.products).is_tainted
    )
