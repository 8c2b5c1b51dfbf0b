"""One call of a tool of others, guarded: whatever it does, an answer comes of it in time and of a size."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio

from watchfloor_agents.generative.desk import RefusedQuestionError
from watchfloor_agents.investigation.view import Answer, Question
from watchfloor_agents.plugged.messages import BAD_ARGUMENTS, Converse, PlugInError, Read
from watchfloor_agents.tooling.tool import Fields, ToolForm
from watchfloor_core.canonical import JsonValue
from watchfloor_core.context import ToolCall, evidence_of_tool
from watchfloor_core.logs.source import Coverage, Health

_log = logging.getLogger(__name__)

READ_S: Final = 30.0
"""For one call, from its process's start."""
MAX_FACTS: Final = 50
MAX_FIELDS: Final = 40
"""Of one fact."""
MAX_TEXT: Final = 4_000
"""Characters of one field."""
_FIELD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PluggedTool:
    """A tool that is installed, allowed and has said who it is."""

    form: ToolForm
    converse: Converse
    timeout_s: float = READ_S

    async def answer(self, question: Question) -> Answer:
        """Whole, or dark with the reason. Raises `RefusedQuestionError` where the arguments are not of its form."""
        if not isinstance(question.query, ToolCall):
            raise TypeError(f"{type(question.query).__name__} is no call of a tool")
        source = f"tool:{self.form.name}"
        try:
            with anyio.fail_after(self.timeout_s):
                said = await self.converse(Read(question.query.arguments), _no_questions)
            found, is_cut = _facts(said)
            evidence = {one.id: one for one in (evidence_of_tool(self.form.name, each) for each in found)}
        except PlugInError as error:
            if error.error == BAD_ARGUMENTS:
                raise RefusedQuestionError("bad_arguments", "the arguments are not of the tool's form") from None
            problem = str(error)
        except TimeoutError:
            problem = f"it gave no answer within {self.timeout_s:g} seconds"
        except ValueError:
            problem = "what it said is larger than evidence may be, or has numbers that JSON cannot say"
        else:
            return Answer(question, tuple(evidence.values()), (Coverage(source, Health.WHOLE),), is_cut)
        _log.warning("tool %s: %s", self.form.name, problem)
        return Answer(question, (), (Coverage(source, Health.DARK, problem),))


def _facts(said: JsonValue) -> tuple[list[Fields], bool]:
    """As many as count, and whether any is left out. Raises `PlugInError` where it is no list of facts."""
    if not isinstance(said, list):
        raise PlugInError("what it said are no facts")
    facts = [fields for one in said[:MAX_FACTS] if (fields := _fields(one))]
    return facts, len(facts) < len(said)


def _fields(said: JsonValue) -> Fields | None:
    """None where it is no fact: it has to be flat, and of text and whole numbers."""
    if not isinstance(said, dict) or len(said) > MAX_FIELDS:
        return None
    if not all(_FIELD.fullmatch(name) and isinstance(value, (str, int)) for name, value in said.items()):
        return None
    return {name: value[:MAX_TEXT] if isinstance(value, str) else value for name, value in said.items()}


async def _no_questions(said: Mapping[str, Any]) -> object:
    raise PlugInError(f"it wants to {said['say']}; a tool has nobody to ask")
