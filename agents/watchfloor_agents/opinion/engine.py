"""What an engine is that gives a second opinion on a case: asked once, after the rules, where those leave it open.

It proposes; it never decides. Its claims pass the check of everybody's, its probability counts for nothing, and where
it contradicts the rules a person decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from watchfloor_agents.generative.output import CitedText, Proposal
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_core.evidence import Evidence
from watchfloor_core.report import Finding

MAX_CITED: Final = 1_000
"""Characters of one citation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCase:
    """All that an engine is given."""

    view: CaseView
    """The case with every question that was asked and what came of it. Without the verdicts of others: an opinion that
    has read theirs is no second one."""
    findings: tuple[Finding, ...]
    """What the rules found, each with its citations."""
    ask: Callable[[Question], Answer]
    """Puts a question to the log sources and sources of context of the tenant; blocks. Raises `RefusedQuestionError`
    where it is not asked: the budget of questions or events is used up, it was asked before, or it cannot be asked. Six
    refusals end the run."""
    tools: tuple[ToolForm, ...] = ()
    """Reading tools of others that may be called: ``ask(Question(call_tool(name, {…}), name, "why"))``."""


@runtime_checkable
class OpinionEngine(Protocol):
    """Runs in a process of its own, for one case, and ends with it."""

    name: str
    """Its entry point's: a to z, 0 to 9 and _."""
    version: str
    """Changes whenever the same case could come to something else; stands in report and ledger."""

    def opinion(self, case: OpenCase) -> Proposal: ...


def cite(evidence: Evidence, field: str, text: str | None = None) -> CitedText:
    """The citation of a field, or of a part of it. Raises ValueError where the field does not hold that."""
    whole = evidence.value(field)
    if not whole:
        raise ValueError(f"evidence {evidence.id} has no {field}")
    if text is not None and text not in whole:
        raise ValueError(f"{field} of evidence {evidence.id} does not hold {text!r}")
    return CitedText(evidence=evidence.id, field=field, text=(text or whole)[:MAX_CITED])
