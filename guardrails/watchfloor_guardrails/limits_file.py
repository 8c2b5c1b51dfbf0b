"""Reading the limits on actions from their file: every mistake at once, each with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, JsonValue, PlainValidator, ValidationError

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.limits import (
    APPROVER_ROLES,
    DEFAULT_LIMITS,
    MAX_GRANT_TTL_S,
    ActionLimits,
    LimitRow,
    LimitTable,
    QuorumStep,
)
from watchfloor_guardrails.matrix import Selector
from watchfloor_guardrails.matrix_entries import Entry, Tenants, describe, quote, unknown_key
from watchfloor_guardrails.yaml_source import Document, Path, read_yaml

_SECTIONS: Final = ("defaults", "rows")
_KEYS: Final = frozenset(field.name for field in fields(ActionLimits))
_DAY_S: Final = 86_400
_MILLION: Final = 1_000_000
_MAX_PEOPLE: Final = 9


def load_limits(text: str, file: str) -> LimitTable:
    """The limits in a file's text; ``file`` names it in messages.

    Raises `ConfigurationError` with every mistake found, in the order of lines.
    """
    document = read_yaml(text, file)
    problems = list(document.problems)
    sections = _sections(document, problems)
    defaults = _defaults(sections.get("defaults"), document, problems)
    rows = dict(_rows(sections.get("rows"), defaults, document, problems))
    problems += _repeated(rows, document)
    if problems:
        raise ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))
    return LimitTable(DEFAULT_LIMITS.defaults if defaults is None else defaults, tuple(rows.values()))


def _number(value: object, least: int, most: int) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise ValueError(f"{quote(value)} is not a whole number from {least:,} to {most:,}")


def _steps(value: object) -> tuple[QuorumStep, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MAX_PEOPLE:
        raise ValueError(f"{quote(value)} is not a list of steps; write - {{up_to: 5, people: 1}} and - {{people: 2}}")
    return tuple(_step(one) for one in value)


def _step(value: object) -> QuorumStep:
    match value:
        case {"people": people, **others} if not others:
            return QuorumStep(_number(people, 1, _MAX_PEOPLE))
        case {"people": people, "up_to": up_to, **others} if not others:
            return QuorumStep(_number(people, 1, _MAX_PEOPLE), _number(up_to, 1, _MILLION))
        case _:
            raise ValueError(f"{quote(value)} is not a step; write {{up_to: 5, people: 1}}, the last one {{people: 2}}")


def _times(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{quote(value)} is not a list of seconds; write [3600]")
    return tuple(_number(one, 30, 7 * _DAY_S) for one in value)


def _roles(value: object) -> tuple[str, ...]:
    if isinstance(value, list) and value and all(role in APPROVER_ROLES for role in value):
        if len(set(value)) == len(value):
            return tuple(value)
        raise ValueError(f"{quote(value)}: a role is named twice")
    raise ValueError(f"{quote(value)} is not a list of {', '.join(APPROVER_ROLES)}, who decide on actions")


def _veto(value: object) -> int | None:
    return _number(value, 0, _DAY_S) or None


def _action_class(value: object) -> str:
    if isinstance(value, str) and value in CATALOGUE:
        return value
    raise ValueError(f"{quote(value)} is not one of {', '.join(CATALOGUE)}")


class _LimitsEntry(Entry):
    actions_per_hour: int = Field(default=0, ge=0, le=100_000)
    autonomous_actions_per_hour: int = Field(default=0, ge=0, le=100_000)
    max_contained_share_ppm: int = Field(default=0, ge=0, le=_MILLION)
    max_contained_assets: int = Field(default=0, ge=0, le=_MILLION)
    max_blast_assets_l3: int = Field(default=0, ge=0, le=1_000)
    quorum_by_blast: Annotated[tuple[QuorumStep, ...], PlainValidator(_steps)] = ()
    approval_deadline_s: int = Field(default=0, ge=60, le=7 * _DAY_S)
    remind_after_s: int = Field(default=0, ge=30, le=7 * _DAY_S)
    escalate_after_s: Annotated[tuple[int, ...], PlainValidator(_times)] = ()
    chain: Annotated[tuple[str, ...], PlainValidator(_roles)] = ()
    veto_window_s: Annotated[int | None, PlainValidator(_veto)] = None
    approvals_per_hour: int = Field(default=0, ge=1, le=10_000)
    grant_ttl_s: int = Field(default=0, ge=10, le=MAX_GRANT_TTL_S)
    max_lease_s: int = Field(default=0, ge=60, le=90 * _DAY_S)
    breaker_failures: int = Field(default=0, ge=1, le=100)

    def over(self, base: ActionLimits) -> ActionLimits:
        """What is written here, and the rest from ``base``; the fields' defaults above are never looked at."""
        # Any: the keys are those of ActionLimits, and a test holds the two to the same.
        written: dict[str, Any] = {key: getattr(self, key) for key in self.model_fields_set & _KEYS}
        return replace(base, **written)


class _RowEntry(_LimitsEntry):
    tenant: Tenants | None = None
    action_class: Annotated[str, PlainValidator(_action_class)] | None = None

    def to_row(self, base: ActionLimits) -> LimitRow:
        return LimitRow(Selector(action_class=self.action_class, tenant=self.tenant), self.over(base))


_EntryType = TypeVar("_EntryType", bound=_LimitsEntry)


def _sections(document: Document, problems: list[Problem]) -> Mapping[str, JsonValue]:
    if not isinstance(document.content, dict):
        problems.append(
            document.problem((), f"expected the keys {', '.join(_SECTIONS)}, got {quote(document.content)}")
        )
        return {}
    for key in document.content:
        if key not in _SECTIONS:
            problems.append(document.problem((key,), unknown_key(key, _SECTIONS)))
    return document.content


def _entry(
    model: type[_EntryType], content: JsonValue, path: Path, document: Document, problems: list[Problem]
) -> _EntryType | None:
    """The entry at ``path``; None where it has mistakes, which go to ``problems``."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            place: Path = (*path, *detail["loc"])
            # The reader has already reported a key without a value.
            if detail["input"] is not None or not isinstance(place[-1], str):
                problems.append(document.problem(place, describe(detail, model)))
        return None


def _defaults(content: JsonValue, document: Document, problems: list[Problem]) -> ActionLimits | None:
    """None where they are wrong: then what a row leaves out is not known."""
    if content is None:
        return DEFAULT_LIMITS.defaults
    entry = _entry(_LimitsEntry, content, ("defaults",), document, problems)
    if entry is None:
        return None
    limits = entry.over(DEFAULT_LIMITS.defaults)
    faults = [document.problem(("defaults", key), fault) for key, fault in limits.faults()]
    problems += faults
    return None if faults else limits


def _rows(
    content: JsonValue, defaults: ActionLimits | None, document: Document, problems: list[Problem]
) -> Iterator[tuple[int, LimitRow]]:
    if content is None:
        return
    if not isinstance(content, list):
        problems.append(document.problem(("rows",), f"expected a list, got {quote(content)}"))
        return
    for index, item in enumerate(content):
        path: Path = ("rows", index)
        entry = _entry(_RowEntry, item, path, document, problems)
        if entry is None:
            continue
        row = entry.to_row(DEFAULT_LIMITS.defaults if defaults is None else defaults)
        if row.selector.is_default:
            problems.append(document.problem(path, "names neither tenant nor action_class; write it under 'defaults'"))
            continue
        if defaults is not None:
            problems += [document.problem((*path, key), fault) for key, fault in row.limits.faults()]
        yield index, row


def _repeated(rows: Mapping[int, LimitRow], document: Document) -> Iterator[Problem]:
    first: dict[Selector, int] = {}
    for index, row in rows.items():
        earlier = first.setdefault(row.selector, index)
        if earlier != index:
            line = document.lines[("rows", earlier)]
            yield document.problem(
                ("rows", index), f"same actions as the row in line {line} ({row.selector}); keep one"
            )
