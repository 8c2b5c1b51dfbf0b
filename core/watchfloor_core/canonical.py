"""Canonical JSON by RFC 8785 (JCS): one value, one sequence of bytes, in every language.

Two facts make a fast path possible. ``orjson`` writes strings exactly as JCS wants them (the same short escapes,
lower-case ``\\u00xx``, no others), and its sorted keys are in JCS order as long as all keys are ASCII. What remains
are numbers: JCS writes them as ECMAScript does (``1`` for 1.0, ``0.000001`` for 1e-6), so floats whose text differs are
put in their JCS form first. A property test holds this path to the ``rfc8785`` package byte for byte; anything
else (keys beyond ASCII) is left to that package.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import orjson
import rfc8785

from watchfloor_core.untrusted import escape_untrusted

JsonValue: TypeAlias = "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
"""What has a canonical form. Read-only types, so that a ``dict[str, list[str]]`` fits as well."""

MAX_INTEGER: Final = 2**53 - 1
"""JCS numbers are IEEE 754 doubles: a larger integer has no exact form and is given as a string."""
MAX_DEPTH: Final = 64
"""Nesting of lists and objects."""

_OPTIONS: Final = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER
_SAME_FROM: Final = 1e-5
_SAME_BELOW: Final = 1e15
"""In this range of magnitudes both write a float that is not whole as its shortest decimal, without exponent."""
_OTHER_NUMBERS: Final = (b".0,", b".0]", b".0}")
_EXPONENT: Final = re.compile(rb"[0-9]e[+-][0-9]")
"""Outside of it, what ``orjson`` writes holds one of these. (They stand in texts too; then the longer way is taken.)"""


class _BeyondFastPathError(Exception):
    """The value holds a key that only the reference package sorts rightly."""


def canonical(value: JsonValue) -> bytes:
    """The RFC 8785 bytes of a value.

    Raises ValueError with the place of the first part that has no canonical form: NaN, infinity, an integer beyond
    2^53-1, text with lone surrogates, a key that is no string, nesting beyond `MAX_DEPTH`, any other type.
    """
    try:
        return orjson.dumps(_plain(value, MAX_DEPTH), option=_OPTIONS)
    except _BeyondFastPathError:
        return _reference(value)
    except (orjson.JSONEncodeError, TypeError, ValueError) as error:
        raise ValueError(_explain(value, "$", MAX_DEPTH) or f"not canonical JSON: {error}") from error


def parse_canonical(data: bytes) -> JsonValue:
    """The value in canonical bytes.

    Raises ValueError where ``data`` is no JSON or not its canonical form: unsorted, a space too many, a key twice, a
    number written otherwise.
    """
    value: JsonValue = orjson.loads(data)
    if _is_plainly_canonical(data, value):
        return value
    try:
        if canonical(value) == data:
            return value
    except ValueError:
        value = _with_doubles(data)
        if canonical(value) == data:
            return value
    raise ValueError("is JSON, but not in canonical form (RFC 8785)")


def _is_plainly_canonical(data: bytes, value: JsonValue) -> bool:
    """True only for canonical bytes of an object, seen without a walk through it; False says nothing."""
    if not (data.startswith(b"{") and data.isascii()):
        return False
    for text in _OTHER_NUMBERS:
        if text in data:
            return False
    # The two letters stand in many texts, and are found faster than the expression is.
    if (b"e-" in data or b"e+" in data) and _EXPONENT.search(data):
        return False
    try:
        return orjson.dumps(value, option=_OPTIONS) == data
    except TypeError:
        return False


def _with_doubles(data: bytes) -> JsonValue:
    """Parsed as JCS means it: a double of 2^53 or more that is whole is canonical as bare digits."""
    try:
        value: JsonValue = json.loads(data, parse_int=_integer_or_double)
    except RecursionError:
        raise ValueError(f"is nested deeper than {MAX_DEPTH}") from None
    return value


def _integer_or_double(digits: str) -> int | float:
    number = int(digits)
    return number if -MAX_INTEGER <= number <= MAX_INTEGER else float(digits)


def _plain(value: JsonValue, depth: int) -> JsonValue:
    """The value with every part whose ``orjson`` text would differ put in a form whose text is the JCS text."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return _number(value)
    if depth == 0:
        raise ValueError("too deep")
    below = depth - 1
    if isinstance(value, Mapping):
        plain: dict[str, JsonValue] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError("key")
            if not key.isascii():
                raise _BeyondFastPathError
            plain[key if type(key) is str else str.__str__(key)] = (
                item if item is None or isinstance(item, (str, int)) else _plain(item, below)
            )
        return plain
    if isinstance(value, (list, tuple)):
        return [item if isinstance(item, (str, int)) else _plain(item, below) for item in value]
    raise ValueError("type")


def _number(value: float) -> float | int | orjson.Fragment:
    magnitude = abs(value)
    if _SAME_FROM <= magnitude < _SAME_BELOW:
        whole = int(value)
        return whole if whole == value else value
    if value == 0:
        return 0
    if not math.isfinite(value):
        raise ValueError("not finite")
    return orjson.Fragment(rfc8785.dumps(value))


def _reference(value: JsonValue) -> bytes:
    problem = _explain(value, "$", MAX_DEPTH)
    if problem is not None:
        raise ValueError(problem)
    return rfc8785.dumps(_built_in(value))


def _built_in(value: JsonValue) -> JsonValue:
    """Any mapping as a dict: the reference package takes no other."""
    if isinstance(value, Mapping):
        return {key: _built_in(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_built_in(item) for item in value]
    return value


def _explain(value: object, path: str, depth: int) -> str | None:
    """What is wrong with the first part that has no canonical form, and where; None where nothing is."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, int):
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return None
        return f"{path} is {value}, beyond the exact integers of JSON (2^53-1); give it as a string"
    if isinstance(value, float):
        return None if math.isfinite(value) else f"{path} is {value!r}, which JSON does not have; give null or a string"
    if isinstance(value, str):
        return _explain_text(value, path)
    if depth == 0:
        return f"{path} is nested deeper than {MAX_DEPTH}; flatten it"
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{path} has the key {key!r} of type {type(key).__name__}; keys are strings"
            problem = _explain_text(key, f"the key {key!r} of {path}")
            problem = problem or _explain(item, f"{path}.{escape_untrusted(key[:60])}", depth - 1)
            if problem:
                return problem
        return None
    if isinstance(value, (list, tuple)):
        problems = (_explain(item, f"{path}[{index}]", depth - 1) for index, item in enumerate(value))
        return next((problem for problem in problems if problem), None)
    return f"{path} is of type {type(value).__name__}; expected null, bool, int, float, str, list or dict"


def _explain_text(text: str, path: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"{path} holds the lone surrogate {text[error.start]!r}; escape it where the text is taken in"
    return None
