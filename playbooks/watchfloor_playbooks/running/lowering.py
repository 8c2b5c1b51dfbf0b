"""From a command of a playbook to what is asked of people or of the gate.

Nothing is run here, and no value becomes part of a command's text: shells and HTTP get a template and its values apart.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from watchfloor_core.errors import RecordError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.draft import MAX_PURPOSE
from watchfloor_playbooks.extension import level_cap
from watchfloor_playbooks.model import ActionStep
from watchfloor_playbooks.objects import Command, ShellCommand, WatchfloorCommand
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.commands import RUNNERS, command_work
from watchfloor_playbooks.running.values import Values, filled, named_by
from watchfloor_playbooks.running.work import ActionWork, ManualWork, Work

MANUAL_MS: Final = 86_400_000
"""So long people have for a task whose step says nothing."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One command on one target: what an action step consists of."""

    command: int
    target: str | None


def pieces_of(playbook: Playbook, step_id: str) -> list[Piece]:
    """In the order in which they run: command by command, and each on one target after the other."""
    step = playbook.steps[step_id]
    targets: tuple[str | None, ...] = (step.targets if isinstance(step, ActionStep) else None) or (None,)
    found = []
    for index, command in enumerate(playbook.commands[step_id]):
        # These say themselves what they are about, or run here.
        is_own = isinstance(command, WatchfloorCommand) or command.type in ("manual", "bash", "powershell")
        found += [Piece(index, target) for target in ((None,) if is_own else targets)]
    return found


def work_of(playbook: Playbook, step_id: str, piece: Piece, values: Values) -> Work:
    """What this piece asks for. Raises `RecordError` where a value is missing or does not fit."""
    step, command = playbook.steps[step_id], playbook.commands[step_id][piece.command]
    if not isinstance(step, ActionStep):
        raise RecordError(f"step {step_id!r} has no commands")
    if isinstance(command, WatchfloorCommand):
        return ActionWork(
            action_class=command.action_class,
            target=filled(command.target, values),
            arguments={name: filled(text, values) for name, text in (command.arguments or {}).items()},
            tool=command.tool,
            lease_s=command.lease_s,
            purpose=purpose_of(playbook, step, command),
            max_level=level_cap(playbook, step),
            named_by=named_by((command.target, *(command.arguments or {}).values()), values),
        )
    if command.type == "manual":
        return ManualWork(
            text=filled(command_text(command), values),
            agent=str(filled(playbook.agents[step.agent].name, values).value),
            answers=step.out_args or (),
            within_ms=step.timeout or MANUAL_MS,
        )
    if command.type in RUNNERS:
        return command_work(
            command,
            agent=playbook.agents[step.agent].name,
            place=None if piece.target is None else playbook.targets[piece.target],
            values=values,
            declared={**playbook.head.playbook_variables, **step.step_variables},
            purpose=purpose_of(playbook, step, command),
            max_level=level_cap(playbook, step),
        )
    raise RecordError(f"commands of type {quote_untrusted(command.type, 40)} are not supported")


def unsupported(playbook: Playbook) -> Iterator[str]:
    """What of it cannot be run here, before anything of it is."""
    for step_id, commands in playbook.commands.items():
        for command in commands:
            if not isinstance(command, WatchfloorCommand) and command.type not in ("manual", *RUNNERS):
                kind = quote_untrusted(command.type, 40)
                yield f"step {step_id} has a command of type {kind}, which is not supported; use another type"


def purpose_of(playbook: Playbook, step: ActionStep, command: Command) -> str:
    """Why, in the playbook's own words; values never stand in it."""
    told = command.description or step.description or step.name or ""
    return f"{playbook.head.name}: {told}"[:MAX_PURPOSE].replace("\0", "")


def command_text(command: Command) -> str:
    """The text of a manual or shell command. Raises `RecordError` where its base64 holds none."""
    if isinstance(command, ShellCommand):
        if command.command is not None:
            return command.command
        try:
            return base64.b64decode(command.command_b64 or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise RecordError(f"command_b64 holds no text: {error}") from error
    raise RecordError(f"commands of type {quote_untrusted(command.type, 40)} have no text")
