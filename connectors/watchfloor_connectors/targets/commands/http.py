"""Sends a playbook's HTTP requests (CACAO ``http-api``) to the places that the operator lists, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from watchfloor_connectors.targets.base import ConfiguredTarget, NeverError, Slot
from watchfloor_connectors.targets.commands.bash import VALUE_NAMES
from watchfloor_connectors.targets.commands.endpoint import origin_of
from watchfloor_connectors.targets.commands.results import Outcome, Runs
from watchfloor_connectors.targets.commands.sending import (
    RESTRICTING,
    SendingOptions,
    auth_faults,
    is_reserved,
    outcome_of,
    send,
)
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import NotDoneError, ReadBack, TargetState
from watchfloor_playbooks.template_http import HEADER_NAME, filled_content, filled_header, filled_path
from watchfloor_playbooks.template_numbers import TemplateError
from watchfloor_playbooks.templates import HEADER, values_of

Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
MAX_HEADERS: Final = 32


class HttpOptions(SendingOptions):
    """Options of the kind ``http_api``."""

    methods: Annotated[tuple[Method, ...], Field(min_length=1)] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    """Those that may be used."""


class HttpApi(ConfiguredTarget[HttpOptions]):
    kind = "http_api"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"start command"})
    options_type = HttpOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING | {"methods", "base_urls"}
    arguments: ClassVar[frozenset[str]] = VALUE_NAMES | {"method", "path", "content"}

    def __init__(self, slot: Slot, options: HttpOptions) -> None:
        self._runs = Runs(slot, options.keep_days)
        super().__init__(slot, options)

    @classmethod
    def faults(cls, options: HttpOptions, *, is_shared: bool) -> Iterator[str]:  # noqa: ARG003 - the same for one and many
        yield from auth_faults(options)

    def takes(self, argument: str) -> bool:
        name = argument.removeprefix(HEADER)
        return argument in self.arguments or (name != argument and HEADER_NAME.fullmatch(name) is not None)

    def privileges(self) -> tuple[str, ...]:
        places = ", ".join(self.options.base_urls)
        return (f"requests to {places}, and there what playbooks ask for", f"write files in {self._runs.folder}")

    def read_state(self, target: Target) -> TargetState:
        return self._state(origin_of(target, self.options.base_urls, self.options.never, self.tool))

    def do(self, action: Action, key: str) -> None:
        where = origin_of(action.target, self.options.base_urls, self.options.never, self.tool)
        method, path, headers, content = self._request(action)
        if method not in self.options.methods:
            raise NeverError(f"the method {method!r:.20} is not among the 'methods' of {self.tool!r}")

        def start() -> Outcome:
            return outcome_of(send(self.options, where, method, path, headers, content, key), where)

        self._runs.run(key, start)

    def read_back(self, action: Action, key: str) -> ReadBack:
        where = origin_of(action.target, self.options.base_urls, self.options.never, self.tool)
        return self._runs.told(key, self._state(where))

    def _state(self, where: str) -> TargetState:
        return TargetState({"endpoint": where, "auth": self.options.auth})

    @staticmethod
    def _request(action: Action) -> tuple[str, str, dict[str, str], bytes]:
        """The request with its values in place. Raises `NotDoneError`."""
        given = {name: text for name, text in action.arguments.items() if isinstance(text, str)}
        if len(given) != len(action.arguments) or "method" not in given or "path" not in given:
            raise NotDoneError("nothing was sent: the arguments 'method' and 'path' are needed, and all are texts")
        templates = {name.removeprefix(HEADER): text for name, text in given.items() if name.startswith(HEADER)}
        reserved = sorted(filter(is_reserved, templates))
        if reserved or len(templates) > MAX_HEADERS or len({name.lower() for name in templates}) != len(templates):
            wrong = (
                f"{reserved[0]!r} is not a playbook's to set" if reserved else "they are too many, or one is twofold"
            )
            raise NotDoneError(f"nothing was sent, for its headers: {wrong}")
        try:
            values = values_of(given)
            headers = {name: filled_header(text, values) for name, text in templates.items()}
            media_type = next((text for name, text in headers.items() if name.lower() == "content-type"), "")
            content = filled_content(given["content"], values, media_type) if "content" in given else ""
            return given["method"], filled_path(given["path"], values), headers, content.encode()
        except TemplateError as error:
            raise NotDoneError(f"nothing was sent: {error}") from error
