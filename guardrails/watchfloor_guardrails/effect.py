"""The edge to the outside world: what a tool must offer, and the permit without which it does nothing.

Reading is free. Acting takes an `EffectPermit`, which only `watchfloor_guardrails.grant.permit_effect` makes, from a
grant that has been verified and consumed. A test holds every tool to that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import InitVar, dataclass
from enum import StrEnum
from typing import Final, NoReturn, Protocol, final

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.errors import WatchfloorError
from watchfloor_guardrails.action import Action, Target

_AUTHORITY: Final = object()
"""What the issuer has and nobody else: importing it elsewhere is what a test forbids."""


class NotDoneError(WatchfloorError):
    """The tool says for certain that nothing was changed. Anything else that it raises leaves the outcome open."""


MAX_OUTPUT: Final = 16_384
"""Characters that are kept of what an action gives."""


class Effect(StrEnum):
    """What reading back shows."""

    APPLIED = "applied"
    """The target is as the action wants it, by this very action (its key stands there) or beyond doubt."""
    NOT_APPLIED = "not_applied"
    """The target is not so, and no attempt is under way any more."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TargetState:
    """What a tool sees of a target before or after an act."""

    content: Mapping[str, JsonValue]
    """What the action would change and what it depends on, and nothing that changes by itself (no clocks, counters)."""

    @property
    def digest(self) -> str:
        """SHA-256 (64 hex digits) over the RFC 8785 form."""
        return hashlib.sha256(canonical(self.content)).hexdigest()


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The effect as read back from the target."""

    effect: Effect
    state: TargetState
    text: str
    """For a person: what was looked at and what was found."""
    output: str = ""
    """What the action gave beside its effect, e.g. a command's output. An attacker may have written it."""


@final
@dataclass(frozen=True, slots=True)
class EffectPermit:
    """The right to do one action once, in this process, now."""

    action: Action
    key: str
    """The proposal's digest: the idempotency key. A tool that can leaves it at the target, to find it again."""
    authority: InitVar[object]
    incident_id: str = ""
    """What it is about, for tools that tell people."""

    def __post_init__(self, authority: object) -> None:
        if authority is not _AUTHORITY:
            raise TypeError("an effect permit comes from permit_effect(), which takes a consumed grant")

    def __init_subclass__(cls) -> None:
        raise TypeError("an effect permit has no subclasses: one could leave the check out")

    def __reduce__(self) -> NoReturn:
        raise TypeError("an effect permit does not leave its process")


class ActionTarget(Protocol):
    """A tool that changes the outside world. One per configured entry; only the executor's process has any.

    Every method may block; each must end within the tool's time limit by itself (a subprocess or socket has a timeout).
    """

    tool: str
    """The configured name, unique in the installation."""
    kind: str
    """The implementation's name, e.g. ``nftables``."""
    version: str
    """Changes when the same action would be done in another way; part of the tool pin."""
    action_classes: frozenset[str]
    least_privilege: tuple[str, ...]
    """What the tool must be allowed on the target's system, and nothing else."""

    def read_state(self, target: Target) -> TargetState:
        """What the target is like now. Raises `NotFoundError`, `UnavailableError`, and `RecordError` for a value that
        is none of its kind."""
        ...

    def act(self, permit: EffectPermit) -> None:
        """Do ``permit.action``. Safe to be called once per key only; the executor sees to that.

        Raises `NotDoneError` where for certain nothing changed; any other exception leaves it open.
        """
        ...

    def read_back(self, action: Action, key: str) -> ReadBack:
        """Whether the action is in effect now. Raises `UnavailableError` where the target cannot be read."""
        ...


def tool_pin(target: ActionTarget) -> str:
    """SHA-256 over what a tool is: another implementation, version or name is another pin."""
    return pin_of(target.tool, target.kind, target.version)


def pin_of(tool: str, kind: str, version: str) -> str:
    """The pin of a tool of this name, kind and version."""
    return hashlib.sha256(canonical({"tool": tool, "kind": kind, "version": version})).hexdigest()
