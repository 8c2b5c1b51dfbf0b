"""One JSON object, decoded so that no two readers can understand it differently.

Refused are duplicate names (parsers disagree on which one counts), NaN and infinities, integers beyond 64 bits (they
would lose digits) and deep nesting. Kept are texts that no database or terminal can hold, with what they cannot hold
replaced by U+FFFD: an attacker who names a file with an unpaired surrogate or a NUL must not thereby hide the alert.
"""

from __future__ import annotations

import json
import re
from typing import Final

import orjson

from watchfloor_connectors.described import describe
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import quote_untrusted

MAX_DEPTH: Final = 64
_INTEGERS: Final = range(-(2**63), 2**64)
_SPACE_AFTER_QUOTE: Final = (b'" ', b'"\n', b'"\r', b'"\t')
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT: Final = "\ufffd"


def decode_object(raw: bytes) -> dict[str, Json]:
    """The JSON object in ``raw``; RecordError says what is wrong and where."""
    try:
        value: Json = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        value = _salvage(raw, error)
    if type(value) is not dict:
        raise RecordError(f"the record is {describe(value)}; a JSON object was expected")
    names = _count_names(value)
    # Each name ends in `":`. So many of those as names came out means that no name was dropped as a duplicate;
    # anything else (also `":` inside a text, or white space before a colon) is looked at exactly.
    if names != raw.count(b'":') or any(spaced in raw for spaced in _SPACE_AFTER_QUOTE):
        _refuse_ambiguity(raw)
    if b"\\u0000" in raw:
        return {_storable(name): _storable_value(child) for name, child in value.items()}
    return value


def _count_names(value: Json) -> int:
    """How many names the objects in ``value`` have; -1 where a number may have lost digits."""
    names = 0
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Json] = []
        for item in level:
            if type(item) is dict:
                names += len(item)
                children: list[Json] | tuple[Json, ...] = list(item.values())
            elif type(item) is list:
                children = item
            else:
                continue
            for child in children:
                kind = type(child)
                if kind is dict or kind is list:
                    deeper.append(child)
                elif kind is float and not -(2.0**63) < child < 2.0**64:  # type: ignore[operator]  # a float here
                    # orjson reads an integer beyond 64 bits as a float.
                    return -1
        if not deeper:
            return names
        level = deeper
    raise RecordError(f"the JSON is nested more than {MAX_DEPTH} deep")


def _refuse_ambiguity(raw: bytes) -> None:
    """Reads the text again with the slower parser of the standard library, which shows every name and digit."""

    def unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise RecordError(
                f"the name {quote_untrusted(twice)} stands twice in one object: which value counts is ambiguous"
            )
        return found

    # Depth is bounded before this is called (orjson: 1,024).
    try:
        json.loads(raw.decode("utf-8", "surrogatepass"), object_pairs_hook=unique, parse_int=_integer)
    except RecursionError:
        raise RecordError(f"the JSON is nested more than {MAX_DEPTH} deep") from None


def _integer(digits: str) -> int:
    # The length first: Python refuses to convert thousands of digits.
    if len(digits) > 20 or int(digits) not in _INTEGERS:
        raise RecordError(
            f"the number {quote_untrusted(digits, 40)} does not fit 64 bits and would lose digits; send it as text"
        )
    return int(digits)


def _salvage(raw: bytes, error: orjson.JSONDecodeError) -> Json:
    """What orjson refused though it is only an unpaired surrogate; else the error in words."""
    if (nul := raw.find(b"\0")) >= 0:
        raise RecordError(f"NUL byte at offset {nul}; UTF-8 text was expected (UTF-16 needs a byte order mark)")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise RecordError(not_utf8(raw, problem.start)) from None
    if "surrogate" in error.msg:
        try:
            return _storable_value(json.loads(text, parse_constant=_not_a_number))
        except RecursionError:
            raise RecordError(f"the JSON is nested more than {MAX_DEPTH} deep") from None
        except json.JSONDecodeError:
            pass
    if "depth" in error.msg:
        raise RecordError(f"the JSON is nested more than {MAX_DEPTH} deep")
    near = quote_untrusted(text[max(0, error.pos - 20) : error.pos + 20], 40)
    raise RecordError(f"not valid JSON: {error.msg.split(': line')[0]} at character {error.pos + 1}, near {near}")


def not_utf8(raw: bytes, offset: int) -> str:
    """Why bytes that are not UTF-8 are refused."""
    return (
        f"byte 0x{raw[offset]:02x} at offset {offset} is not valid UTF-8; if the input is Latin-1 or Windows-1252, "
        "convert it to UTF-8"
    )


def _not_a_number(name: str) -> Json:
    raise RecordError(f"{name} is not a JSON number")


def _storable_value(value: Json) -> Json:
    if isinstance(value, str):
        return _storable(value)
    if isinstance(value, list):
        return [_storable_value(child) for child in value]
    if isinstance(value, dict):
        return {_storable(name): _storable_value(child) for name, child in value.items()}
    return value


def _storable(text: str) -> str:
    """The text without NUL (PostgreSQL holds none) and without unpaired surrogates (UTF-8 has none)."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)
