"""What an investigation engine is, and what an analyser is, of which the specialist engine is made.

Both are pure: they get a `CaseView` and say what to ask next, or what it comes to. They have no tool, no store and no
clock. What they claim passes `watchfloor_agents.investigation.checking` before anybody sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from watchfloor_agents.investigation.view import CaseView, Question
from watchfloor_core.report import Citation, HypothesisKind, Report, Scope, Stance


@runtime_checkable
class InvestigationEngine(Protocol):
    """Investigates a case in rounds: questions, answers, more questions, a report."""

    name: str
    """``specialist`` or ``generative:<model>``."""
    version: str

    def plan(self, view: CaseView) -> Sequence[Question]:
        """What to ask next, the most telling first; nothing when enough is known. Asked again in every round; what was
        answered already is not asked again."""
        ...

    def tests(self, view: CaseView) -> Sequence[Question]:
        """What the competing hypotheses predict, as questions whose answers tell for or against them. Asked twice: the
        second time for what the first answers have brought."""
        ...

    def conclude(self, view: CaseView) -> Report:
        """What it comes to, from this view alone. Never raises for a view of any content."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an analyser finds; a finding of the report before it has its number."""

    code: str
    text: str
    """With the values it names; attacker-written ones quoted by `watchfloor_core.untrusted.quote_untrusted`."""
    citations: tuple[Citation, ...]
    time_us: int
    """When what it tells of began; its place in the timeline."""
    stance: Stance = Stance.SUPPORTS
    about: HypothesisKind = HypothesisKind.ATTACK
    log_odds: float = 0.0
    """For `about`; negative with REFUTES."""
    techniques: tuple[str, ...] = ()
    entities: tuple[tuple[str, str, Scope], ...] = ()
    """Kind (an `EntityKind`), value and how far it is affected."""
    rests_on_external: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """A prediction of a hypothesis and the question that tests it."""

    about: HypothesisKind
    text: str
    question: Question
    seen_is_for: bool
    """Events found speak for the hypothesis; else against it."""
    log_odds: float
    """By how much, where it is seen."""
    log_odds_unseen: float = 0.0
    """And where it is not seen, and the sources could have shown it."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one analyser makes of a view."""

    claims: tuple[Claim, ...] = ()
    expectations: tuple[Expectation, ...] = ()
    unknowns: tuple[str, ...] = field(default=())


@runtime_checkable
class Analyser(Protocol):
    """Knows one family of techniques: what to ask, and what confirms or refutes it."""

    name: str
    """E.g. ``credential_access``."""
    version: str

    def questions(self, view: CaseView) -> Sequence[Question]: ...

    def analyse(self, view: CaseView) -> Analysis: ...
