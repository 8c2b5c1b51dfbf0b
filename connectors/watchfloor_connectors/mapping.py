"""A mapping file as a connector.

Rows of a CSV repeat: all but the time is the same again and again. What such a row becomes is kept, so that most rows
cost one look-up, a time and an `Alert`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Final, NamedTuple

from watchfloor_connectors.attack import tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.mapping_load import readings
from watchfloor_connectors.mapping_rules import compile_entity, compile_severity, compile_time
from watchfloor_connectors.mapping_schema import ListRule, Mapping
from watchfloor_connectors.mapping_values import (
    NullValues,
    compile_conditions,
    compile_path,
    compile_text,
    compile_texts,
)
from watchfloor_connectors.recent import Recent
from watchfloor_core.alert import (
    Alert,
    Attribute,
    DedupKey,
    Detector,
    Entity,
    Integrity,
    Severity,
    TimePrecision,
)
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.ports import Record
from watchfloor_core.untrusted import quote_untrusted

KEPT: Final = 16_384
"""Rows whose alert is remembered."""
KEPT_CHARS: Final = 1024
"""Characters of a row that is remembered."""
_RECEIVED: Final = Attribute("time_source", "received", Integrity.DERIVED)
"""Said of an alert whose record had no time of its own."""
_BY_CONTENT: Final = DedupKey(("detector", "entities", "attributes"), 1)


class _Content(NamedTuple):
    """Everything of an alert but its time and native uid."""

    is_alert: bool
    detector: Detector
    severity: Severity
    entities: tuple[Entity, ...]
    attributes: tuple[Attribute, ...]


_IGNORED: Final = _Content(False, Detector("", "", ""), Severity.UNKNOWN, (), ())


class MappedConnector:
    """The connector that a mapping describes. ``clock`` gives the time of receipt, for ``time.default: received``."""

    def __init__(self, mapping: Mapping, clock: Callable[[], int] = now_us) -> None:
        nulls: NullValues = {column: frozenset(texts) for column, texts in mapping.null_values.items()}
        detector, detect = mapping.detector, mapping.detect
        self.name = mapping.name
        self.version = mapping.version
        self._mapping = mapping
        self._clock = clock
        self._header = None if detect.header is None else frozenset(detect.header)
        self._required = [compile_path(path) for path in detect.required]
        self._constants = [(compile_path(path), frozenset(texts)) for path, texts in detect.constants.items()]
        self._time = compile_time(mapping.time, nulls)
        self._is_ignored = compile_conditions(mapping.ignore_when, nulls)
        self._product = compile_text(detector.product, nulls)
        self._uid = compile_text(detector.uid, nulls)
        self._title = compile_text(detector.title, nulls)
        self._category = None if detector.category is None else compile_text(detector.category, nulls)
        self._severity = compile_severity(mapping.severity, nulls)
        self._tactics = _compile_ids(mapping.tactics, tactic_ids, nulls)
        self._techniques = _compile_ids(mapping.techniques, technique_ids, nulls)
        self._entities = [compile_entity(entity, nulls) for entity in mapping.entities]
        self._attributes = [(rule.name, rule.integrity, compile_texts(rule, nulls)) for rule in mapping.attributes]
        self._native_uid = None if mapping.native_uid is None else compile_text(mapping.native_uid, nulls)
        self._dedup = _dedup(mapping)
        self._key = _compile_key(mapping)
        self._recent: Recent[_Content] = Recent(KEPT)

    def recognises(self, record: Record) -> bool:
        if self._header is not None and record.keys() != self._header:
            return False
        if any(read(record) is None for read in self._required):
            return False
        return all(str(read(record)) in wanted for read, wanted in self._constants)

    def check_columns(self, columns: Sequence[str], name: str) -> None:
        """Raises ConfigurationError where the file ``name`` lacks columns that the mapping reads; names all of them."""
        missing: dict[str, None] = {}
        for _, alternatives in readings(self._mapping):
            lacking = [[path for path in paths if path not in columns] for paths in alternatives]
            if all(lacking):
                missing.update((path, None) for paths in lacking for path in paths)
        if missing:
            raise ConfigurationError(
                f"mapping {self.name!r} reads columns that {name} does not have: "
                f"{', '.join(_with_nearest(path, columns) for path in missing)}. "
                f"Its header is: {', '.join(quote_untrusted(column, 60) for column in columns)}"
            )

    def to_alert(self, record: Record) -> Alert | None:
        content = self._content(record)
        if not content.is_alert:
            return None
        attributes = content.attributes
        moment = self._time(record)
        if moment is None:
            moment = self._clock(), TimePrecision.MICROSECOND
            attributes = (*attributes, _RECEIVED)
        native, dedup = None, self._dedup
        if self._native_uid is not None:
            native = self._native_uid(record)
            dedup = self._dedup if native is not None else _BY_CONTENT
        return Alert(
            self.name,
            content.detector,
            content.severity,
            moment[0],
            moment[1],
            content.entities,
            attributes,
            native,
            dedup,
        )

    def _content(self, record: Record) -> _Content:
        """The record's content, from memory where all that it depends on is the same text as in an earlier record."""
        try:
            key = self._key(record)
            known = self._recent.get(key)
        except (KeyError, TypeError):
            # A path is absent, or holds a list: such records do not repeat as rows do.
            return self._build(record)
        if known is None:
            known = self._build(record)
            # Only texts are remembered: as keys 1 and True are equal, as values they differ. And no long ones: their
            # size and number may be an attacker's.
            if all(type(part) is str for part in key) and sum(map(len, key)) <= KEPT_CHARS:
                self._recent.put(key, known)
        return known

    def _build(self, record: Record) -> _Content:
        if any(holds(record) for holds in self._is_ignored):
            return _IGNORED
        draft = AlertDraft()
        for add in self._entities:
            add(record, draft)
        for name, integrity, read in self._attributes:
            for text in read(record):
                draft.attribute(name, text, integrity)
        title = self._title(record)
        detector = Detector(
            product=_required(self._product(record), "detector.product").lower(),
            uid=_required(self._uid(record) or title, "detector.uid"),
            title=_required(title or self._uid(record), "detector.title"),
            category=None if self._category is None else self._category(record),
            tactics=self._tactics(record),
            techniques=self._techniques(record),
        )
        return _Content(True, detector, self._severity(record), draft.entities(), draft.attributes())


def _required(found: str | None, rule: str) -> str:
    if found is None:
        raise RecordError("the record has no value for this rule of the mapping", path=rule)
    return found


def _compile_ids(
    rule: ListRule | None, find: Callable[..., tuple[str, ...]], nulls: NullValues
) -> Callable[[Record], tuple[str, ...]]:
    if rule is None:
        return lambda _: ()
    read = compile_texts(rule, nulls)
    return lambda record: find(*read(record))


def _compile_key(mapping: Mapping) -> Callable[[Record], tuple[str, ...]]:
    """What an alert's content depends on: every column that is read, but those that only time and native uid need."""
    columns = {
        path
        for at, alternatives in readings(mapping)
        if at[0] not in ("time", "native_uid")
        for paths in alternatives
        for path in paths
    }
    # Two at least: of one, itemgetter gives the value and no tuple.
    read = itemgetter(*sorted(columns), *sorted(columns)[:1])
    # Texts, or whatever a JSON record has there: who remembers by it looks.
    return lambda record: read(record)


def _dedup(mapping: Mapping) -> DedupKey:
    if mapping.dedup is not None:
        return DedupKey(tuple(mapping.dedup.fields), mapping.dedup.window_s)
    return DedupKey(("native_uid",), 0) if mapping.native_uid is not None else _BY_CONTENT


def _with_nearest(path: str, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(path, columns, n=1)
    return f"{path!r} (did you mean {near[0]!r}?)" if near else repr(path)
