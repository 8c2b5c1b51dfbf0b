"""A first look at a host by Falcon's Real Time Response: a session, a few commands that only read, and their output.

What was started is kept in a note, by the action's key: no other call finds it again. A session ends by itself after
ten minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, Field

from watchfloor_connectors.targets.base import MARK, NotReadyError
from watchfloor_connectors.targets.http_api import Session
from watchfloor_connectors.targets.notes import Note, Notes
from watchfloor_core.errors import UnavailableError
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError, ReadBack, TargetState

ReadOnlyCommand: TypeAlias = Literal["ps", "netstat", "ipconfig", "env", "mount", "getsid"]
"""Of the base commands of ``real-time-response/entities/command/v1``, those that tell much without an argument."""
_PATH: Final = "real-time-response/entities"
_MAX_PARTS: Final = 20

_Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z-]{1,64}$")]


class _Session(BaseModel):
    session_id: _Id
    offline_queued: bool = False


class _Sessions(BaseModel):
    resources: tuple[_Session, ...] = Field(min_length=1)


class _Command(BaseModel):
    cloud_request_id: _Id


class _Commands(BaseModel):
    resources: tuple[_Command, ...] = Field(min_length=1)


class _Output(BaseModel):
    complete: bool
    stdout: str
    stderr: str


class _Outputs(BaseModel):
    resources: tuple[_Output, ...] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class _Ran:
    text: str
    is_complete: bool


class Triage:
    """Starts looks and finds what came of them."""

    def __init__(self, notes: Notes, commands: tuple[ReadOnlyCommand, ...]) -> None:
        self._notes, self._commands = notes, commands

    def start(self, session: Session, device: str, key: str) -> None:
        with self._notes.alone(_about(key)):
            if self._notes.read(_about(key)) is not None:
                return
            asked = {"device_id": device, "origin": f"{MARK}{key}", "queue_offline": False}
            opened = session.change("POST", f"{_PATH}/sessions/v1", json=asked).parse(_Sessions).resources[0]
            if opened.offline_queued:
                raise NotDoneError("the host is offline; nothing was run on it")
            begun: list[str] = []
            try:
                for command in self._commands:
                    told = {"base_command": command, "command_string": command, "session_id": opened.session_id}
                    answer = session.change("POST", f"{_PATH}/command/v1", json=told).parse(_Commands)
                    begun.append(f"{command} {answer.resources[0].cloud_request_id}")
            finally:
                self._keep(Note(target=_about(key), id=device, key=key, details=tuple(begun)))

    def found(self, session: Session, device: str, key: str, state: TargetState) -> ReadBack:
        note = self._notes.read(_about(key))
        if note is None or note.id != device:
            return ReadBack(Effect.NOT_APPLIED, state, "no look at this host is recorded for this action")
        ran: dict[str, _Ran] = {}

        def look() -> bool:
            """Whether all have answered; what is complete is not asked for again."""
            for one in note.details:
                command, _, request = one.partition(" ")
                if command not in ran or not ran[command].is_complete:
                    ran[command] = _output(session, request)
            return all(one.is_complete for one in ran.values())

        session.until(look, bool)
        output = "".join(f"$ {command}\n{one.text}\n" for command, one in ran.items())[:MAX_OUTPUT]
        missing = [one for one in self._commands if one not in ran or not ran[one].is_complete]
        text = f"{len(self._commands) - len(missing)} of {len(self._commands)} commands have answered"
        return ReadBack(Effect.UNKNOWN if missing else Effect.APPLIED, state, text, output)

    def _keep(self, note: Note) -> None:
        try:
            self._notes.write(note)
        except NotReadyError as error:
            # It runs already.
            raise UnavailableError(str(error)) from error


def _output(session: Session, request: str) -> _Ran:
    """What a command has written so far, part by part."""
    text = ""
    for part in range(_MAX_PARTS):
        asked = {"cloud_request_id": request, "sequence_id": str(part)}
        found = session.read(_Outputs, f"{_PATH}/command/v1", params=asked).resources[0]
        text = f"{text}{found.stdout}{found.stderr}"[:MAX_OUTPUT]
        # What does not fit into an answer is not waited for.
        is_complete = found.complete or len(text) == MAX_OUTPUT
        if is_complete or not found.stdout:
            return _Ran(text, is_complete)
    return _Ran(text, is_complete=False)


def _about(key: str) -> str:
    return f"investigate host {key}"
