"""Conditions: what they say of variables, where they are wrong, and that no text makes them do anything else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stix2patterns.validator import run_validator

from watchfloor_playbooks.condition import ConditionError, variables_of
from watchfloor_playbooks.condition_parser import MAX_DEPTH, MAX_LENGTH, parse_condition
from watchfloor_playbooks.evaluation import evaluate
from watchfloor_playbooks.part import Variable

SCOPE: Mapping[str, Variable] = {
    "__ip__": Variable(type="ipv4-addr", value="192.0.2.7"),
    "__net__": Variable(type="ipv4-addr", value="192.0.2.0/24"),
    "__ip6__": Variable(type="ipv6-addr", value="2001:DB8::1"),
    "__count__": Variable(type="integer", value="10"),
    "__score__": Variable(type="float", value="0.5"),
    "__yes__": Variable(type="bool", value="true"),
    "__name__": Variable(type="string", value="it's a\\b (x)\nline"),
    "__hash__": Variable(type="md5-hash", value="AB" * 16),
    "__custom__": Variable(type="ours", value="anything"),
    "__object__": Variable(type="dictionary", value={"a": 1}),
    "__null__": Variable(type="string", value=None),
    "__bad__": Variable(type="integer", value="ten"),
}


ANSWERED = [
    ("__count__:value = 10", True),
    ("__count__:value == 10.0", True),
    ("__count__:value != 10", False),
    ("__count__:value <> 11", True),
    ("__count__:value NOT = 10", False),
    ("__count__:value < 9", False),
    ("__count__:value <= 10", True),
    ("__count__:value > 9.5", True),
    ("__count__:value >= 11", False),
    ("__count__:value > -1", True),
    ("__score__:value = 0.5", True),
    ("__yes__:value = true", True),
    ("__yes__:value != true", False),
    ("__name__:value = 'it\\'s a\\\\b (x)\nline'", True),
    ("__name__:value LIKE 'it%'", True),
    ("__name__:value LIKE 'it_s%line'", True),
    ("__name__:value LIKE '%(x)'", False),
    ("__name__:value MATCHES '^it.*\\\\(x\\\\)'", True),
    ("__name__:value NOT MATCHES 'nowhere'", True),
    ("__name__:value < 'j'", True),
    ("__custom__:value = 'anything'", True),
    ("__hash__:value = '" + "ab" * 16 + "'", True),
    ("__ip__:value = '192.0.2.7'", True),
    ("__ip__:value = '192.0.2.7/32'", True),
    ("__ip__:value IN ('192.0.2.6', '192.0.2.7')", True),
    ("__ip__:value NOT IN ('192.0.2.7')", False),
    ("__ip__:value ISSUBSET '192.0.2.0/24'", True),
    ("__ip__:value NOT ISSUBSET '198.51.100.0/24'", True),
    ("__net__:value ISSUPERSET '192.0.2.7/32'", True),
    ("__net__:value ISSUPERSET '192.0.0.0/16'", False),
    ("__ip6__:value = '2001:db8::1'", True),
    ("__ip6__:value ISSUBSET '2001:db8::/32'", True),
    ("EXISTS __ip__:value", True),
    ("EXISTS __null__:value", False),
    ("NOT EXISTS __null__:value", True),
    ("__count__:value = 1 OR __count__:value = 2 AND __yes__:value = true", False),
    ("__count__:value = 10 OR __count__:value = 2 AND __yes__:value = false", True),
    ("(__count__:value = 10 OR __count__:value = 2) AND __yes__:value = false", False),
    ("[__count__:value = 10]", True),
]


@pytest.mark.parametrize(("text", "holds"), ANSWERED)
def test_a_condition_says(text: str, holds: bool) -> None:
    assert evaluate(parse_condition(text), SCOPE) is holds


@pytest.mark.parametrize("text", [text for text, _ in ANSWERED])
def test_a_condition_is_one_of_stix_patterning_as_others_read_it(text: str) -> None:
    assert run_validator(text if text.startswith("[") else f"[{text}]") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("__other__:value = 1", "__other__ is not a variable here"),
        ("__null__:value = 'x'", "__null__ has no value"),
        ("__null__:value NOT IN ('x')", "__null__ has no value"),
        ("__bad__:value > 1", 'which is no "integer"'),
        ("__object__:value = '{}'", "a dictionary is not compared"),
        ("__count__:value = '10'", '"10" is no "integer"'),
        ("__count__:value = true", 'true is no "integer"'),
        ("__name__:value = 10", '10 is no "string"'),
        ("__ip__:value = 'host'", '"host" is no "ipv4-addr"'),
        ("__ip__:value ISSUBSET '2001:db8::/32'", 'is no "ipv4-addr"'),
        ("__ip__:value ISSUBSET '192.0.2.7/24'", 'is no "ipv4-addr"'),
        ("__ip__:value < '192.0.2.8'", "< is for numbers and texts"),
        ("__name__:value ISSUBSET '192.0.2.0/24'", "ISSUBSET is for ipv4-addr"),
        ("__count__:value LIKE '1%'", "LIKE is for texts"),
        ("__yes__:value = true OR __other__:value = 1", "__other__ is not a variable here"),
    ],
)
def test_what_cannot_be_answered_is_neither_true_nor_false(text: str, said: str) -> None:
    condition = parse_condition(text)

    with pytest.raises(ConditionError, match=r".") as caught:
        evaluate(condition, SCOPE)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("", 0, "a variable is expected"),
        ("__a__ = 1", 0, "a variable is expected"),
        ("a:value = 1", 1, "begins nothing"),
        ("__a__:value", 11, "an operator is expected"),
        ("__a__:value =", 13, "a value is expected"),
        ("__a__:value = __b__:value", 14, "not with another variable"),
        ("__a__:value = 1 AND", 19, "a variable is expected"),
        ("__a__:value = 1 XOR __a__:value = 2", 16, "AND, OR or the end"),
        ("__a__:value = 1 and __a__:value = 2", 16, "AND, OR or the end"),
        ("__a__:value = 'x", 14, "begins nothing"),
        ("(__a__:value = 1", 16, "')' is expected"),
        ("[__a__:value = 1", 16, "']' is expected"),
        ("__a__:value IN 1", 15, "'(' is expected"),
        ("__a__:value IN ()", 16, "a value is expected"),
        ("__a__:value LIKE 1", 17, "a text in single quotes"),
        ("__a__:value MATCHES '(?=a)'", 20, "an RE2 expression"),
        ("__a__:value > true", 14, "orders numbers"),
        ("NOT __a__:value = 1", 4, "NOT stands before an operator"),
        ("[__a__:value = 1] FOLLOWEDBY [__a__:value = 2]", 18, "FOLLOWEDBY is of STIX patterning"),
        ("__a__:value = t'2026-11-28T00:00:00Z'", 14, "t is of STIX patterning"),
        ("__a__:value[0] = 1", 5, "begins nothing"),
        ("__a__:value = 1; DROP", 15, "begins nothing"),
        ("(" * (MAX_DEPTH + 1) + "__a__:value = 1" + ")" * (MAX_DEPTH + 1), MAX_DEPTH + 1, "nested deeper"),
        ("__a__:value IN (" + "1," * 501 + "1)", 1017, "more than 500 entries"),
    ],
)
def test_what_is_no_condition_is_refused_at_its_place(text: str, position: int, said: str) -> None:
    with pytest.raises(ConditionError) as caught:
        parse_condition(text)

    assert said in str(caught.value)
    assert caught.value.position == position


def test_a_condition_has_a_longest() -> None:
    with pytest.raises(ConditionError, match="at most 4,096"):
        parse_condition("__a__:value = 1" + " " * MAX_LENGTH)


def test_variables_are_named_in_their_order() -> None:
    condition = parse_condition("__b__:value = 1 OR (__a__:value = 2 AND EXISTS __b__:value)")

    assert list(variables_of(condition)) == ["__b__", "__a__", "__b__"]


WORDS = st.sampled_from(
    ["__ip__:value", "__count__:value", "__name__:value", "__other__:value", "=", "!=", "<", "IN", "LIKE", "MATCHES",
     "ISSUBSET", "NOT", "EXISTS", "AND", "OR", "(", ")", "[", "]", ",", "'x'", "'192.0.2.0/24'", "1", "1.5", "true",
     "h'ab'", "t'x'", "'(a+)+$'", " "]
)  # fmt: skip


@given(st.text(max_size=200) | st.lists(WORDS, max_size=14).map(" ".join))
def test_any_text_is_answered_or_refused_and_nothing_else(text: str) -> None:
    try:
        answer = evaluate(parse_condition(text), SCOPE)
    except ConditionError:
        return
    assert answer in (True, False)


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_text_is_equal_to_itself_alone_whatever_is_in_it(value: str, other: str) -> None:
    escaped = other.replace("\\", "\\\\").replace("'", "\\'")
    condition = parse_condition(f"__x__:value = '{escaped}'")

    assert evaluate(condition, {"__x__": Variable(type="string", value=value)}) is (value == other)
