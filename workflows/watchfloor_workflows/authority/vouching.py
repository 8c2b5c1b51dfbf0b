"""Endorsers of others, asked before a report's proposals are drafted and outside of any transaction.

What they say goes into the draft as ours does, by name and version, and from there into what people sign. Nothing asks
them again: the ruling and the executor go by what is sealed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from watchfloor_agents.response.planning import Step, plan_response
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
        """For the steps that a checked report leads to. Asked only where nobody of ours vouches. Blocks."""
        if not self.endorsers:
            return {}
        open_ = [_named(step) for step in plan_response(report, evidence) if is_open(step)]
        found: dict[tuple[str, str], str] = {}
        for endorser in self.endorsers:
            asked = [one for one in open_ if (one.action_class, one.value) not in found]
            if asked:
                for one in asyncio.run(endorser.vouched(asked)):
                    found[one.action_class, one.value] = endorser.signature
        return found


def is_open(step: Step) -> bool:
    return endorse_by_corroboration(Labelled(step.value, step.integrity), step.sources).is_tainted


def _named(step: Step) -> NamedValue:
    return NamedValue(
        action_class=step.action_class, kind=step.target_kind, value=step.value, sources=tuple(sorted(step.sources))
    )
