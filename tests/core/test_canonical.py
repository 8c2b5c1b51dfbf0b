"""Canonical JSON: the RFC's own vectors, and equality with the reference package."""

from __future__ import annotations

import json
import math
import struct
from enum import IntEnum, StrEnum

import orjson
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from watchfloor_core.canonical import JsonValue, canonical, parse_canonical

_INTEGERS = st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_DECIMALS = st.decimals(min_value=-(10**20), max_value=10**20, places=3, allow_nan=False).map(float)
_SCALARS = st.none() | st.booleans() | _INTEGERS | _FLOATS | _DECIMALS | st.text()
_VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


def test_the_example_of_rfc_8785_section_3_2_4_gives_its_bytes() -> None:
    given_text = r"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    expected = bytes.fromhex(
        "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b333333333333333333"
        "2e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c753030"
        "30665c6e4127425c225c5c5c5c5c222f227d"
    )
    assert canonical(json.loads(given_text)) == expected


def test_the_keys_of_rfc_8785_section_3_2_3_sort_by_utf_16() -> None:
    given_text = r"""{"\u20ac": "Euro Sign", "\r": "Carriage Return", "\ufb33": "Hebrew Letter Dalet With Dagesh",
      "1": "One", "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
      "\u00f6": "Latin Small Letter O With Diaeresis"}"""
    assert list(json.loads(canonical(json.loads(given_text))).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_the_numbers_of_rfc_8785_appendix_b(bits: str, text: str) -> None:
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(number).decode() == text
    assert parse_canonical(text.encode()) == number


@given(_VALUES)
@example({"a": [1.0, 1e15, 1e16, -0.0, 1e-5, 9.999e-6, 1e-7]})
@example({"\ue000": 1, "\U00010000": 2})
def test_the_bytes_are_those_of_the_reference_package(value: JsonValue) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(_FLOATS | _DECIMALS)
def test_every_float_is_written_as_the_reference_package_does(value: float) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(_VALUES)
def test_canonical_bytes_parse_to_their_value(value: JsonValue) -> None:
    data = canonical(value)
    assert canonical(parse_canonical(data)) == data


@given(_VALUES)
def test_json_of_another_writer_is_canonical_only_where_the_reference_package_writes_the_same(value: JsonValue) -> None:
    """Parsing has a shortcut of its own: it must not let another number, order or escape through."""
    for data in (orjson.dumps(value), orjson.dumps(value, option=orjson.OPT_SORT_KEYS), json.dumps(value).encode()):
        if data == rfc8785.dumps(value):
            parse_canonical(data)
        else:
            with pytest.raises(ValueError, match="not in canonical form"):
                parse_canonical(data)


class _Colour(StrEnum):
    RED = "red"


class _Level(IntEnum):
    HIGH = 4


def test_members_of_string_and_integer_enumerations_are_their_values() -> None:
    assert canonical({_Colour.RED: [_Colour.RED, _Level.HIGH, (1, None)]}) == b'{"red":["red",4,[1,null]]}'


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": [{"b": math.nan}]}, r"\$\.a\[0\]\.b is nan, which JSON does not have"),
        ([-math.inf], r"\$\[0\] is -inf"),
        ({"at": 2**53}, r"\$\.at is 9007199254740992, beyond the exact integers .* give it as a string"),
        ({"at": 2**70}, "beyond the exact integers"),
        ({"a": "x\ud800"}, r"\$\.a holds the lone surrogate '\\ud800'"),
        ({"x\ud800": 1}, "the key .* holds the lone surrogate"),
        ({"ö": math.nan}, r"\$\.ö is nan"),
        ({1: "a"}, "has the key 1 of type int"),
        ({"a": b"x"}, r"\$\.a is of type bytes; expected null, bool"),
        ({"a": {1, 2}}, "is of type set"),
        (object(), r"\$ is of type object"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_place(value: JsonValue, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        canonical(value)


def test_nesting_is_bounded_so_that_a_cycle_is_refused() -> None:
    cycle: list[JsonValue] = []
    cycle.append(cycle)
    with pytest.raises(ValueError, match="nested deeper than 64"):
        canonical(cycle)


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a": 1}',
        b'{"a":1} ',
        b'{"a":1.0}',
        b'{"a":-0}',
        b'{"a":1e3}',
        b'{"a":9007199254740993}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b"[" * 1000 + b"]" * 1000,
        b"[" * 100_000 + b"]" * 100_000,
        b"{",
        b"",
    ],
)
def test_bytes_that_no_canonicaliser_writes_are_not_canonical(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_canonical(data)
