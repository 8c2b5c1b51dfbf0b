"""The entries of an autonomy file: what each key may hold, and how a mistake in one is put to the operator."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Annotated, Final, Self, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator
from pydantic_core import ErrorDetails

from watchfloor_core.alert import EntityKind, Severity
from watchfloor_core.incident import AutonomyLevel, Function, Verdict
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.closing_rule import SENSOR_KINDS, ClosingRule, EntityMatch, RuleMatch
from watchfloor_guardrails.matrix import (
    ACTION_CLASSES,
    INVESTIGATE_INCIDENT,
    Limits,
    Row,
    Selector,
)
from watchfloor_guardrails.selector import NameMatch
from watchfloor_guardrails.yaml_source import Path

_RULE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_FAMILY_LENGTH: Final = 128
_SHOWN: Final = 60
"""So many characters of a wrong value are quoted."""

_LEVELS: Final = {f"L{level}": level for level in AutonomyLevel}
_SEVERITIES: Final = {
    severity.name.lower(): severity for severity in Severity if severity not in (Severity.UNKNOWN, Severity.OTHER)
}
_FUNCTIONS: Final = {function.value: function for function in Function}
_BENIGN: Final = {verdict.value: verdict for verdict in Verdict if verdict.is_benign}
_RULE_KINDS: Final = {kind.value: kind for kind in SENSOR_KINDS}
_KINDS: Final = frozenset(kind.value for kind in EntityKind)
_ACTION_CLASSES: Final = {name: name for name in ACTION_CLASSES}

_Choice = TypeVar("_Choice")


def quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _choose(value: object, choices: Mapping[str, _Choice], remedy: str = "") -> _Choice:
    if isinstance(value, str) and value in choices:
        return choices[value]
    raise ValueError(f"{quote(value)} is not one of {', '.join(choices)}{remedy}")


def parse_level(value: object) -> AutonomyLevel:
    return _choose(value, _LEVELS)


def _severity(value: object) -> Severity:
    return _choose(value, _SEVERITIES)


def _function(value: object) -> Function:
    return _choose(value, _FUNCTIONS)


def _benign_verdict(value: object) -> Verdict:
    return _choose(value, _BENIGN)


def _action_class(value: object) -> str:
    return _choose(value, _ACTION_CLASSES)


def _rule_kind(value: object) -> EntityKind:
    is_attackers_choice = isinstance(value, str) and value in _KINDS
    remedy = "; what an attacker names or writes must not close an incident" if is_attackers_choice else ""
    return _choose(value, _RULE_KINDS, remedy)


def _rule_id(value: object) -> str:
    if isinstance(value, str) and _RULE_ID.fullmatch(value):
        return value
    raise ValueError(f"{quote(value)} is not a rule id: up to 64 letters, digits and _ . : - are expected")


def _tenant(value: object) -> str:
    if isinstance(value, str) and _TENANT.fullmatch(value):
        return value
    raise ValueError(f"{quote(value)} is no name of a tenant: lower-case letters, digits and _ . - are expected")


def _family(value: object) -> str:
    # Families come from sensors (product names, spaces and all), always in lower case; any other would never match.
    if isinstance(value, str) and 1 <= len(value) <= _FAMILY_LENGTH and value == value.lower().strip():
        if not set(value) & set("*?"):
            return value
        raise ValueError(f"{quote(value)}: names match exactly; the one pattern is {{prefix: …}}")
    raise ValueError(f"{quote(value)} is no alert family: a text in lower case is expected")


def _name_or_prefix(value: object, name: Callable[[object], str]) -> NameMatch:
    match value:
        case {"prefix": prefix, **others} if not others:
            return NameMatch(name(prefix), is_prefix=True)
        case dict():
            raise ValueError(f"{quote(value)}: the one pattern is {{prefix: …}}")
        case _:
            return NameMatch(name(value))


def _tenants(value: object) -> NameMatch:
    return _name_or_prefix(value, _tenant)


def _families(value: object) -> NameMatch:
    return _name_or_prefix(value, _family)


def _date(value: object) -> date:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise ValueError(f"{quote(value)} is not a date; write it as 2027-01-31")


_Level: TypeAlias = Annotated[AutonomyLevel, PlainValidator(parse_level)]
SeverityName: TypeAlias = Annotated[Severity, PlainValidator(_severity)]
Tenants: TypeAlias = Annotated[NameMatch, PlainValidator(_tenants)]
"""A name, or a prefix where it is written as one."""
_Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _LimitsEntry(Entry):
    close_below: float | None = Field(default=None, ge=0, le=0.5, allow_inf_nan=False)
    min_certainty: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)
    max_alerts: int | None = Field(default=None, ge=1)
    max_severity: SeverityName | None = None
    sample_review: float | None = Field(default=None, ge=0, le=1, allow_inf_nan=False)


class RowEntry(Entry):
    function: Annotated[Function, PlainValidator(_function)]
    action_class: Annotated[str, PlainValidator(_action_class)] | None = None
    alert_family: Annotated[NameMatch, PlainValidator(_families)] | None = None
    asset_tier: int | None = Field(default=None, ge=0, le=3)
    tenant: Tenants | None = None
    level: _Level
    reason: str = Field(default="", max_length=1000)
    limits: _LimitsEntry | None = None

    @model_validator(mode="after")
    def _limits_are_for_triage(self) -> Self:
        if self.limits is not None and self.function is not Function.ALERT_TRIAGE:
            raise ValueError(f"limits belong to rows of alert_triage, not of {self.function}; remove them")
        return self

    @model_validator(mode="after")
    def _actions_are_of_their_function(self) -> Self:
        # Such a row would match no task, and so silently not restrict.
        known = CATALOGUE.get(self.action_class or "")
        if known is not None and self.function is not known.function:
            raise ValueError(f"{self.action_class!r} belongs to rows of {known.function}, not of {self.function}")
        if self.action_class == INVESTIGATE_INCIDENT and self.function is not Function.INVESTIGATION:
            raise ValueError(f"{self.action_class!r} belongs to rows of investigation, not of {self.function}")
        return self

    def to_row(self) -> Row:
        written = self.limits or _LimitsEntry()
        return Row(
            self.function,
            Selector(self.action_class, self.alert_family, self.asset_tier, self.tenant),
            self.level,
            self.reason,
            Limits(
                written.close_below,
                written.min_certainty,
                written.max_alerts,
                written.max_severity,
                written.sample_review,
            ),
        )


class _EntityEntry(Entry):
    kind: Annotated[EntityKind, PlainValidator(_rule_kind)]
    value: _Text

    def to_match(self) -> EntityMatch:
        return EntityMatch(self.kind, self.value)


class _DetectorEntry(Entry):
    product: _Text
    uid: _Text | None = None
    title: _Text | None = None


class _MatchEntry(Entry):
    tenant: Tenants | None = None
    detector: _DetectorEntry | None = None
    asset: _EntityEntry | None = None
    entity: _EntityEntry | None = None
    severity_max: SeverityName = Severity.MEDIUM

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.detector is None and self.asset is None and self.entity is None:
            raise ValueError("the rule would close everything; name a detector, an asset or an entity")
        return self

    def to_match(self) -> RuleMatch:
        detector = self.detector
        return RuleMatch(
            tenant=self.tenant,
            product=None if detector is None else detector.product,
            uid=None if detector is None else detector.uid,
            title=None if detector is None else detector.title,
            asset=None if self.asset is None else self.asset.to_match(),
            entity=None if self.entity is None else self.entity.to_match(),
            severity_max=self.severity_max,
        )


class RuleEntry(Entry):
    id: Annotated[str, PlainValidator(_rule_id)]
    verdict: Annotated[Verdict, PlainValidator(_benign_verdict)]
    reason: _Text
    expires: Annotated[date, PlainValidator(_date)]
    match: _MatchEntry

    def to_rule(self) -> ClosingRule:
        return ClosingRule(self.id, self.verdict, self.reason, self.expires, self.match.to_match())


def describe(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Pydantic's finding in our words: the value, what was expected, the remedy."""
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    value = quote(detail["input"])
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return unknown_key(name, _known_keys(model, detail["loc"]))
        case "missing":
            return f"missing key {name!r}"
        case "value_error":
            return detail["msg"].removeprefix("Value error, ")
        case "string_type":
            return f"{value} is not text; put it in quotes"
        case "string_too_short":
            return f"{name!r} is empty"
        case "string_too_long":
            return f"{name!r} is longer than {context.get('max_length')} characters"
        case "int_type" | "float_type" | "int_from_float":
            return f"{value} is not a plain decimal number"
        case "greater_than_equal":
            return f"{value} is too small; at least {context.get('ge')} is expected"
        case "less_than_equal":
            return f"{value} is too large; at most {context.get('le')} is allowed"
        case "model_type" | "model_attributes_type":
            return f"expected keys and values, got {value}"
        case _:
            return f"{value}: {detail['msg']}"


def _known_keys(model: type[BaseModel], path: Path) -> tuple[str, ...]:
    """The keys that the innermost mapping around ``path`` may have."""
    for part in path[:-1]:
        annotation = model.model_fields[str(part)].annotation
        candidates = (annotation, *get_args(annotation))
        model = next(one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel))
    return tuple(model.model_fields)


def unknown_key(key: str, known: tuple[str, ...]) -> str:
    similar = get_close_matches(key, known, n=1)
    meant = f"; did you mean {similar[0]!r}?" if similar else f"; known: {', '.join(known)}"
    return f"unknown key {quote(key)}{meant}"
