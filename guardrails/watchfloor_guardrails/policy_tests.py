"""Examples that an operator writes beside a policy: a request, and what the policy is to say about it.

They hold a policy to what was meant, before it is signed and before it is put in force. What they look at is what the
operator has written: Cedar policies, matrix and limits. The invariants come on top and need no examples.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, JsonValue, PlainValidator, ValidationError

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.autonomy import AutonomyMatrix, Task
from watchfloor_guardrails.catalogue import CATALOGUE, function_of
from watchfloor_guardrails.cedar import CedarEffect, CedarHit, CedarPolicies, CedarRequest
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.limits import ActionLimits, LimitTable
from watchfloor_guardrails.matrix_entries import Entry, SeverityName, describe, parse_level, quote
from watchfloor_guardrails.yaml_source import Document, Path, read_yaml

_SILENT: Final = "allow"
"""What the operator's policies say by saying nothing: they leave it to the level and the invariants."""
_EFFECTS: Final = (_SILENT, *CedarEffect)
_LIMITS: Final = tuple(field.name for field in fields(ActionLimits))


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """One example."""

    name: str
    file: str
    line: int
    request: _RequestEntry
    expect: _ExpectEntry


@dataclass(frozen=True, slots=True)
class PolicyTestResult:
    """What came of an example."""

    name: str
    file: str
    line: int
    failures: tuple[str, ...]
    """What the policy says otherwise than expected; empty where the example holds."""


def load_policy_tests(text: str, file: str) -> tuple[PolicyTest, ...]:
    """The examples in a file's text. Raises `ConfigurationError` with every mistake found."""
    document = read_yaml(text, file)
    problems = list(document.problems)
    tests = tuple(_tests(document, problems))
    first: dict[str, PolicyTest] = {}
    for test in tests:
        if first.setdefault(test.name, test) is not test:
            taken = f"test {test.name!r} is there already in line {first[test.name].line}; name each its own"
            problems.append(Problem(taken, file, test.line))
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
    return tests


def run_policy_test(
    test: PolicyTest, matrix: AutonomyMatrix, limits: LimitTable, cedar: CedarPolicies
) -> PolicyTestResult:
    """What the policy says about one example, against what is expected."""
    entry = test.request
    task = Task(function_of(entry.action_class), entry.action_class, entry.alert_family, entry.asset_tier, entry.tenant)
    level = matrix.row_for(task).level
    hits = cedar.evaluate(entry.to_request(level))
    found = limits.limits_for(entry.tenant, entry.action_class)
    touched = entry.blast_assets + entry.blast_users
    return PolicyTestResult(
        test.name,
        test.file,
        test.line,
        tuple(_failures(test.expect, level=level, hits=hits, limits=found, touched=touched)),
    )


def _failures(
    expect: _ExpectEntry, *, level: AutonomyLevel, hits: tuple[CedarHit, ...], limits: ActionLimits, touched: int
) -> Iterator[str]:
    applied = sorted(hit.rule for hit in hits)
    effect = _effect(hits)
    if expect.effect is not None and expect.effect != effect:
        because = "; ".join(f"{hit.rule}: {hit.reason}" for hit in hits) or "no policy applies"
        yield f"effect is {effect} ({because}), expected {expect.effect}"
    if expect.hits is not None and applied != sorted(expect.hits):
        yield f"policies that apply are {applied}, expected {sorted(expect.hits)}"
    if expect.level is not None and level is not expect.level:
        yield f"the configured level is L{level}, expected L{expect.level}"
    quorum = max([limits.quorum_for(touched), *(hit.quorum or 1 for hit in hits)])
    if expect.quorum is not None and quorum != expect.quorum:
        yield f"{quorum} people must agree, expected {expect.quorum}"
    for key, value in (expect.limits or {}).items():
        if limits.content[key] != value:
            yield f"{key} is {limits.content[key]!r}, expected {quote(value)}"


def _effect(hits: tuple[CedarHit, ...]) -> str:
    if any(hit.effect is CedarEffect.DENY for hit in hits):
        return CedarEffect.DENY
    return CedarEffect.ASK if hits else _SILENT


def _moment(value: object) -> int:
    """Microseconds since 1970 of a time with its offset."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f"{quote(value)} is not a time with its offset; write it as 2027-03-01T12:00:00Z")
    return int(moment.timestamp()) * 1_000_000


def _action_class(value: object) -> str:
    if isinstance(value, str) and value in CATALOGUE:
        return value
    raise ValueError(f"{quote(value)} is not one of {', '.join(CATALOGUE)}")


def _kind(value: object) -> str:
    if value in tuple(PrincipalKind):
        return str(value)
    raise ValueError(f"{quote(value)} is not one of {', '.join(PrincipalKind)}")


def _effect_name(value: object) -> str:
    if value in _EFFECTS:
        return str(value)
    raise ValueError(f"{quote(value)} is not one of {', '.join(_EFFECTS)}")


def _names(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    raise ValueError(f"{quote(value)} is not a list of names")


def _limit_values(value: object) -> dict[str, JsonValue]:
    if not isinstance(value, dict) or not value:
        raise ValueError(f"{quote(value)}: limits and their values are expected")
    unknown = [key for key in value if key not in _LIMITS]
    if unknown:
        raise ValueError(f"{quote(unknown[0])} is not one of {', '.join(_LIMITS)}")
    return dict(value)


class _RequestEntry(Entry):
    """What is not written is as harmless as it can be, so that an example shows what it is about."""

    action_class: Annotated[str, PlainValidator(_action_class)]
    target: str = Field(min_length=1, max_length=1000)
    groups: Annotated[tuple[str, ...], PlainValidator(_names)] = ()
    proposer: str = Field(default="response", min_length=1, max_length=128)
    proposer_kind: Annotated[str, PlainValidator(_kind)] = PrincipalKind.AGENT.value
    tenant: str = "default"
    tool: str = "tool"
    level: Annotated[AutonomyLevel, PlainValidator(parse_level)] | None = None
    """In force; else the one that the matrix configures."""
    asset_tier: int = Field(default=2, ge=0, le=3)
    in_inventory: bool = False
    blast_assets: int = Field(default=1, ge=0)
    blast_users: int = Field(default=0, ge=0)
    is_reversible: bool | None = None
    """Else what the action class says."""
    is_tainted: bool = False
    is_undo: bool = False
    lease_s: int | None = Field(default=None, ge=1)
    alert_family: str = "suricata"
    severity: SeverityName | None = None
    """Else medium."""
    at: Annotated[int, PlainValidator(_moment)] = 1_803_902_400_000_000
    """Else Monday 2027-03-01, 12:00 UTC."""

    def to_request(self, configured: AutonomyLevel) -> CedarRequest:
        known = CATALOGUE[self.action_class]
        return CedarRequest(
            proposer=self.proposer,
            proposer_kind=self.proposer_kind,
            action_class=self.action_class,
            target_kind=known.target.value,
            target_value=self.target,
            groups=self.groups,
            tenant=self.tenant,
            function=function_of(self.action_class).value,
            tool=self.tool,
            level=int(configured if self.level is None else self.level),
            asset_tier=self.asset_tier,
            in_inventory=self.in_inventory,
            blast_assets=self.blast_assets,
            blast_users=self.blast_users,
            is_reversible=known.is_reversible if self.is_reversible is None else self.is_reversible,
            is_tainted=self.is_tainted,
            is_undo=self.is_undo,
            lease_s=self.lease_s,
            alert_family=self.alert_family,
            severity=3 if self.severity is None else int(self.severity),
            now_us=self.at,
        )


class _ExpectEntry(Entry):
    effect: Annotated[str, PlainValidator(_effect_name)] | None = None
    hits: Annotated[tuple[str, ...], PlainValidator(_names)] | None = None
    level: Annotated[AutonomyLevel, PlainValidator(parse_level)] | None = None
    quorum: int | None = Field(default=None, ge=1)
    limits: Annotated[dict[str, JsonValue], PlainValidator(_limit_values)] | None = None


class _TestEntry(Entry):
    name: str = Field(min_length=1, max_length=200)
    request: _RequestEntry
    expect: _ExpectEntry


def _tests(document: Document, problems: list[Problem]) -> Iterator[PolicyTest]:
    match document.content:
        case {"tests": list(items), **others} if not others:
            pass
        case _:
            problems.append(document.problem((), "expected the one key 'tests' with a list of examples"))
            return
    for index, item in enumerate(items):
        try:
            entry = _TestEntry.model_validate(item)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                path: Path = ("tests", index, *detail["loc"])
                if detail["input"] is not None or not isinstance(path[-1], str):
                    problems.append(document.problem(path, describe(detail, _TestEntry)))
            continue
        if not entry.expect.model_fields_set:
            problems.append(document.problem(("tests", index, "expect"), "expects nothing; name effect, hits or level"))
        yield PolicyTest(entry.name, document.file, document.lines[("tests", index)], entry.request, entry.expect)
