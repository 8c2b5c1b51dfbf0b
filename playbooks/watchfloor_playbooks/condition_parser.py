"""Conditions of if and while steps: comparison expressions of STIX 2.1 patterning over CACAO variables.

::

    condition  = "[" or "]" | or
    or         = and *("OR" and)
    and        = term *("AND" term)
    term       = "(" or ")" | ["NOT"] "EXISTS" variable | variable ["NOT"] operator
    operator   = ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") literal | "IN" "(" literal *("," literal) ")"
               | ("LIKE" | "MATCHES" | "ISSUBSET" | "ISSUPERSET") text
    variable   = "__name__:value"
    literal    = text | number | "true" | "false" | "h'" hex "'"

What patterning has beyond that (several observations, qualifiers, time stamps) says nothing about variables and is
refused by name. Parsing takes time linear in the text, and its depth is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import re2

from watchfloor_core.untrusted import quote_untrusted
from watchfloor_playbooks.condition import All, AnyOf, Comparison, Condition, ConditionError, Literal, Operator

MAX_LENGTH: Final = 4_096
"""Characters of a condition."""
MAX_DEPTH: Final = 16
"""Parentheses inside one another."""
MAX_SET: Final = 500
"""Entries of an ``IN`` list."""


_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<variable>__[a-zA-Z](?:[a-zA-Z0-9_-]{0,199}?)__:value)(?![a-zA-Z0-9_.:\[-])
    | (?P<hex>h'(?:[0-9a-fA-F]{2})*')
    | (?P<text>'(?:[^'\\]|\\['\\])*')
    | (?P<number>[-+]?[0-9]+(?:\.[0-9]+)?)(?![a-zA-Z0-9_.])
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign><=|>=|<>|!=|==|=|<|>|\(|\)|\[|\]|,)
    )""",
    re.VERBOSE,
)
_END: Final = "end"
_SIGNS: Final = {"==": "=", "<>": "!="}
_BEYOND: Final = frozenset({"FOLLOWEDBY", "WITHIN", "REPEATS", "START", "STOP", "t", "b"})
_ORDERED: Final = frozenset({Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST})


def parse_condition(text: str) -> Condition:
    """Raises `ConditionError` with the place where it is none."""
    if len(text) > MAX_LENGTH:
        raise ConditionError(f"the condition has {len(text):,} characters; at most {MAX_LENGTH:,} are read")
    return _Parser(list(_tokens(text))).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            at += len(text[at:]) - len(text[at:].lstrip())
            raise ConditionError(f"{quote_untrusted(text[at : at + 20])} begins nothing that a condition has", at)
        kind = found.lastgroup
        yield _Token(kind, found.group(kind), found.start(kind))
        at = found.end()
    yield _Token(_END, "", len(text))


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def whole(self) -> Condition:
        is_bracketed = self._takes("[")
        condition = self._or(MAX_DEPTH)
        if is_bracketed and not self._takes("]"):
            self._fail("']' is expected")
        if self._next.kind != _END:
            self._fail("AND, OR or the end is expected")
        return condition

    def _or(self, depth: int) -> Condition:
        parts = [self._and(depth)]
        while self._takes("OR"):
            parts.append(self._and(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _and(self, depth: int) -> Condition:
        parts = [self._term(depth)]
        while self._takes("AND"):
            parts.append(self._term(depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _term(self, depth: int) -> Condition:
        if self._takes("("):
            if depth == 0:
                self._fail(f"parentheses are nested deeper than {MAX_DEPTH}")
            inner = self._or(depth - 1)
            if not self._takes(")"):
                self._fail("')' is expected")
            return inner
        is_negated = self._takes("NOT")
        if self._takes("EXISTS"):
            return Comparison(self._variable(), Operator.EXISTS, (), is_negated)
        if is_negated:
            self._fail("NOT stands before an operator (`__x__:value NOT = 1`) or before EXISTS")
        name = self._variable()
        return self._comparison(name, self._takes("NOT"))

    def _comparison(self, name: str, is_negated: bool) -> Comparison:
        token = self._next
        sign = _SIGNS.get(token.text, token.text)
        if token.kind not in ("sign", "word") or sign not in set(Operator) - {Operator.EXISTS}:
            self._fail("an operator is expected: = != < <= > >= IN LIKE MATCHES ISSUBSET ISSUPERSET")
        self._at += 1
        operator = Operator(sign)
        match operator:
            case Operator.IN:
                return Comparison(name, operator, self._set(), is_negated)
            case Operator.LIKE | Operator.MATCHES:
                at, text = self._next.at, self._text()
                return Comparison(name, operator, (text,), is_negated, _compiled(operator, text, at))
            case Operator.SUBSET | Operator.SUPERSET:
                return Comparison(name, operator, (self._text(),), is_negated)
            case _:
                at, value = self._next.at, self._literal()
                if isinstance(value, bool) and operator in _ORDERED:
                    raise ConditionError(f"{operator} orders numbers and texts, not true and false", at)
                return Comparison(name, operator, (value,), is_negated)

    def _set(self) -> tuple[Literal, ...]:
        if not self._takes("("):
            self._fail("'(' is expected after IN")
        values = [self._literal()]
        while self._takes(","):
            values.append(self._literal())
            if len(values) > MAX_SET:
                self._fail(f"IN has more than {MAX_SET} entries")
        if not self._takes(")"):
            self._fail("',' or ')' is expected")
        return tuple(values)

    def _variable(self) -> str:
        if self._next.kind != "variable":
            self._fail("a variable is expected, as `__name__:value`")
        self._at += 1
        return self._tokens[self._at - 1].text.removesuffix(":value")

    def _text(self) -> str:
        if self._next.kind != "text":
            self._fail("a text in single quotes is expected")
        value = self._literal()
        return str(value)

    def _literal(self) -> Literal:
        token = self._next
        self._at += 1
        match token.kind:
            case "text":
                return re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
            case "hex":
                return token.text[2:-1].lower()
            case "number" if len(token.text) <= 40:
                return float(token.text) if "." in token.text else int(token.text)
            case "word" if token.text in ("true", "false"):
                return token.text == "true"
            case _:
                self._at -= 1
        if token.kind == "variable":
            self._fail("a variable is compared with a value, not with another variable")
        return self._fail("a value is expected: a text in single quotes, a number, true or false")

    def _takes(self, text: str) -> bool:
        if self._next.kind in ("sign", "word") and self._next.text == text:
            self._at += 1
            return True
        return False

    def _fail(self, message: str) -> NoReturn:
        token = self._next
        if token.kind == "word" and token.text in _BEYOND:
            message = f"{token.text} is of STIX patterning, but says nothing about variables"
        found = "the end" if token.kind == _END else quote_untrusted(token.text, 40)
        raise ConditionError(f"{message}; found {found}", token.at)


def _compiled(operator: Operator, text: str, at: int) -> Any:  # Any: the package has no types
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    if operator is Operator.LIKE:
        text = r"(?s)\A" + "".join({"%": ".*", "_": "."}.get(one) or re2.escape(one) for one in text) + r"\z"
    try:
        return re2.compile(text, options)
    except re2.error as error:
        said = quote_untrusted(str(error), 80)
        raise ConditionError(f"{operator} takes an RE2 expression, and this is none: {said}", at) from error
