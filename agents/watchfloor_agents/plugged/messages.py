"""What goes to a plug-in's process and what comes back.

Towards it go objects of ours, pickled, each behind four bytes of length. From it come lines of JSON, which are read as
what they are: the words of somebody else. ::

    {"say": "ask", "query": {…}, "tool": "…", "purpose": "…"}     answered by an `Answer` or a `Refused`
    {"say": "done", "value": …}
    {"say": "failed", "error": "KeyError"}
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol, TypeAlias

import orjson

from watchfloor_agents.investigation.view import CaseView
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_agents.vouching.endorser import NamedValue
from watchfloor_core.canonical import JsonValue
from watchfloor_core.report import Finding

MAX_SAID: Final = 256 * 1024
"""Bytes of one line of a plug-in."""
MAX_MEMORY: Final = 2 * 1024**3
"""Bytes of data that its process may have."""
ENGINES: Final = "watchfloor.engines"
"""Entry points that give ``() -> OpinionEngine``."""
TOOLS: Final = "watchfloor.tools"
"""Entry points that give ``() -> ReadingTool``."""
ENDORSERS: Final = "watchfloor.endorsers"
"""Entry points that give ``() -> LabelEndorser``."""
BAD_ARGUMENTS: Final = "BadArgumentsError"
"""What a tool's process fails with where the arguments are not of its form."""

_LENGTH: Final = struct.Struct(">I")
_ERROR: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.<>]{0,99}")


class PlugInError(Exception):
    """It gave no answer; the message is in our own words, for people."""

    def __init__(self, message: str, error: str = "") -> None:
        super().__init__(message)
        self.error: Final = error
        """The class that it says it failed with, where it says so."""


@dataclass(frozen=True, slots=True)
class Describe:
    """Say who you are."""


@dataclass(frozen=True, slots=True)
class GiveOpinion:
    view: CaseView
    findings: tuple[Finding, ...]
    tools: tuple[ToolForm, ...] = ()


@dataclass(frozen=True, slots=True)
class Read:
    """Call the tool with these arguments, canonical JSON."""

    arguments: str


@dataclass(frozen=True, slots=True)
class Vouch:
    """Say of each whether you vouch for it."""

    values: tuple[NamedValue, ...]


Order: TypeAlias = Describe | GiveOpinion | Read | Vouch


@dataclass(frozen=True, slots=True)
class Refused:
    """In place of an answer."""

    code: str
    message: str


class Converse(Protocol):
    """Starts the plug-in's process, gives it one order, answers what it asks, and ends it whatever comes.

    Raises `PlugInError` where it gives no answer, and whatever ``reply`` raises.
    """

    async def __call__(self, order: Order, reply: Callable[[Mapping[str, Any]], Awaitable[object]]) -> JsonValue: ...


def pack(message: object) -> bytes:
    content = pickle.dumps(message)
    return _LENGTH.pack(len(content)) + content


def unpack(stream: BinaryIO) -> object:
    """The next message of ours; raises EOFError where there is none any more."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    return pickle.loads(stream.read(_LENGTH.unpack(head)[0]))  # noqa: S301  # from the process that started this one


def read_said(line: bytes) -> Mapping[str, Any]:
    """One line of a plug-in. Raises `PlugInError` where it is no message, or says that it failed."""
    if not line:
        raise PlugInError("it ended without an answer")
    if len(line) > MAX_SAID or not line.endswith(b"\n"):
        raise PlugInError(f"it said more than {MAX_SAID:,} bytes at once")
    try:
        said: dict[str, Any] = orjson.loads(line)
    except ValueError:
        raise PlugInError("it said something that is no message") from None
    match said:
        case {"say": "ask"}:
            return said
        case {"say": "done", "value": _}:
            return said
        case {"say": "failed", "error": str(error)} if _ERROR.fullmatch(error):
            raise PlugInError(f"it failed with {error}", error)
        case _:
            raise PlugInError("it said something that is no message")
