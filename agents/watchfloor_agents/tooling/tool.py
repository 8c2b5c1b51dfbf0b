"""What a reading tool is: typed arguments in, facts out. It is given nothing that acts.

What it says is evidence under ``tool:<name>``, labelled as written outside: it may raise suspicion, never lower it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

from watchfloor_core.canonical import JsonValue
from watchfloor_core.logs.event import Value

Fields: TypeAlias = Mapping[str, Value]
"""One fact: text or whole numbers by names of the tool's own, e.g. ``network.owner``. Findings cite it by these."""


@runtime_checkable
class ReadingTool(Protocol):
    """Runs in a process of its own, for one call, and ends with it."""

    name: str
    """Its entry point's: a to z, 0 to 9 and _."""
    version: str
    """Changes whenever the same call could say something else; stands in the version of what a model was offered."""
    description: str
    """What a model is told of it, up to 1,000 characters."""
    arguments: Any
    """A dataclass or pydantic model: what it takes, checked before `read` is called."""

    # Any: of the type that `arguments` names, which differs from tool to tool.
    def read(self, arguments: Any) -> Sequence[Fields]:
        """The facts, in one order for equal arguments; none where nothing is known. Changes nothing. What it raises
        makes the tool dark for this call, and the answer says so."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolForm:
    """What a caller is told of a tool."""

    name: str
    version: str
    description: str
    schema: Mapping[str, JsonValue]
    """JSON schema of its arguments."""
