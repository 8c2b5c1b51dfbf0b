"""What may be set aside: narrow by form, one text for each filter, and nothing of an attacker's choice in it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.canonical import canonical
from watchfloor_core.incident import Function
from watchfloor_guardrails.catalogue import CATALOGUE, function_of
from watchfloor_guardrails.rule_filter import RuleFilter, parse_filter

RULE = "5c6a5a0c-0000-4000-8000-000000000001"
GOOD: dict[str, Any] = {
    "rule": RULE,
    "log_source": {"category": "process_creation", "product": "windows"},
    "host": "ws-17.example.org",
    "user": "acme\\backup svc",
}


def text_of(**changes: Any) -> str:
    given = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return canonical(given).decode()


def test_a_filter_is_its_text_and_the_text_the_filter() -> None:
    made = parse_filter(text_of(address="2001:db8::1", file_hash="a" * 64))
    assert made == RuleFilter(
        rule=RULE,
        log_source=(("category", "process_creation"), ("product", "windows")),
        host="ws-17.example.org",
        user="acme\\backup svc",
        address="2001:db8::1",
        file_hash="a" * 64,
    )
    assert parse_filter(made.text) == made


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rule": "any"}, "rule is 'any'"),
        ({"rule": RULE.upper()}, "lower case"),
        ({"rule": 5}, "is a text"),
        ({"host": "*"}, "host is '*'"),
        ({"host": "ws-17*"}, "without wildcards"),
        ({"host": "WS-17"}, "lower case"),
        ({"host": ""}, "host is ''"),
        ({"host": ["a"]}, "is a text"),
        ({"user": "*"}, "user is '*'"),
        ({"user": "adm?n"}, "without wildcards"),
        ({"user": "acme\\\\bob"}, "without wildcards"),
        ({"user": "\\bob"}, "without wildcards"),
        ({"user": "bob\\"}, "without wildcards"),
        ({"user": "Bob"}, "lower case"),
        ({"user": "bob\u202e"}, "can be seen"),
        ({"user": "bo\x00b"}, "can be seen"),
        ({"user": " bob"}, "without wildcards"),
        ({"user": ""}, "user is ''"),
        ({"address": "10.0.0.0/8"}, "10.0.0.0/8"),
        ({"address": "2001:DB8::1"}, "RFC 5952"),
        ({"file_hash": "a" * 63}, "file_hash"),
        ({"user": None}, "at least one of address, file_hash, user beside the host"),
        ({"command_line": "whoami"}, "a filter has rule"),
        ({"log_source": {}}, "log_source names"),
        ({"log_source": "windows"}, "is a text"),
        ({"log_source": {"definition": "x"}}, "log_source has 'definition'"),
        ({"log_source": {"product": "win*"}}, "log_source.product"),
        ({"log_source": {"product": 1}}, "is a text"),
        ({"host": None}, "a filter has rule"),
        ({"user": "a" * 128, "host": "h" * 253, "address": "x" * 900}, "at most 1,000"),
    ],
)
def test_what_no_filter_may_hold_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_filter(text_of(**changes))


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{", '"x"', "[" * 900, json.dumps(GOOD), text_of() + " ", " " + text_of(), '{"rule":"\ud800"}'],
)
def test_only_the_canonical_text_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="filter"):
        parse_filter(text)


@given(st.text(max_size=40))
def test_whatever_is_taken_for_an_account_says_just_what_it_says(user: str) -> None:
    try:
        made = parse_filter(text_of(user=user))
    except ValueError:
        return
    assert made.user == user
    assert not set("*?\x00\n") & set(user)
    assert not user.startswith("\\")


def test_what_is_tuned_takes_the_autonomy_of_detection() -> None:
    assert {name for name, one in CATALOGUE.items() if one.function is Function.THREAT_DETECTION} == {
        "create filter",
        "delete filter",
    }
    assert function_of("create filter") is Function.THREAT_DETECTION
    assert function_of("deny ip") is Function.INCIDENT_RESPONSE
    assert function_of("no such class") is Function.INCIDENT_RESPONSE
