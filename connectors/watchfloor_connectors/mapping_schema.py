"""What a mapping file may say: how the records of any CSV or NDJSON become alerts. See docs/how-to/map-a-csv.md."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from watchfloor_connectors.draft import ATTACKER_AUTHORED
from watchfloor_connectors.severities import NAMES
from watchfloor_core.alert import EntityKind, EntityRole, Integrity, Severity


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise ValueError(f"{text!r} is no regular expression: {error}") from None
    if groups != 1:
        raise ValueError(f"{text!r} has {groups} groups; exactly one (…) was expected, around what is taken")
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone of the IANA database, e.g. UTC or Europe/Vienna") from None
    return name


def _time_format(text: str) -> str:
    if text not in TIME_FORMATS and "%" not in text:
        raise ValueError(f"{text!r} is no time format: one of {', '.join(TIME_FORMATS)} or a strptime pattern with %")
    return text


def _severity(name: object) -> object:
    if isinstance(name, str) and name.lower() in NAMES:
        return NAMES[name.lower()]
    raise ValueError(f"{name!r} is no severity: one of {', '.join(sorted(NAMES))}")


def _integrity(name: object) -> object:
    labels = {label.name.lower(): label for label in (Integrity.SENSOR, Integrity.DERIVED, Integrity.EXTERNAL)}
    if isinstance(name, str) and name in labels:
        return labels[name]
    raise ValueError(f"{name!r} is no integrity label for input: one of {', '.join(labels)}")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str | int | float) else value


TIME_FORMATS = ("auto", "iso8601", "epoch", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Path = Annotated[str, StringConstraints(min_length=1)]
Paths = Annotated[tuple[Path, ...], BeforeValidator(_listed), Field(min_length=1)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed), Field(min_length=1)]
Pattern = Annotated[str, AfterValidator(_pattern)]
SeverityName = Annotated[Severity, BeforeValidator(_severity)]
IntegrityName = Annotated[Integrity, BeforeValidator(_integrity)]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class ValueRule(_Rule):
    """Where a text comes from and what is done to it, in this order: extract, lower, lookup, default."""

    path: Paths | None = None
    """Column or JSON path; of several, the first that has a value."""
    template: Texts | None = None
    """Text with paths in braces, ``{domain}\\{user}``; it has a value where all of them have. Tried after ``path``."""
    constant: str | None = None
    extract: Pattern | None = None
    """The group of this regular expression, searched in the first 4,096 characters; no match is no value."""
    lower: bool = False
    lookup: dict[str, str] | None = None
    """By the exact text; one that is not listed is no value."""
    default: str | None = None

    @model_validator(mode="after")
    def _has_a_source(self) -> ValueRule:
        if self.constant is not None:
            given = self.model_fields_set - {"constant", *self._beside_a_value()}
            if given:
                raise ValueError(f"a constant takes no {', '.join(sorted(given))}")
        elif self.path is None and self.template is None:
            raise ValueError("one of path, template or constant was expected")
        return self

    @classmethod
    def _beside_a_value(cls) -> frozenset[str]:
        return frozenset(cls.model_fields) - frozenset(ValueRule.model_fields)


class ListRule(ValueRule):
    """Several texts: a JSON list, or one text that is split."""

    split: str | None = Field(default=None, min_length=1)


class Condition(_Rule):
    """True where the value at the path is one of those."""

    path: Path
    equals: Texts


class TimeRule(_Rule):
    path: Paths
    """Of several, the first that is present decides."""
    format: Annotated[str, AfterValidator(_time_format)] = "auto"
    """``auto``: digits are time since the epoch in the unit that their number tells, all else ISO 8601."""
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    """What a time without offset means; without it such a time is refused."""
    default: Literal["received"] | None = None
    """For a record without time. An invented time would invent correlation, so the rule is to refuse the record."""


class DetectorRule(_Rule):
    product: ValueRule
    uid: ValueRule
    title: ValueRule
    category: ValueRule | None = None


class SeverityRule(_Rule):
    constant: SeverityName | None = None
    path: Paths | None = None
    table: dict[str, SeverityName] | None = None
    """By the text, in any case; without it the common names (low, high …) count."""
    default: SeverityName | None = None
    """For no value and for one that is not in the table; without it the latter is refused."""

    @model_validator(mode="after")
    def _has_a_source(self) -> SeverityRule:
        if (self.constant is None) == (self.path is None):
            raise ValueError("either constant or path was expected")
        return self


class RoleRule(_Rule):
    path: Path
    table: dict[str, EntityRole]
    default: EntityRole = EntityRole.RELATED


class EntityMapping(ListRule):
    kind: EntityKind
    role: EntityRole | RoleRule = EntityRole.RELATED
    integrity: IntegrityName
    optional: bool = False
    """Without it a record that has no value is refused."""
    malformed: Literal["refuse", "skip"] = "refuse"
    """What becomes of a record whose value cannot be of that kind; one that an attacker could write never counts."""
    verbatim: bool = False
    """The value is an anonymised id: no address or hash is expected where the kind is ip or file_hash."""
    when: tuple[Condition, ...] = ()


class AttributeMapping(ListRule):
    name: Name
    integrity: IntegrityName

    @model_validator(mode="after")
    def _label_is_honest(self) -> AttributeMapping:
        if self.name in ATTACKER_AUTHORED and self.integrity is not Integrity.EXTERNAL:
            raise ValueError(f"{self.name} is text that an attacker can choose: its integrity is external")
        return self


class DetectRule(_Rule):
    """When a record is of this format, and of no other. All that is given must hold."""

    header: tuple[Path, ...] | None = None
    """Exactly these columns, in any order; each is used by the mapping or listed under ``unused``."""
    required: tuple[Path, ...] = ()
    """Paths that every record has."""
    constants: dict[Path, Texts] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> DetectRule:
        if self.header is None and not self.required and not self.constants:
            raise ValueError("header, required or constants was expected")
        return self


class DedupRule(_Rule):
    fields: tuple[Literal["native_uid", "detector", "entities", "attributes"], ...] = Field(min_length=1)
    window_s: int = Field(ge=0)


class Mapping(_Rule):
    name: Name
    version: str = Field(min_length=1, max_length=64)
    description: str = ""
    detect: DetectRule
    null_values: dict[str, Texts] = Field(default_factory=dict)
    """Texts that stand for no value, by column; ``"*"`` is for all. An empty text is none anyhow."""
    time: TimeRule
    detector: DetectorRule
    severity: SeverityRule
    tactics: ListRule | None = None
    techniques: ListRule | None = None
    entities: tuple[EntityMapping, ...] = ()
    attributes: tuple[AttributeMapping, ...] = ()
    native_uid: ValueRule | None = None
    dedup: DedupRule | None = None
    """By default ``native_uid`` where there is one, else detector, entities and attributes within one second."""
    ignore_when: tuple[Condition, ...] = ()
    """A record for which any of these holds is no alert."""
    unused: tuple[Path, ...] = ()
    """Columns that are left out on purpose: labels, say. They are never read."""
