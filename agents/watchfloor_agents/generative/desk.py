"""The state of one run: what was asked, what came back, and how much may still be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TypeAlias

from watchfloor_agents.generative.handles import Handles
from watchfloor_agents.generative.rendering import answer_text
from watchfloor_agents.investigation.view import Answer, CaseView, Question
from watchfloor_core.evidence import Evidence
from watchfloor_core.logs.query import Select

Ask: TypeAlias = Callable[[Question], Awaitable[Answer]]
"""Puts a question to the sources and keeps the answer as evidence with its provenance: the caller's part."""


class ToolOutcome(StrEnum):
    ANSWERED = "answered"
    REFUSED = "refused"
    """By the guard, before anything was asked."""
    FAILED = "failed"
    """The sources could not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """One call of a tool by the model, for the record."""

    tool: str
    """``other`` where the model named none that there is."""
    arguments: str
    """SHA-256 (64 hex digits) of their canonical JSON: the text itself may be an attacker's."""
    argument_bytes: int
    outcome: ToolOutcome
    code: str = ""
    """Why it was refused or failed."""
    question: str | None = None
    """Digest of the query that was asked."""
    found: int = 0
    """Pieces of evidence."""


class RefusedQuestionError(Exception):
    """The question is not asked; the message is for the model."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class SourcesFailedError(Exception):
    """The question could not be put; the message is the error's class alone."""


@dataclass(slots=True)
class Desk:
    """Belongs to one run alone."""

    view: CaseView
    ask: Ask
    max_calls: int
    max_events: int
    handles: Handles = field(default_factory=Handles)
    answers: list[Answer] = field(default_factory=list)
    """In the order asked; those of the view are not among them."""
    uses: list[ToolUse] = field(default_factory=list)
    _seen: dict[str, Answer] = field(default_factory=dict)

    @property
    def events_left(self) -> int:
        return self.max_events - sum(len(one.evidence) for one in self.answers)

    @property
    def evidence(self) -> dict[str, Evidence]:
        """All that the run has, by id."""
        found = dict(self.view.evidence)
        for answer in self.answers:
            found.update((one.id, one) for one in answer.evidence)
        return found

    def named(self, handle: str) -> Evidence:
        """Raises `RefusedQuestionError` where no evidence of that name was shown."""
        evidence = self.handles.find(handle)
        if evidence is None:
            raise RefusedQuestionError("unknown_evidence", "no evidence of that id was shown; use an id such as E1")
        return evidence

    async def put(self, question: Question) -> tuple[Answer, str]:
        """The answer and how the model reads it. What was asked before, by whomever, is not asked again."""
        question = self._bounded(question)
        known = self._seen.get(question.digest) or self.view.answer_to(question)
        if known is None:
            try:
                known = await self.ask(question)
            except RefusedQuestionError:
                raise
            except Exception as error:
                raise SourcesFailedError(type(error).__qualname__) from error
            self.answers.append(known)
        self._seen[question.digest] = known
        return known, answer_text(known, self.handles)

    def _bounded(self, question: Question) -> Question:
        """With no more events than the run may still bring in."""
        query = question.query
        most = max(1, self.events_left)
        if isinstance(query, Select) and query.limit > most:
            return replace(question, query=replace(query, limit=most))
        return question
