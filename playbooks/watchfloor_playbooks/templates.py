"""What a command of a playbook (CACAO v2.0, section 5) becomes: the arguments of the action ``start command``.

A reference ``__name__:value`` never becomes a part of the text that is run. It becomes a numbered placeholder, and the
value an argument of its own, ``value.1`` to ``value.n``, which the runner hands over as data. Where that cannot be done
safely the command is refused with `TemplateError`, which says what to change. Pure: nothing is run or looked up here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from watchfloor_guardrails.action import MAX_TEXT
from watchfloor_playbooks.template_http import (
    HEADER_NAME,
    JSON_TYPE,
    filled_content,
    filled_header,
    filled_path,
    json_numbered,
    numbered,
)
from watchfloor_playbooks.template_numbers import Numbers, TemplateError, Value
from watchfloor_playbooks.template_powershell import PowerShellText
from watchfloor_playbooks.template_shell import ShellText
from watchfloor_playbooks.vocabulary import REFERENCE

OPENC2_TYPE: Final = "application/openc2+json;version=1.0"
VALUE: Final = "value."
HEADER: Final = "header."

_START_LINE: Final = re.compile(r"(GET|HEAD|POST|PUT|PATCH|DELETE)[ ]+(\S+)(?:[ ]+HTTP/[0-9.]+)?[ ]*")


def bash_arguments(command: str, values: Mapping[str, Value]) -> dict[str, str]:
    """``script`` and ``value.n`` of a command of type ``bash``; ``values`` by the variables' names, ``__name__``."""
    return _script("script", command, values)


def ssh_arguments(command: str, values: Mapping[str, Value]) -> dict[str, str]:
    """``command`` and ``value.n`` of a command of type ``ssh``."""
    return _script("command", command, values)


def powershell_arguments(command: str, values: Mapping[str, Value]) -> dict[str, str]:
    """``script`` and ``value.n`` of a command of type ``powershell``."""
    numbers = Numbers()
    text = PowerShellText(command, numbers).read()
    return _checked({"script": text, **_values(numbers, values)})


def http_arguments(
    start_line: str, headers: Mapping[str, str], content: str | None, values: Mapping[str, Value]
) -> dict[str, str]:
    """``method``, ``path``, ``header.<Name>``, ``content`` and ``value.n`` of a command of type ``http-api``.

    ``start_line`` is what CACAO calls the command: ``POST /v1/blocks HTTP/1.1``.
    """
    found = _START_LINE.fullmatch(start_line)
    if found is None:
        raise TemplateError("the command is no start line such as 'POST /v1/blocks HTTP/1.1'")
    numbers = Numbers()
    made = {"method": found.group(1), "path": numbered(found.group(2), numbers)}
    media_type = ""
    for name, text in headers.items():
        if not HEADER_NAME.fullmatch(name) or REFERENCE.search(name):
            raise TemplateError(f"{name!r:.80} is no name of a header")
        if name.lower() == "content-type":
            media_type = text
            if REFERENCE.search(text):
                raise TemplateError("a reference stands in Content-Type, which says how values are written")
        made[HEADER + name] = numbered(text, numbers)
    if content:
        made["content"] = _content(content, media_type, numbers, values)
    return _tried({**made, **_values(numbers, values)}, media_type)


def openc2_arguments(content: str, values: Mapping[str, Value]) -> dict[str, str]:
    """``content`` and ``value.n`` of a command of type ``openc2-http``: an OpenC2 command (Language 1.0) in JSON."""
    numbers = Numbers()
    made = {"content": _content(content, OPENC2_TYPE, numbers, values)}
    return _tried({**made, **_values(numbers, values)}, OPENC2_TYPE)


def values_of(arguments: Mapping[str, object]) -> tuple[str, ...]:
    """The values of an action's arguments in order, ``value.1`` first. Raises `TemplateError` for a gap."""
    count = sum(name.startswith(VALUE) for name in arguments)
    found = [arguments.get(f"{VALUE}{number}") for number in range(1, count + 1)]
    texts = tuple(one for one in found if isinstance(one, str))
    if len(texts) != count:
        raise TemplateError(f"the arguments value.1 to value.{count} are not all there, or are no texts")
    return texts


def _script(name: str, command: str, values: Mapping[str, Value]) -> dict[str, str]:
    numbers = Numbers()
    text = ShellText(command, numbers).read()
    return _checked({name: text, **_values(numbers, values)})


def _content(content: str, media_type: str, numbers: Numbers, values: Mapping[str, Value]) -> str:
    if not JSON_TYPE.fullmatch(media_type):
        return numbered(content, numbers)
    return json_numbered(content, numbers, lambda name: name in values and not isinstance(values[name], str))


def _values(numbers: Numbers, values: Mapping[str, Value]) -> dict[str, str]:
    return {f"{VALUE}{number}": text for number, text in enumerate(numbers.values(values), 1)}


def _tried(arguments: dict[str, str], media_type: str) -> dict[str, str]:
    """As the runner will fill them, so that what it would refuse is refused before anybody is asked."""
    values = values_of(arguments)
    if "path" in arguments:
        filled_path(arguments["path"], values)
    for name, text in arguments.items():
        if name.startswith(HEADER):
            filled_header(text, values)
    if "content" in arguments:
        filled_content(arguments["content"], values, media_type)
    return _checked(arguments)


def _checked(arguments: dict[str, str]) -> dict[str, str]:
    for name, text in arguments.items():
        if not text or (not name.startswith(VALUE) and not text.strip()):
            raise TemplateError(f"{name!r} is empty")
        if len(text) > MAX_TEXT:
            raise TemplateError(f"{name!r} has {len(text):,} characters; an action takes {MAX_TEXT:,}")
        if "\0" in text:
            raise TemplateError(f"{name!r} holds a NUL")
    return arguments
