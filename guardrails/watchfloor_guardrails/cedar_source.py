"""Reading an operator's Cedar files: every mistake at once, each with file and the line where its policy begins.

Cedar's parser tells what is wrong but not where, so a file is first cut into its policies. The cut is checked, not
trusted: each piece must be exactly one policy to Cedar, and there must be as many as Cedar sees in the whole file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypedDict, cast

import cedarpy

from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.cedar_annotations import Demand, read_annotations
from watchfloor_guardrails.cedar_schema import SCHEMA

MAX_FILE: Final = 128 * 1024
"""Characters."""
MAX_POLICY: Final = 4_000
"""Characters of one policy. Cedar's parser recurses in native code, where too deep a nesting ends the process."""
MAX_NESTING: Final = 30
"""Brackets in brackets; Cedar's own limit for its JSON form is not far above."""

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n\r]*|[()\[\]{};"]', re.DOTALL)
_NUMBERED: Final = re.compile(r"^for policy `[^`]*`, ")
_PER_ACTION: Final = re.compile(r' in context for Action::"[^"]*"')


class PolicyContent(TypedDict):
    """One policy in Cedar's JSON form; the parts that are looked at."""

    effect: str
    annotations: dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Statement:
    """One policy's text, and where it begins."""

    text: str
    file: str
    line: int
    """1-based."""


@dataclass(frozen=True, slots=True)
class CedarRule:
    """One policy of the operator."""

    demand: Demand
    """Its name, and what it demands where it applies."""
    file: str
    line: int
    cedar: PolicyContent
    """The policy itself, in Cedar's JSON form."""

    @property
    def id(self) -> str:
        return self.demand.id

    @property
    def content(self) -> dict[str, JsonValue]:
        """What it says, whatever file, line and formatting."""
        # What Cedar's own writer made is plain JSON.
        return {"id": self.id, "cedar": json.dumps(self.cedar, sort_keys=True, separators=(",", ":"))}


def load_rules(files: Mapping[str, str]) -> tuple[CedarRule, ...]:
    """The policies in these files, by name. Raises `ConfigurationError` with every mistake in all of them."""
    problems: list[Problem] = []
    rules: dict[str, CedarRule] = {}
    for file in sorted(files):
        for rule in _rules(files[file], file, problems):
            earlier = rules.setdefault(rule.id, rule)
            if earlier is not rule:
                place = f"{earlier.file}:{earlier.line}"
                problems.append(Problem(f"policy id {rule.id!r} is taken by the policy at {place}", file, rule.line))
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda one: (one.file or "", one.line or 0)))
    return tuple(rules.values())


def _rules(text: str, file: str, problems: list[Problem]) -> Iterator[CedarRule]:
    try:
        statements = split(text, file)
    except ConfigurationError as error:
        problems.extend(error.problems)
        return
    before = len(problems)
    found = [rule for statement in statements for rule in _rule(statement, problems)]
    seen = _count(text) if len(problems) == before else len(found)
    if seen != len(found):
        problems.append(Problem(f"Cedar reads {seen} policies here, and we {len(found)}; simplify the file", file))
        return
    yield from found


def split(text: str, file: str) -> list[Statement]:
    """The policies of a file. Raises `ConfigurationError` where it is too large, or a policy too long or too deep."""
    if len(text) > MAX_FILE:
        raise ConfigurationError([Problem(f"the file has {len(text)} characters; at most {MAX_FILE} are read", file)])
    problems: list[Problem] = []
    statements: list[Statement] = []
    start, depth, deepest = 0, 0, 0
    for token in _TOKEN.finditer(text):
        match token[0]:
            case ";":
                statements += _statement(text, start, token.end(), deepest, file, problems)
                start, depth, deepest = token.end(), 0, 0
            case "(" | "[" | "{":
                depth += 1
                deepest = max(deepest, depth)
            case ")" | "]" | "}":
                depth -= 1
            case '"':
                line = text.count("\n", 0, token.start()) + 1
                raise ConfigurationError([*problems, Problem('a text begins with " and does not end', file, line)])
            case _:
                pass
    statements += _statement(text, start, len(text), deepest, file, problems)
    if problems:
        raise ConfigurationError(problems)
    return statements


def _statement(
    text: str, start: int, end: int, deepest: int, file: str, problems: list[Problem]
) -> Iterator[Statement]:
    """What stands between two semicolons, from its first token on; nothing where that is only comments."""
    body = re.compile(r"(?:\s|//[^\n\r]*)*").match(text, start, end)
    begin = start if body is None else body.end()
    if begin >= end:
        return
    line = text.count("\n", 0, begin) + 1
    if end - begin > MAX_POLICY:
        problems.append(Problem(f"the policy has {end - begin} characters; at most {MAX_POLICY} are read", file, line))
    elif deepest > MAX_NESTING:
        problems.append(Problem(f"brackets are nested {deepest} deep; at most {MAX_NESTING} are read", file, line))
    else:
        yield Statement(text[begin:end], file, line)


def _rule(statement: Statement, problems: list[Problem]) -> Iterator[CedarRule]:
    def wrong(message: str) -> None:
        problems.append(Problem(message, statement.file, statement.line))

    try:
        policies = _parsed(statement.text)
    except ValueError as error:
        wrong(f"not a Cedar policy: {error}")
        return
    if len(policies) != 1:
        wrong("a template; write the principal and the resource instead of ?principal and ?resource")
        return
    before = len(problems)
    policy = policies[0]
    if policy["effect"] != "forbid":
        wrong("an operator's policy can only forbid; what is allowed is for autonomy.yaml and the invariants to say")
    for message in _against_schema(statement.text):
        wrong(message)
    demand = read_annotations(policy.get("annotations", {}), wrong)
    if len(problems) == before:
        yield CedarRule(demand, statement.file, statement.line, policy)


def _against_schema(text: str) -> Iterator[str]:
    """What Cedar's validator finds; it says the same once for every action class, and we once."""
    errors = (_NUMBERED.sub("", found.error) for found in cedarpy.validate_policies(text, _schema()).errors)
    for message in dict.fromkeys(_PER_ACTION.sub("", error) for error in errors):
        is_optional = "optional attribute" in message
        yield f"{message}; ask for it first with `has` and `&&`" if is_optional else message


def _parsed(text: str) -> list[PolicyContent]:
    """The policies of a text, templates not counted."""
    # The cast: Cedar's documented JSON form of a policy set.
    found = cast(dict[str, dict[str, PolicyContent]], json.loads(cedarpy.policies_to_json_str(text)))
    return list(found["staticPolicies"].values())


def _count(text: str) -> int:
    try:
        return len(cedarpy.PolicySet.from_str(text))
    except ValueError:
        return -1


@lru_cache(maxsize=1)
def _schema() -> cedarpy.Schema:
    return cedarpy.Schema.from_str(SCHEMA)
