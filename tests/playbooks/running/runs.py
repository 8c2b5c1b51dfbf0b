"""Playbooks in short, and a driver that tells the machine what ended and hears what it orders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from watchfloor_core.canonical import canonical
from watchfloor_playbooks.extension import EXTENSION
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.machine import Machine
from watchfloor_playbooks.running.state import new_state, state_from_json, state_to_json
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import Begin, Drop, StepEnded, Turn, WorkEnded

Step = dict[str, Any]
MS = 1_000
"""Microseconds in a millisecond."""
_AGENT, _IDENTITY = "individual--00000000-0000-4000-8000-0000000000aa", "identity--00000000-0000-4000-8000-0000000000bb"


def act(on: str | None = None, **others: Any) -> Step:
    """One task for people; ``on`` is where it goes on in any case."""
    command = {"type": "manual", "command": others.pop("text", "Look")}
    made = {"type": "action", "agent": _AGENT, "commands": [command], **others}
    return made if on is None else {**made, "on_completion": on}


def do(action_class: str, target: str, on: str | None = None, **others: Any) -> Step:
    """One action of the catalogue."""
    names = ("arguments", "tool", "lease_s", "description")
    command = {"type": "watchfloor-action", "action_class": action_class, "target": target}
    command |= {name: others.pop(name) for name in names if name in others}
    return {**act(on, **others), "commands": [command]}


def end(**others: Any) -> Step:
    return {"type": "end", **others}


def both(*following: str, **others: Any) -> Step:
    return {"type": "parallel", "next_steps": list(following), **others}


def either(condition: str, on_true: str, **others: Any) -> Step:
    return {"type": "if-condition", "condition": condition, "on_true": on_true, **others}


def again(condition: str, on_true: str, **others: Any) -> Step:
    return {"type": "while-condition", "condition": condition, "on_true": on_true, **others}


def by_value(switch: str, cases: Mapping[str, str], **others: Any) -> Step:
    return {"type": "switch-condition", "switch": f"{switch}:value", "cases": dict(cases), **others}


def other(playbook_id: str, **others: Any) -> Step:
    return {"type": "playbook-action", "playbook_id": playbook_id, **others}


def content_of(
    steps: Mapping[str, Step],
    variables: Mapping[str, Step] | None = None,
    *,
    exception: str | None = None,
    ours: Mapping[str, Any] | None = None,
    steps_ours: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """A playbook whose steps have short names; the first one follows the start. A name becomes the step's ``name``."""
    ids = {
        name: f"{step['type']}--00000000-0000-4000-8000-{number:012d}"
        for number, (name, step) in enumerate(steps.items(), start=1)
    }
    start = "start--00000000-0000-4000-8000-000000000000"
    workflow: dict[str, Any] = {start: {"type": "start", "on_completion": next(iter(ids.values()))}}
    for name, step in steps.items():
        made = {"name": name, **{key: _renamed(key, value, ids) for key, value in step.items()}}
        if name in (steps_ours or {}):
            made["step_extensions"] = {EXTENSION: dict((steps_ours or {})[name])}
        workflow[ids[name]] = made
    definition = {
        "type": "extension-definition",
        "name": "Watchfloor",
        "created_by": _IDENTITY,
        "schema": "https://example.org/s",
        "version": "1",
    }
    return {
        "type": "playbook",
        "spec_version": "cacao-2.0",
        "id": "playbook--00000000-0000-4000-8000-0000000000cc",
        "name": "In short",
        "created_by": _IDENTITY,
        "created": "2026-11-28T08:30:00.000Z",
        "modified": "2026-11-28T08:30:00.000Z",
        "playbook_variables": dict(variables or {}),
        "workflow_start": start,
        **({} if exception is None else {"workflow_exception": ids.get(exception, exception)}),
        "workflow": workflow,
        "agent_definitions": {_AGENT: {"type": "individual", "name": "Analyst"}},
        "extension_definitions": {EXTENSION: definition},
        "playbook_extensions": {EXTENSION: dict(ours or {})},
    }


def _renamed(key: str, value: Any, ids: Mapping[str, str]) -> Any:
    if key == "next_steps":
        return [ids[one] for one in value]
    if key == "cases":
        return {case: ids[one] for case, one in value.items()}
    return ids.get(value, value) if key.startswith("on_") else value


def book_of(steps: Mapping[str, Step], variables: Mapping[str, Step] | None = None, **others: Any) -> Playbook:
    return load(json.dumps(content_of(steps, variables, **others)).encode(), "short.json")


class Run:
    """One run, heard in full. At every turn the state goes through canonical JSON into a new machine."""

    def __init__(self, playbook: Playbook, given: Mapping[str, Held] | None = None) -> None:
        self.playbook = playbook
        self.machine = Machine(playbook, new_state(playbook, given or {}))
        self.now_us = 1_000_000
        self.turns: list[Turn] = []

    # --- Events ------------------------------------------------------------------------------------------------------

    def start(self) -> Run:
        return self._hear(self.machine.start(self.now_us))

    def done(self, name: str, output: Held | None = None, **values: str | Held) -> Run:
        """The piece of work of this step is done; ``values`` are by variable, without underscores."""
        held = {f"__{key}__": one if isinstance(one, Held) else Held(one) for key, one in values.items()}
        return self.tell(self.key(name), WorkEnded(True, values=held, output=output))

    def fail(self, name: str, reason: str = "no luck") -> Run:
        return self.tell(self.key(name), WorkEnded(False, reason))

    def tell(self, key: str, how: WorkEnded) -> Run:
        return self._hear(self.machine.ended(key, how, self.now_us))

    def wait(self, ms: int) -> Run:
        self.now_us += ms * MS
        return self._hear(self.machine.tick(self.now_us))

    def stop(self, reason: str = "enough") -> Run:
        return self._hear(self.machine.stop(reason, self.now_us))

    def _hear(self, turn: Turn) -> Run:
        self.turns.append(turn)
        while True:
            stored = json.loads(canonical(state_to_json(self.machine.state)))
            self.machine = Machine(self.playbook, state_from_json(stored))
            if not self.machine.is_ready:
                return self
            self.turns.append(self.machine.go_on(self.now_us))

    # --- What was heard ----------------------------------------------------------------------------------------------

    @property
    def begun(self) -> list[Begin]:
        return [one for turn in self.turns for one in turn.begins]

    @property
    def dropped(self) -> list[Drop]:
        return [one for turn in self.turns for one in turn.drops]

    @property
    def ended(self) -> list[StepEnded]:
        return [one for turn in self.turns for one in turn.ended]

    def name(self, step: str) -> str:
        return self.playbook.steps[step].name or "start"

    def under_way(self) -> list[str]:
        waited = self.machine.waited_for
        return [self.name(one.step) for one in self.begun if one.key in waited]

    def key(self, name: str) -> str:
        waited = self.machine.waited_for
        [key] = [one.key for one in self.begun if one.key in waited and self.name(one.step) == name]
        return key

    def work(self, name: str) -> Any:
        [work] = [one.work for one in self.begun if one.key == self.key(name)]
        return work

    def outcomes(self) -> list[str]:
        """``name outcome`` of each step that ended, the start left out."""
        return [f"{self.name(one.step)} {one.outcome}" for one in self.ended if one.step != self.start_id]

    @property
    def start_id(self) -> str:
        return self.playbook.head.workflow_start

    @property
    def status(self) -> str:
        return str(self.machine.state.status)

    @property
    def reason(self) -> str:
        return self.machine.state.reason

    def value(self, name: str) -> Held:
        return self.machine.state.values[f"__{name}__"]
