"""The program that a plug-in runs in: ``python -P -m watchfloor_agents.plugged.child GROUP NAME``.

It holds no store, no key and no setting of ours. It ends when the process that started it does.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
from dataclasses import asdict
from importlib.metadata import entry_points
from typing import Any, BinaryIO, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from watchfloor_agents.generative.desk import RefusedQuestionError
from watchfloor_agents.generative.output import Proposal
from watchfloor_agents.investigation.view import Answer, Question
from watchfloor_agents.opinion.engine import OpenCase, OpinionEngine
from watchfloor_agents.plugged.messages import (
    ENDORSERS,
    ENGINES,
    MAX_MEMORY,
    TOOLS,
    Describe,
    GiveOpinion,
    Read,
    Refused,
    Vouch,
    unpack,
)
from watchfloor_agents.tooling.form import stated_form
from watchfloor_agents.tooling.tool import ReadingTool
from watchfloor_agents.vouching.endorser import LabelEndorser, NamedValue
from watchfloor_core.context import asked_to_json


class Channel:
    """To the process that started this one. Thread-safe; one question at a time."""

    def __init__(self, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._outgoing: Final = outgoing
        self._waiting: Final[queue.SimpleQueue[object]] = queue.SimpleQueue()
        self._lock: Final = threading.Lock()
        threading.Thread(target=self._listen, args=(incoming,), daemon=True).start()

    def hear(self) -> object:
        return self._waiting.get()

    def say(self, message: dict[str, Any]) -> None:
        self._outgoing.write(orjson.dumps(message) + b"\n")
        self._outgoing.flush()

    def ask(self, question: Question) -> Answer:
        asked = {"say": "ask", "query": asked_to_json(question.query), "purpose": str(question.purpose)}
        with self._lock:
            self.say(asked)
            match self.hear():
                case Answer() as answer:
                    return answer
                case Refused(code, message):
                    raise RefusedQuestionError(code, message)
                case other:
                    raise RuntimeError(f"{type(other).__name__} is no answer")

    def _listen(self, incoming: BinaryIO) -> None:
        try:
            while True:
                self._waiting.put(unpack(incoming))
        finally:
            # Nobody is left to answer: whatever the plug-in is doing ends as well.
            os._exit(1)


def run(group: str, name: str, channel: Channel) -> object:
    """What comes of the one order that this process gets."""
    order = channel.hear()
    [entry] = entry_points(group=group, name=name)
    made = entry.load()()
    match order, made:
        case Describe(), OpinionEngine() if group == ENGINES:
            return {"name": made.name, "version": made.version}
        case GiveOpinion(view, findings, tools), OpinionEngine():
            return _opinion(made, OpenCase(view=view, findings=findings, ask=channel.ask, tools=tools))
        case Describe(), ReadingTool() if group == TOOLS:
            return asdict(stated_form(made))
        case Read(arguments), ReadingTool():
            return _facts(made, arguments)
        case Describe(), LabelEndorser() if group == ENDORSERS:
            return {"name": made.name, "version": made.version}
        case Vouch(values), LabelEndorser():
            return [_vouches(made, one) for one in values]
        case _:
            raise TypeError(f"{type(made).__name__} is nothing that {group} stands for")


def _opinion(engine: OpinionEngine, case: OpenCase) -> object:
    given = engine.opinion(case)
    if not isinstance(given, Proposal):
        raise TypeError(f"{type(given).__name__} is no Proposal")
    return given.model_dump(mode="json")


def _vouches(endorser: LabelEndorser, value: NamedValue) -> object:
    """What it raises is no to this value, and says nothing of the others."""
    try:
        return endorser.vouches(value)
    except Exception:  # noqa: BLE001  # someone else's code
        return False


class BadArgumentsError(Exception):
    """Not of the tool's form."""


def _facts(tool: ReadingTool, arguments: str) -> object:
    adapter: TypeAdapter[Any] = TypeAdapter(tool.arguments)
    try:
        checked = adapter.validate_json(arguments)
    except ValidationError:
        raise BadArgumentsError from None
    return [dict(one) for one in tool.read(checked)]


def main() -> None:
    group, name = sys.argv[1:3]
    # What a plug-in prints must not pass for what it says.
    channel = Channel(os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb"))
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        channel.say({"say": "done", "value": run(group, name, channel)})
    except BaseException as error:  # noqa: BLE001  # someone else's code: whatever it raises is told by its class alone
        channel.say({"say": "failed", "error": type(error).__qualname__})
    # Ended by whoever started it, together with all that the plug-in has started.
    threading.Event().wait()


if __name__ == "__main__":
    main()
