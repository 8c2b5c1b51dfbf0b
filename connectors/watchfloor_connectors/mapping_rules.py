"""Compiles the rules of a mapping that are more than a text: time, severity, entities."""

from __future__ import annotations

from collections.abc import Callable
from datetime import tzinfo
from zoneinfo import ZoneInfo

from watchfloor_connectors.described import describe
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.mapping_schema import EntityMapping, RoleRule, SeverityRule, TimeRule
from watchfloor_connectors.mapping_values import (
    NullValues,
    compile_conditions,
    compile_path,
    compile_source,
    compile_texts,
)
from watchfloor_connectors.severities import NAMES
from watchfloor_connectors.times import Moment, parse_epoch, parse_format, parse_iso, parse_time
from watchfloor_core.alert import EntityRole, Severity
from watchfloor_core.errors import RecordError
from watchfloor_core.ports import Json, Record
from watchfloor_core.untrusted import quote_untrusted

EntityReader = Callable[[Record, AlertDraft], None]


def compile_time(rule: TimeRule, nulls: NullValues) -> Callable[[Record], Moment | None]:
    """The time of a record; None where it has none and the rule has a default."""
    zone = None if rule.zone is None else ZoneInfo(rule.zone)
    parse = _parser(rule.format, zone)
    null = nulls.get("*", frozenset())
    sources = [(path, compile_path(path), null | nulls.get(path, frozenset())) for path in rule.path]
    others = f" and {len(rule.path) - 3} more" if len(rule.path) > 3 else ""
    missing = (
        f"the record has no time (looked for {', '.join(rule.path[:3])}{others}); without one it cannot be correlated. "
        "Add the field that holds it to time.path, or set time.default to received"
    )

    def read_time(record: Record) -> Moment | None:
        for path, read, nothing in sources:
            value = read(record)
            if value is None or value == "" or (isinstance(value, str) and value in nothing):
                continue
            try:
                return parse(value)
            except RecordError as error:
                raise RecordError(error.reason, path=path) from None
        if rule.default is not None:
            return None
        raise RecordError(missing)

    return read_time


def _parser(form: str, zone: tzinfo | None) -> Callable[[Json], Moment]:
    def of_text(parse: Callable[[str], Moment]) -> Callable[[Json], Moment]:
        def checked(value: Json) -> Moment:
            if not isinstance(value, str):
                raise RecordError(f"is {describe(value)}; a time as text was expected")
            return parse(value.strip())

        return checked

    if form == "auto":
        return lambda value: parse_time(value, zone)
    if form == "epoch":
        return parse_epoch
    if form.startswith("epoch_"):
        unit = form.removeprefix("epoch_")
        return lambda value: parse_epoch(value, unit)
    if form == "iso8601":
        return of_text(lambda text: parse_iso(text, zone))
    return of_text(lambda text: parse_format(text, form, zone))


def compile_severity(rule: SeverityRule, nulls: NullValues) -> Callable[[Record], Severity]:
    """The severity of a record."""
    if rule.constant is not None:
        constant = rule.constant
        return lambda _: constant
    table = NAMES if rule.table is None else {name.lower(): severity for name, severity in rule.table.items()}
    sources = [(path, compile_source(path, nulls)) for path in rule.path or ()]

    def read_severity(record: Record) -> Severity:
        for path, read in sources:
            for text in read(record):
                severity = table.get(text.strip().lower(), rule.default)
                if severity is None:
                    reason = f"the severity {quote_untrusted(text, 60)} is not in the table ({', '.join(table)})"
                    raise RecordError(f"{reason}; add it, or a default", path=path)
                return severity
        return Severity.UNKNOWN if rule.default is None else rule.default

    return read_severity


def compile_entity(rule: EntityMapping, nulls: NullValues) -> EntityReader:
    """Adds the entities that the rule finds in a record."""
    read = compile_texts(rule, nulls)
    conditions = compile_conditions(rule.when, nulls)
    role_of = _compile_role(rule.role, nulls)
    is_guess = rule.malformed == "skip"
    path = (rule.path or rule.template or ("constant",))[0]

    def add(record: Record, draft: AlertDraft) -> None:
        for holds in conditions:
            if not holds(record):
                return
        values = read(record)
        if not values and not rule.optional:
            raise RecordError(f"the record has no {rule.kind}, and this entity is not optional", path=path)
        role = role_of(record)
        for value in values:
            if rule.verbatim:
                draft.verbatim_entity(rule.kind, value, role, rule.integrity)
            else:
                draft.entity(rule.kind, value, role, rule.integrity, path=path, is_guess=is_guess)

    return add


def _compile_role(rule: EntityRole | RoleRule, nulls: NullValues) -> Callable[[Record], EntityRole]:
    if isinstance(rule, EntityRole):
        return lambda _: rule
    read: Callable[[Record], list[str]] = compile_source(rule.path, nulls)
    table, default = rule.table, rule.default

    def role_of(record: Record) -> EntityRole:
        found = read(record)
        return table.get(found[0], default) if found else default

    return role_of
