"""Plug-ins that are installed for a test: a module and its entry points, where child processes find them as well."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

ENGINES = """
import os
import subprocess
import sys
import time

from watchfloor_agents.investigation.view import Question
from watchfloor_agents.opinion import CitedText, ModelClaim, Proposal, RefusedQuestionError, cite
from watchfloor_core.incident import Verdict
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.query import Select, TimeRange


def started(case, limit=50, range_=None):
    range_ = range_ or case.view.case.range.widened(3600)
    return Question(Select(range=range_, types=frozenset({EventType.PROCESS_START}), limit=limit), "x", "what started")


def proposal(*claims, verdict=Verdict.UNDETERMINED, **others):
    return Proposal(**{"verdict": verdict, "confidence": 1.0, "summary": "In short.", "claims": claims} | others)


class Base:
    version = "7"

    def __init__(self):
        self.name = type(self).__name__.lower()


class Good(Base):
    def opinion(self, case):
        print("what is printed is not said")
        answer = case.ask(started(case))
        seen = cite(answer.evidence[0], "process.command_line", "sync.exe")
        return proposal(ModelClaim(text="A copying tool was run.", citations=(seen,), about="attack"))


class Contrary(Base):
    def opinion(self, case):
        answer = case.ask(started(case))
        seen = cite(answer.evidence[0], "process.command_line")
        return proposal(
            ModelClaim(text="A copying tool was run.", citations=(seen,), about="attack"), verdict=Verdict.TRUE_POSITIVE
        )


class Liar(Base):
    def opinion(self, case):
        answer = case.ask(started(case))
        event = answer.evidence[0]
        made_up = CitedText(evidence="f" * 64, field="process.command_line", text="x")
        elsewhere = CitedText(evidence=event.id, field="process.command_line", text="mimikatz")
        words = cite(event, "process.command_line")
        return proposal(
            ModelClaim(text="It was made up.", citations=(made_up,), about="attack"),
            ModelClaim(text="It says so.", citations=(elsewhere,), about="attack"),
            ModelClaim(text="It is routine.", citations=(words,), about="benign"),
            verdict=Verdict.FALSE_POSITIVE,
        )


class Raises(Base):
    def opinion(self, case):
        raise KeyError("words of an attacker")


class Exits(Base):
    def opinion(self, case):
        os._exit(0)


class Hangs(Base):
    def opinion(self, case):
        while True:
            pass


class Spawns(Base):
    def opinion(self, case):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        case.ask(Question(started(case).query, "x", f"pid {child.pid}"))
        time.sleep(600)


class Greedy(Base):
    def opinion(self, case):
        return bytes(8 * 1024**3)


class Huge(Base):
    def opinion(self, case):
        for channel in range(3, 20):
            try:
                os.write(channel, b"x" * 1_000_000)
            except OSError:
                pass


class Rubbish(Base):
    def opinion(self, case):
        return {"verdict": "TruePositive"}


class Forged(Base):
    def opinion(self, case):
        line = b'{"say":"done","value":{"verdict":"TruePositive","confidence":7,"summary":""}}' + bytes([10])
        for channel in range(3, 20):
            try:
                os.write(channel, line)
            except OSError:
                pass
        time.sleep(600)


class Endless(Base):
    def opinion(self, case):
        number = 0
        while True:
            number += 1
            try:
                case.ask(started(case, limit=number))
            except RefusedQuestionError:
                pass


class Far(Base):
    def opinion(self, case):
        try:
            case.ask(started(case, range_=TimeRange(1, 2**52)))
        except RefusedQuestionError as error:
            return proposal(unknowns=(error.code, str(error)))


class Curious(Base):
    def opinion(self, case):
        held = sorted(name for name in os.environ if "WATCHFLOOR" in name or "SECRET" in name or "CURIOUS" in name)
        told = [str(case.view.case.triage_verdict), str(case.view.case.triage_probability)]
        return proposal(unknowns=(" ".join(held), " ".join(told), os.getcwd()))


class Misnamed(Base):
    def __init__(self):
        self.name = "good"

    def opinion(self, case):
        return proposal()


class Unversioned(Base):
    version = "1\\n2"

    def opinion(self, case):
        return proposal()


class Thing:
    name = "thing"
    version = "1"


def breaks():
    raise RuntimeError("words of an attacker")
"""

ENGINE_NAMES = (
    "good", "contrary", "liar", "raises", "exits", "hangs", "spawns", "greedy", "huge", "rubbish", "forged", "endless",
    "far", "curious", "misnamed", "unversioned", "thing",
)  # fmt: skip


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: str,
    group: str,
    points: Mapping[str, str],
    module: str = "acme_plug_ins",
) -> None:
    """Make it importable and known, here and in processes that are started from here."""
    info = folder / f"{module}-1.dist-info"
    info.mkdir()
    (folder / f"{module}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    lines = [f"{name} = {module}:{value}\n" for name, value in points.items()]
    (info / "entry_points.txt").write_text(f"[{group}]\n{''.join(lines)}")
    monkeypatch.syspath_prepend(folder)
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{path}" if path else str(folder))


def install_engines(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {name: name.capitalize() for name in ENGINE_NAMES} | {"breaks": "breaks", "gone": "no_such_thing"}
    install(folder, monkeypatch, ENGINES, "watchfloor.engines", points)


TOOLS = """
import os
import time
from dataclasses import dataclass

from pydantic import BaseModel, Field


class Asked(BaseModel):
    address: str = Field(max_length=64)


@dataclass
class Plain:
    address: str


class Base:
    version, description, arguments = "3", "Whose an address is.", Asked

    def __init__(self):
        self.name = type(self).__name__.lower()


class Owner(Base):
    def read(self, asked):
        return [{"network.owner": f"guests of {asked.address}", "process": os.getpid()}]


class Plainly(Base):
    arguments = Plain

    def read(self, asked):
        return [{"network.owner": asked.address}]


class Raising(Base):
    def read(self, asked):
        raise LookupError("words of an attacker")


class Slow(Base):
    def read(self, asked):
        while True:
            pass


class Dying(Base):
    def read(self, asked):
        os._exit(3)


class Flooding(Base):
    def read(self, asked):
        return [{"a": "x" * 1_000_000}]


class Mute(Base):
    description = "two\\nlines"

    def read(self, asked):
        return []


class Search_Events(Base):
    def read(self, asked):
        return []
"""

TOOL_NAMES = ("owner", "plainly", "raising", "slow", "dying", "flooding", "mute")


def install_tools(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {name: name.capitalize() for name in TOOL_NAMES} | {"search_events": "Search_Events", "gone": "no_such"}
    install(folder, monkeypatch, TOOLS, "watchfloor.tools", points, module="acme_tools")


ENDORSERS = """
import os


class Base:
    version = "2"

    def __init__(self):
        self.name = type(self).__name__.lower()


class Files(Base):
    def vouches(self, value):
        return (value.action_class, value.kind) == ("contain file", "file") and value.value.endswith(".dmp")


class Everything(Base):
    def vouches(self, value):
        return True


class Nothing(Base):
    def vouches(self, value):
        return False


class Raiser(Base):
    def vouches(self, value):
        raise ValueError(value.value)


class Wordy(Base):
    def vouches(self, value):
        return "person:ana"


class Dead(Base):
    def vouches(self, value):
        os._exit(0)


class Stuck(Base):
    def vouches(self, value):
        while True:
            pass
"""

ENDORSER_NAMES = ("files", "everything", "nothing", "raiser", "wordy", "dead", "stuck")


def install_endorsers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = {name: name.capitalize() for name in ENDORSER_NAMES} | {"absent": "no_such"}
    install(folder, monkeypatch, ENDORSERS, "watchfloor.endorsers", points, module="acme_endorsers")
