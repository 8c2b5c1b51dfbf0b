"""Texts of an HTTP request with numbered placeholders, and how a value takes the place of one: as what stands there.

``${1}`` is the first value, ``${1:json}`` the first value as a number or truth value of JSON, ``$$`` a dollar sign. A
value is put in once and not looked at again, so a placeholder in it is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import quote, quote_plus, unquote

from watchfloor_playbooks.template_numbers import Numbers, TemplateError
from watchfloor_playbooks.vocabulary import REFERENCE

JSON_TYPE: Final = re.compile(r"application/(?:[a-z0-9!#$&^_.+-]+\+)?json(?:\s*;.*)?", re.IGNORECASE)
FORM_TYPE: Final = re.compile(r"application/x-www-form-urlencoded(?:\s*;.*)?", re.IGNORECASE)
HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
"""A token of RFC 9110, section 5.6.2."""

_PLACEHOLDER: Final = re.compile(r"\$(?:\$|\{([1-9][0-9]?)(:json)?\})")
_LITERAL: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PATH: Final = re.compile(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")
_ESCAPES: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HEADER: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def numbered(text: str, numbers: Numbers) -> str:
    """The text with placeholders for its references."""
    parts, at = [], 0
    for found in REFERENCE.finditer(text):
        parts += [_literal(text[at : found.start()]), f"${{{numbers.number(found.group(1))}}}"]
        at = found.end()
    return "".join([*parts, _literal(text[at:])])


def json_numbered(text: str, numbers: Numbers, is_json: Callable[[str], bool]) -> str:
    """The same for JSON. ``is_json`` says which variables are no texts; inside a string each is one."""
    parts, at, is_inside = [], 0, False
    for found in REFERENCE.finditer(text):
        before = text[at : found.start()]
        is_inside ^= _crosses(before)
        form = ":json" if not is_inside and is_json(found.group(1)) else ""
        parts += [_literal(before), f"${{{numbers.number(found.group(1))}{form}}}"]
        at = found.end()
    return "".join([*parts, _literal(text[at:])])


def filled_path(template: str, values: Sequence[str]) -> str:
    """Path and query, each value percent-encoded as one piece of it. Raises `TemplateError`."""
    plain = _substituted(template, values, lambda _: "x")
    if not _PATH.fullmatch(plain) or _ESCAPES.search(plain):
        raise TemplateError("the path begins with one '/' and has no fragment, blanks or characters that are not ASCII")
    path, _, query = template.partition("?")
    for pair in query.split("&"):
        if _placeholders(pair.partition("=")[0]):
            raise TemplateError("a reference names a parameter of the query; it may only be the value of one")
    made = _substituted(path, values, _encoded)
    # Some servers decode first and walk then, so an encoded slash does not make '..' harmless.
    if any(part in (".", "..") for part in re.split(r"[/;\\]", unquote(made))):
        raise TemplateError("a segment of the path is '.' or '..', which leads elsewhere")
    if any(not segment for segment in made.split("/")[1:-1]):
        raise TemplateError("a segment of the path is empty")
    return made + (f"?{_substituted(query, values, _encoded)}" if query else "")


def filled_header(template: str, values: Sequence[str]) -> str:
    """A header's value: visible ASCII and blanks inside. Raises `TemplateError`."""
    made = _substituted(template, values, str)
    if not _HEADER.fullmatch(made):
        raise TemplateError("a header holds line ends, other controls or characters that are not ASCII, or is empty")
    return made


def filled_json(template: str, values: Sequence[str]) -> str:
    """JSON whose values are texts inside strings, or whole values. Raises `TemplateError`."""
    parts, at, is_inside = [], 0, False
    for found in _PLACEHOLDER.finditer(template):
        before = template[at : found.start()]
        is_inside ^= _crosses(before)
        if found.group() == "$$":
            parts += [before, "$"]
        elif is_inside:
            if re.search(r"(?<!\\)(?:\\\\)*\\$", before):
                raise TemplateError("a reference stands after a backslash of a JSON string")
            if re.match(r'(?:[^"\\]|\\.)*"\s*:', template[found.end() :]):
                raise TemplateError("a reference is (a part of) the name of a JSON member; it may only be in a value")
            parts += [before, json.dumps(_value(found, values))[1:-1]]
        else:
            parts += [before, _whole(found, values)]
        at = found.end()
    made = "".join([*parts, template[at:]])
    try:
        json.loads(made)
    except ValueError as error:
        raise TemplateError(f"with its values the content is no JSON: {error}") from None
    return made


def filled_form(template: str, values: Sequence[str]) -> str:
    """A form (application/x-www-form-urlencoded). Raises `TemplateError`."""
    for pair in template.split("&"):
        if _placeholders(pair.partition("=")[0]):
            raise TemplateError("a reference names a field of the form; it may only be the value of one")
    return _substituted(template, values, lambda text: quote_plus(text, safe=""))


def filled_content(template: str, values: Sequence[str], media_type: str) -> str:
    """The content of a request by its media type. Raises `TemplateError`."""
    if JSON_TYPE.fullmatch(media_type):
        return filled_json(template, values)
    if FORM_TYPE.fullmatch(media_type):
        return filled_form(template, values)
    if _placeholders(template):
        raise TemplateError("references are put into content of JSON and of forms only; give its Content-Type")
    return _substituted(template, values, str)


def _whole(found: re.Match[str], values: Sequence[str]) -> str:
    value = _value(found, values)
    if not found.group(2):
        return json.dumps(value)
    if not _LITERAL.fullmatch(value):
        raise TemplateError("a value that is to be a number or truth value of JSON is none")
    return value


def _encoded(text: str) -> str:
    return quote(text, safe="")


def _literal(text: str) -> str:
    return text.replace("$", "$$")


def _crosses(text: str) -> bool:
    """Whether the text leads into a string of JSON or out of one."""
    return len(re.findall(r'(?<!\\)(?:\\\\)*"', text)) % 2 == 1


def _placeholders(template: str) -> bool:
    return any(found.group(1) for found in _PLACEHOLDER.finditer(template))


def _value(found: re.Match[str], values: Sequence[str]) -> str:
    number = int(found.group(1))
    if number > len(values):
        raise TemplateError(f"there is no value for the placeholder {found.group()}")
    return values[number - 1]


def _substituted(template: str, values: Sequence[str], encoded: Callable[[str], str]) -> str:
    def put(found: re.Match[str]) -> str:
        return "$" if found.group() == "$$" else encoded(_value(found, values))

    if "$" in _PLACEHOLDER.sub("", template):
        raise TemplateError("a '$' stands alone; a placeholder or '$$' was expected")
    return _PLACEHOLDER.sub(put, template)
