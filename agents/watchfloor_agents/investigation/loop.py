"""The steps of an investigation, whoever runs them: asking the sources, and going round until nothing new is asked.

The durable investigation (workflows) uses `ask` and the budget with its own loop; `run_locally` is the same loop in
memory, for evaluation and for engines' own tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.engine import InvestigationEngine
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_core.context import ContextSource, LookUp, ToolCall, evidence_of_fact
from watchfloor_core.evidence import Evidence, evidence_of_event, evidence_of_groups
from watchfloor_core.logs.query import Aggregate, Select
from watchfloor_core.logs.source import Coverage, LogSource
from watchfloor_core.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class InvestigationBudget:
    """What one investigation may cost. Raises ValueError for less than one of anything."""

    rounds: int = 6
    """Times that the loop of questions runs, the first among them."""
    questions: int = 120
    events: int = 500
    """In the answer to one question; what is more is cut, and the answer says so."""

    def __post_init__(self) -> None:
        if min(self.rounds, self.questions, self.events) < 1:
            raise ValueError(f"{self}: each is at least 1")


def ask(
    question: Question,
    sources: Sequence[LogSource],
    budget: InvestigationBudget,
    context: Sequence[ContextSource] = (),
) -> Answer:
    """Put a question to every source. Equal facts of several sources stay apart: evidence names its source.

    Raises TypeError for a call of a tool: no source answers it.
    """
    query = question.query
    if isinstance(query, ToolCall):
        raise TypeError(f"the tool {query.tool!r} is called, not asked of the sources")
    if isinstance(query, LookUp):
        return _looked_up(question, query, context, budget)
    found: list[Evidence] = []
    coverage: list[Coverage] = []
    is_cut = False
    for source in sources:
        match query:
            case Select():
                events = source.select(replace(query, limit=min(query.limit, budget.events)))
                found += [evidence_of_event(event) for event in events.events]
                coverage.append(events.coverage)
                is_cut |= events.is_cut
            case Aggregate():
                groups = source.aggregate(query)
                found.append(evidence_of_groups(query, groups))
                coverage.append(groups.coverage)
                is_cut |= groups.is_cut
    if isinstance(query, Select):
        unique = {one.id: one for one in found}
        found = sorted(unique.values(), key=lambda one: (one.time_us or 0, one.id))
        is_cut |= len(found) > budget.events
        found = found[: budget.events]
    return Answer(question, tuple(found), tuple(coverage), is_cut)


def _looked_up(
    question: Question, query: LookUp, context: Sequence[ContextSource], budget: InvestigationBudget
) -> Answer:
    found: dict[str, Evidence] = {}
    coverage: list[Coverage] = []
    is_cut = False
    for source in context:
        if source.kind is not query.kind:
            continue
        facts = source.look_up(query)
        coverage.append(facts.coverage)
        is_cut |= facts.is_cut
        for one in facts.facts:
            evidence = evidence_of_fact(source.name, source.kind, one)
            found.setdefault(evidence.id, evidence)
    kept = tuple(found.values())[: budget.events]
    return Answer(question, kept, tuple(coverage), is_cut or len(found) > len(kept))


def can_be_asked(question: Question, sources: Sequence[LogSource], context: Sequence[ContextSource]) -> bool:
    """True where there is anybody to ask: a question to nobody is no question of the budget."""
    query = question.query
    if isinstance(query, LookUp):
        return any(one.kind is query.kind for one in context)
    # Tools are for whoever is asked after the rules.
    return bool(sources) and not isinstance(query, ToolCall)


def new_questions(view: CaseView, questions: Sequence[Question], budget: InvestigationBudget) -> tuple[Question, ...]:
    """Those that nobody has asked yet, each once, as many as the budget still allows."""
    unasked: Mapping[str, Question] = {
        one.digest: one for one in reversed(questions) if one.digest not in view.by_question
    }
    ordered = [one for one in dict.fromkeys(one.digest for one in questions) if one in unasked]
    return tuple(unasked[digest] for digest in ordered)[: max(0, budget.questions - len(view.answers))]


def run_locally(
    engine: InvestigationEngine,
    case: InvestigationCase,
    sources: Sequence[LogSource],
    budget: InvestigationBudget | None = None,
    context: Sequence[ContextSource] = (),
) -> tuple[CaseView, Report]:
    """Investigate in memory: what was seen, and what it comes to. The report has not been checked yet."""
    budget = budget or InvestigationBudget()
    view = CaseView(case)
    for round_ in range(budget.rounds):
        view = replace(view, round=round_)
        asked = [one for one in engine.plan(view) if can_be_asked(one, sources, context)]
        questions = new_questions(view, asked, budget)
        if not questions:
            break
        view = _answered(view, questions, sources, budget, context)
    for _ in range(2):
        asked = [one for one in engine.tests(view) if can_be_asked(one, sources, context)]
        view = _answered(view, new_questions(view, asked, budget), sources, budget, context)
    return view, engine.conclude(view)


def _answered(
    view: CaseView,
    questions: Sequence[Question],
    sources: Sequence[LogSource],
    budget: InvestigationBudget,
    context: Sequence[ContextSource],
) -> CaseView:
    return replace(view, answers=(*view.answers, *(ask(one, sources, budget, context) for one in questions)))
