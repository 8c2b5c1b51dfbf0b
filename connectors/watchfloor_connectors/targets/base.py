"""What every tool of a configuration file has in common: its options, its pin, and the checks before it does anything.

A tool is a subclass of `ConfiguredTarget` with three methods. `act` is not among them: it is the same for all, so that
no tool can forget to ask for the permit, to look at the target, or to keep to its own action classes.
"""

from __future__ import annotations

import hashlib
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Generic, TypeVar, final

from pydantic import BaseModel, ConfigDict, Field

from watchfloor_connectors.targets.pace import Pace
from watchfloor_core.canonical import canonical
from watchfloor_core.errors import NotFoundError, RecordError, RefusedError, UnavailableError
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_guardrails.action import MAX_TEXT, Action, Target
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.effect import EffectPermit, NotDoneError, ReadBack, TargetState

MAX_TIMEOUT_S: Final = 10.0
"""Of one call. The executor holds another one for dead after 15 s of silence, and what it had started for ended."""
MARK: Final = "wf:"
"""Stands before the idempotency key wherever a tool leaves it."""

_KEY: Final = re.compile(r"[0-9a-f]{64}")


class BadTargetError(RecordError, NotDoneError):
    """The value is no target of this tool: refused before anything ran."""


class NeverError(RefusedError, NotDoneError):
    """The operator has said that this target is never touched, or the tool says so itself: nothing ran."""


class NotReadyError(UnavailableError, NotDoneError):
    """Something that the tool needs on its own side is not there: nothing ran."""


class ToolOptions(BaseModel):
    """What every kind of tool takes in ``targets.yaml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    never: tuple[str, ...] = ()
    """Targets that are never touched, as the kind spells them."""
    timeout_s: float = Field(default=5.0, gt=0, le=MAX_TIMEOUT_S)
    """So long may one step of a call take."""
    acts_per_minute: int = Field(default=120, ge=1, le=6000)
    """So many acts are begun in a minute at most, by one executor; one that is beyond is not begun."""


OptionsT = TypeVar("OptionsT", bound=ToolOptions)


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a tool stands: one configured entry, for one tenant."""

    tool: str
    tenant: str
    data_dir: Path
    """Where a tool keeps what it must remember, unless its options say otherwise."""
    action_classes: frozenset[str] | None = None
    """Those that the entry allows; None allows all of the kind."""


class ConfiguredTarget(ABC, Generic[OptionsT]):
    """An `ActionTarget` made from an entry of ``targets.yaml``. The class is the kind."""

    kind: str
    """The kind's name; a class attribute."""
    revision: ClassVar[str]
    """Changed by whoever changes what the code does to a target."""
    classes: ClassVar[frozenset[str]]
    """Every action class that the kind can do."""
    options_type: ClassVar[type[ToolOptions]]
    restricting: ClassVar[frozenset[str]] = frozenset()
    """Options that say only what is not done, beside those of every tool: changing one does not make another tool of
    it."""
    arguments: ClassVar[frozenset[str]] = frozenset()
    """Names of arguments beside the target that an action may have."""

    now_s: ClassVar[Callable[[], float]] = staticmethod(time.monotonic)
    """The clock of ``acts_per_minute``."""

    tool: str
    version: str
    action_classes: frozenset[str]
    least_privilege: tuple[str, ...]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "act" in vars(cls):
            raise TypeError(f"{cls.__name__} may not define act: the checks of the permit are there; define do")

    def __init__(self, slot: Slot, options: OptionsT) -> None:
        self.tool = slot.tool
        self.slot = slot
        self.options = options
        self.action_classes = self.classes if slot.action_classes is None else self.classes & slot.action_classes
        self.version = self.version_of(options)
        self.least_privilege = self.privileges()
        self._pace = Pace(options.acts_per_minute, type(self).now_s)

    @classmethod
    def version_of(cls, options: ToolOptions) -> str:
        """The version of a tool with these options, without making one."""
        # What the options point at is part of how the action is done: another file or firewall is another tool pin.
        told = canonical(options.model_dump(mode="json", exclude=set(ToolOptions.model_fields) | cls.restricting))
        return f"{cls.revision}+{hashlib.sha256(told).hexdigest()[:16]}"

    @classmethod
    def faults(cls, options: OptionsT, *, is_shared: bool) -> Iterator[str]:  # noqa: ARG003 - for those who override it
        """What is wrong with options beside their types; ``is_shared`` where several tenants use the entry."""
        yield from ()

    def takes(self, argument: str) -> bool:
        """Whether an action may have an argument of this name. Overridden where their number is open."""
        return argument in self.arguments

    @abstractmethod
    def privileges(self) -> tuple[str, ...]:
        """What the tool must be allowed with these options, and nothing else."""

    @abstractmethod
    def read_state(self, target: Target) -> TargetState:
        """See `ActionTarget.read_state`; raises `NeverError` as well."""

    @abstractmethod
    def do(self, action: Action, key: str) -> None:
        """Change the target: the action was checked and the target could be looked at. See `ActionTarget.act`."""

    def do_about(self, action: Action, key: str, incident_id: str) -> None:  # noqa: ARG002 - for those who tell of it
        """As `do`, for a tool that tells people which incident it is about; ``""`` where none is known."""
        self.do(action, key)

    @abstractmethod
    def read_back(self, action: Action, key: str) -> ReadBack:
        """See `ActionTarget.read_back`."""

    @final
    def act(self, permit: EffectPermit) -> None:
        """Do what is permitted, once everything about it holds. See `ActionTarget.act`."""
        if not isinstance(permit, EffectPermit):
            raise TypeError(f"act() takes an EffectPermit, found {type(permit).__name__}")
        action = permit.action
        self._check(action, permit.key)
        try:
            self.read_state(action.target)
        except NotDoneError:
            raise
        except (NotFoundError, UnavailableError, RecordError, RefusedError, OSError) as error:
            raise NotDoneError(f"nothing was done, as the target cannot be looked at: {error}") from error
        if not self._pace.allows():
            most = self.options.acts_per_minute
            raise NotReadyError(f"{self.tool!r} has begun its {most} acts of this minute; propose it again later")
        self.do_about(action, permit.key, permit.incident_id)

    def _check(self, action: Action, key: str) -> None:
        if action.tool != self.tool:
            raise NotDoneError(f"the action is for the tool {action.tool!r}, this is {self.tool!r}")
        if action.action_class not in self.action_classes:
            known = ", ".join(sorted(self.action_classes))
            raise NotDoneError(f"{self.tool!r} does not do {action.action_class!r}; it does: {known}")
        if CATALOGUE[action.action_class].target is not action.target.kind:
            raise BadTargetError(f"{action.action_class!r} is not done to a target of kind {action.target.kind!r}")
        unknown = sorted(name for name in action.arguments if not self.takes(name))
        if unknown:
            raise NotDoneError(f"{self.tool!r} knows no argument {', '.join(map(repr, unknown))}; leave it out")
        if not _KEY.fullmatch(key):
            raise NotDoneError(f"the key is {key!r}; a proposal's digest of 64 hex digits was expected")


def plain_text(value: str, what: str) -> str:
    """The value, once nothing in it is invisible, controls anything or surrounds it. Raises `BadTargetError`.

    ``what`` says what was expected, e.g. ``an IP address``.
    """
    if not value or len(value) > MAX_TEXT or value != value.strip() or escape_untrusted(value) != value:
        shown = quote_untrusted(value, 80)
        raise BadTargetError(f"{shown} is not {what}: it is empty, too long or holds characters that cannot be seen")
    return value
