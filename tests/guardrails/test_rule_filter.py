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
    "event": {"Computer": "ws-17.example.org", "User": "acme\\backup svc"},
}


def text_of(**changes: Any) -> str:
    return canonical({**GOOD, **changes}).decode()


def naming(**fields: Any) -> dict[str, Any]:
    """The good one's event with these fields changed; None takes one out."""
    given = {**GOOD["event"], **{name.replace("__", "."): value for name, value in fields.items()}}
    return {"event": {name: value for name, value in given.items() if value is not None}}


def test_a_filter_is_its_text_and_the_text_the_filter() -> None:
    made = parse_filter(text_of(**naming(SourceIp="2001:db8::1", Hashes=f"md5={'a' * 32},sha256={'b' * 64}")))
    assert made == RuleFilter(
        rule=RULE,
        log_source=(("category", "process_creation"), ("product", "windows")),
        event=(
            ("Computer", "ws-17.example.org"),
            ("Hashes", f"md5={'a' * 32},sha256={'b' * 64}"),
            ("SourceIp", "2001:db8::1"),
            ("User", "acme\\backup svc"),
        ),
    )
    assert made.host == "ws-17.example.org"
    assert parse_filter(made.text) == made


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rule": "any"}, "rule is 'any'"),
        ({"rule": RULE.upper()}, "lower case"),
        ({"rule": 5}, "is a text"),
        (naming(Computer="*"), "Computer is '*'"),
        (naming(Computer="ws-17*"), "without wildcards"),
        (naming(Computer="WS-17"), "upper case"),
        (naming(Computer=""), "Computer is ''"),
        (naming(Computer=["a"]), "is a text"),
        (naming(Hostname="ws-17"), "names one host"),
        (naming(Computer=None), "names one host"),
        (naming(User="*"), "User is '*'"),
        (naming(User="adm?n"), "without wildcards"),
        (naming(User="acme\\\\bob"), "without wildcards"),
        (naming(User="\\bob"), "without wildcards"),
        (naming(User="bob\\"), "without wildcards"),
        (naming(User="Bob"), "upper case"),
        (naming(User="bob\u202e"), "cannot be seen"),
        (naming(User="bo\x00b"), "cannot be seen"),
        (naming(User=" bob"), "without wildcards"),
        (naming(User=""), "User is ''"),
        (naming(SourceIp="10.0.0.0/8"), "10.0.0.0/8"),
        (naming(SourceIp="2001:DB8::1"), "upper case"),
        (naming(SourceIp="2001:db8:0::1"), "RFC 5952"),
        (naming(SourceIp="fe80::1%*"), "RFC 5952"),
        (naming(SourceIp="fe80::1%eth0"), "RFC 5952"),
        (naming(Hashes="sha256=abc"), "Hashes is"),
        (naming(User=None), "beside the host"),
        (naming(CommandLine="whoami"), "does not name 'CommandLine'"),
        (naming(TargetUserName="bob"), "does not name 'TargetUserName'"),
        ({"command_line": "whoami"}, "a filter has rule"),
        ({"log_source": {}}, "log_source names"),
        ({"log_source": "windows"}, "are objects"),
        ({"event": []}, "are objects"),
        ({"log_source": {"definition": "x"}}, "log_source has 'definition'"),
        ({"log_source": {"product": "win*"}}, "log_source.product"),
        ({"log_source": {"product": 1}}, "is a text"),
        (naming(User="a" * 1600), "at most 1,500"),
        (naming(User="a" * 401), "too long"),
    ],
)
def test_what_no_filter_may_hold_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_filter(text_of(**changes))


@pytest.mark.parametrize(
    ("event", "is_set_aside"),
    [
        ({"Computer": "WS-17.example.org", "User": "ACME\\Backup Svc", "CommandLine": "anything"}, True),
        ({"Computer": "ws-17.example.org", "User": "EVIL\\backup svc"}, False),
        ({"Computer": "ws-17.example.org", "User": "backup svc"}, False),
        ({"Computer": "dc-01", "Hostname": "ws-17.example.org", "User": "acme\\backup svc"}, False),
        ({"Computer": "ws-17.example.org"}, False),
        ({"Computer": "ws-17.example.org", "User": None}, False),
        # The Kelvin sign is no k, whatever Unicode makes of it in lower case.
        ({"Computer": "ws-17.example.org", "User": "acme\\bac\u212aup svc"}, False),
    ],
)
def test_it_sets_aside_exactly_what_it_names(event: dict[str, Any], *, is_set_aside: bool) -> None:
    assert parse_filter(text_of()).sets_aside(event) is is_set_aside


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
        made = parse_filter(text_of(**naming(User=user)))
    except ValueError:
        return
    assert dict(made.event)["User"] == user
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
