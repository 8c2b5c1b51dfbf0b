"""Sends OpenC2 commands over HTTPS (OpenC2 Language 1.0; Transfer of OpenC2 Messages via HTTPS 1.1).

The consumer's own answer says whether it did it, not the status of HTTP: 200 it did, 102 it is at it, 4xx it does not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, ValidationError

from watchfloor_connectors.targets.base import ConfiguredTarget, Slot
from watchfloor_connectors.targets.commands.bash import VALUE_NAMES
from watchfloor_connectors.targets.commands.endpoint import origin_of
from watchfloor_connectors.targets.commands.results import Outcome, Runs
from watchfloor_connectors.targets.commands.sending import (
    RESTRICTING,
    Answer,
    SendingOptions,
    auth_faults,
    outcome_of,
    send,
)
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import NotDoneError, ReadBack, TargetState
from watchfloor_playbooks.template_http import filled_json, filled_path
from watchfloor_playbooks.template_numbers import TemplateError
from watchfloor_playbooks.templates import OPENC2_TYPE, values_of

WELL_KNOWN: Final = "/.well-known/openc2"


def _path(text: str) -> str:
    try:
        return filled_path(text, ())
    except TemplateError as error:
        raise ValueError(str(error)) from None


class OpenC2Options(SendingOptions):
    """Options of the kind ``openc2_http``."""

    path: Annotated[str, AfterValidator(_path)] = WELL_KNOWN
    """Where the consumer takes commands."""


class _Command(BaseModel):
    """A command of OpenC2 Language 1.0, section 3.3.1."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Annotated[str, Field(pattern=r"^[a-z]{1,32}$")]
    target: Annotated[dict[str, JsonValue], Field(min_length=1, max_length=1)]
    args: dict[str, JsonValue] | None = None
    actuator: dict[str, JsonValue] | None = None
    command_id: str | None = None


class _Response(BaseModel):
    """An answer of section 3.3.2."""

    status: Annotated[int, Field(ge=100, le=599)]
    status_text: str = ""


class _Content(BaseModel):
    response: _Response


class _Body(BaseModel):
    openc2: _Content


class _Headers(BaseModel):
    request_id: str | None = None


class _Message(BaseModel):
    headers: _Headers = _Headers()
    body: _Body


class OpenC2Http(ConfiguredTarget[OpenC2Options]):
    kind = "openc2_http"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"start command"})
    options_type = OpenC2Options
    restricting: ClassVar[frozenset[str]] = RESTRICTING | {"base_urls"}
    arguments: ClassVar[frozenset[str]] = VALUE_NAMES | {"content"}

    def __init__(self, slot: Slot, options: OpenC2Options) -> None:
        self._runs = Runs(slot, options.keep_days)
        super().__init__(slot, options)

    @classmethod
    def faults(cls, options: OpenC2Options, *, is_shared: bool) -> Iterator[str]:  # noqa: ARG003 - as for http_api
        yield from auth_faults(options)

    def privileges(self) -> tuple[str, ...]:
        places = ", ".join(self.options.base_urls)
        return (f"OpenC2 commands to {places}, those that playbooks send", f"write files in {self._runs.folder}")

    def read_state(self, target: Target) -> TargetState:
        return self._state(origin_of(target, self.options.base_urls, self.options.never, self.tool))

    def do(self, action: Action, key: str) -> None:
        where = origin_of(action.target, self.options.base_urls, self.options.never, self.tool)
        request = _command(action)
        headers: dict[str, JsonValue] = {"request_id": key, "created": int(time.time() * 1000), "from": "watchfloor"}
        content = json.dumps({"headers": headers, "body": {"openc2": {"request": request}}}).encode()
        lines = {"Content-Type": OPENC2_TYPE, "Accept": OPENC2_TYPE, "X-Request-ID": key, "Cache-Control": "no-cache"}

        def start() -> Outcome:
            return _outcome(send(self.options, where, "POST", self.options.path, lines, content, key), where, key)

        self._runs.run(key, start)

    def read_back(self, action: Action, key: str) -> ReadBack:
        where = origin_of(action.target, self.options.base_urls, self.options.never, self.tool)
        return self._runs.told(key, self._state(where))

    def _state(self, where: str) -> TargetState:
        return TargetState({"endpoint": f"{where}{self.options.path}", "auth": self.options.auth})


def _command(action: Action) -> dict[str, JsonValue]:
    """The command with its values in place, in a message or by itself. Raises `NotDoneError`."""
    template = action.arguments.get("content")
    if not isinstance(template, str):
        raise NotDoneError("nothing was sent: the argument 'content' is missing or no text")
    try:
        found = json.loads(filled_json(template, values_of(action.arguments)))
        if isinstance(found, dict) and "body" in found:
            found = found["body"]["openc2"]["request"]
        return _Command.model_validate(found).model_dump(mode="json", exclude_none=True)
    except TemplateError as error:
        raise NotDoneError(f"nothing was sent: {error}") from error
    except (ValidationError, KeyError, TypeError) as error:
        raise NotDoneError(
            "nothing was sent: the content is no OpenC2 command, which has an 'action' and a 'target' of one type"
        ) from error


def _outcome(answer: Answer, where: str, key: str) -> Outcome:
    response = _response(answer, key)
    if response is None:
        plain = outcome_of(answer, where)
        if plain.effect != "applied":
            return plain
        text = f"{plain.text}, and not with an OpenC2 response to this command; whether it was done is not known"
        return plain.model_copy(update={"effect": "unknown", "text": text})
    told = f": {quote_untrusted(response.status_text, 120)}" if response.status_text else ""
    said = f"the consumer at {where} answered with status {response.status}{told}"
    match response.status:
        case status if 200 <= status < 300:
            return Outcome(effect="applied", text=said, output=answer.text)
        case 501:
            return Outcome(effect="not_applied", text=f"{said}: it cannot do that", output=answer.text)
        case status if 400 <= status < 500:
            return Outcome(effect="not_applied", text=f"{said}: it refuses", output=answer.text)
        case status:
            more = "it is at it, and does not say how it ends" if status == 102 else "whether it was done is not known"
            return Outcome(effect="unknown", text=f"{said}; {more}", output=answer.text)


def _response(answer: Answer, key: str) -> _Response | None:
    """The OpenC2 response; None where there is none, or it answers another command."""
    if answer.is_cut:
        return None
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    try:
        message = _Message.model_validate(found)
    except ValidationError:
        return None
    return message.body.openc2.response if message.headers.request_id in (None, key) else None
