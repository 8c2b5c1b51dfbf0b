"""A tool that acts on a dictionary, with every way in which real ones fail: the outside world of a test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.effect import ActionTarget, Effect, EffectPermit, ReadBack, TargetState


@dataclass
class MemoryTool:
    """Holds targets and lets them go. Thread-safe; counts every effect."""

    tool: str = "memory"
    kind: str = "memory"
    version: str = "1"
    action_classes: frozenset[str] = frozenset(CATALOGUE)
    least_privilege: tuple[str, ...] = ()
    held: dict[str, str] = field(default_factory=dict)
    """Target value → key of the action that holds it."""
    effects: list[tuple[str, str, str]] = field(default_factory=list)
    """(action class, target, key), in the order in which they took effect."""
    on_act: Callable[[EffectPermit], None] = lambda _: None
    """Called before the effect; raise from it to fail."""
    lies: bool = False
    """Reports success and changes nothing."""
    is_unreadable: bool = False
    is_blind: bool = False
    """Cannot tell afterwards whether it took effect."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def read_state(self, target: Target) -> TargetState:
        if self.is_unreadable:
            raise UnavailableError("the memory is away")
        with self._lock:
            return TargetState({"held": target.value in self.held})

    def act(self, permit: EffectPermit) -> None:
        self.on_act(permit)
        if self.lies:
            return
        action = permit.action
        with self._lock:
            self.effects.append((action.action_class, action.target.value, permit.key))
            if CATALOGUE[action.action_class].is_containment or CATALOGUE[action.action_class].undo is None:
                self.held[action.target.value] = permit.key
            else:
                self.held.pop(action.target.value, None)

    def read_back(self, action: Action, key: str) -> ReadBack:  # noqa: ARG002 - the memory keeps no keys apart
        if self.is_blind:
            raise UnavailableError("the memory is away")
        with self._lock:
            is_held = action.target.value in self.held
        known = CATALOGUE[action.action_class]
        wants_held = known.is_containment or known.undo is None
        effect = Effect.APPLIED if is_held == wants_held else Effect.NOT_APPLIED
        return ReadBack(effect, TargetState({"held": is_held}), "looked into the memory")


@dataclass(frozen=True)
class OneTool:
    """Configured for every tenant."""

    target: ActionTarget

    def of(self, tenant: str, tool: str) -> ActionTarget:
        if tool != self.target.tool:
            raise NotFoundError(f"no tool {tool!r} is configured for tenant {tenant!r}")
        return self.target

    def for_class(self, tenant: str, action_class: str) -> ActionTarget | None:  # noqa: ARG002 - every tenant's
        return self.target if action_class in self.target.action_classes else None
