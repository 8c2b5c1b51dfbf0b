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
from watchfloor_connectors.mapping_load import used_paths
from watchfloor_connectors.mapping_rules import EntityReader, compile_entity, compile_severity, compile_time
from watchfloor_connectors.mapping_schema import AttributeMapping, ListRule, Mapping
from watchfloor_connectors.mapping_values import (
    NullValues,
    Texts,
    compile_conditions,
    compile_path,
    compile_text,
    compile_texts,
)
from watchfloor_core.alert import Alert, Attribute, DedupKey, Detector, Entity, Integrity, Severity
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.ports import Record
from watchfloor_core.untrusted import quote_untrusted

KEPT: Final = 16_384
"""Rows whose alert is remembered; as many of the generation before are kept beside them."""
_RECEIVED: Final = Attribute("time_source", "received", Integrity.DERIVED)
"""Said of an alert whose record had no time of its own."""


class _Content(NamedTuple):
    """Everything of an alert but its time and native uid."""

    detector: Detector
    severity: Severity
    entities: tuple[Entity, ...]
    attributes: tuple[Attribute, ...]


class MappedConnector:
    """The connector that a mapping describes. ``clock`` gives the time of receipt, for ``time.default: received``."""

    def __init__(self, mapping: Mapping, clock: Callable[[], int] = now_us) -> None:
        self.name = mapping.name
        self.version = mapping.version
        self._mapping = mapping
        self._clock = clock
        nulls: NullValues = {column: frozenset(texts) for column, texts in mapping.null_values.items()}
        self._header = None if mapping.detect.header is None else frozenset(mapping.detect.header)
        self._required = [compile_path(path) for path in mapping.detect.required]
        self._constants = [
            (compile_path(path), frozenset(texts)) for path, texts in mapping.detect.constants.items()
        ]
        self._time = compile_time(mapping.time, nulls)
        self._is_ignored = compile_conditions(mapping.ignore_when, nulls)
        self._product = compile_text(mapping.detector.product, nulls)
        self._uid = compile_text(mapping.detector.uid, nulls)
        self._title = compile_text(mapping.detector.title, nulls)
        category = mapping.detector.category
        self._category = None if category is None else compile_text(category, nulls)
        self._severity = compile_severity(mapping.severity, nulls)
        self._tactics = _ids(mapping.tactics, nulls, tactic_ids)
        self._techniques = _ids(mapping.techniques, nulls, technique_ids)
        self._entities: list[EntityReader] = [compile_entity(entity, nulls) for entity in mapping.entities]
        self._attributes: list[tuple[AttributeMapping, Texts]] = [
            (attribute, compile_texts(attribute, nulls)) for attribute in mapping.attributes
        ]
        self._native_uid = None if mapping.native_uid is None else compile_text(mapping.native_uid, nulls)
        self._dedup = _dedup(mapping)
        self._key = _key(mapping)
        self._recent: dict[object, _Content | None] = {}
        self._older: dict[object, _Content | None] = {}

    def recognises(self, record: Record) -> bool:
        if self._header is not None and record.keys() != self._header:
            return False
        if any(read(record) is None for read in self._required):
            return False
        return all(str(read(record)) in wanted for read, wanted in self._constants)

    def check_columns(self, columns: Sequence[str], name: str) -> None:
        """Raises ConfigurationError where the file ``name`` lacks columns that the mapping reads; names all of them."""
        missing = [path for path in used_paths(self._mapping) if not _has_column(columns, path)]
        alternatives = [self._mapping.time.path, *(entity.path or () for entity in self._mapping.entities)]
        # Of several paths one is enough, so only a rule all of whose columns are missing is a mistake.
        spared = {path for paths in alternatives for path in paths if any(_has_column(columns, p) for p in paths)}
        problems = []
        for path in missing:
            if path in spared:
                continue
            near = difflib.get_close_matches(path, columns, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f"{path!r}{hint}")
        if problems:
            raise ConfigurationError(
                f"mapping {self.name!r} reads columns that {name} does not have: {', '.join(problems)}. "
                f"Its header is {', '.join(quote_untrusted(column, 60) for column in columns)}"
            )

    def to_alert(self, record: Record) -> Alert | None:
        content = self._remembered(record)
        if content is None:
            return None
        detector, severity, entities, attributes = content
        moment = self._time(record)
        if moment is None:
            event_us, precision = self._clock(), "us"
            attributes = (*attributes, _RECEIVED)
        else:
            event_us, precision = moment
        native = None if self._native_uid is None else self._native_uid(record)
        dedup = self._dedup if native is not None or self._native_uid is None else _BY_CONTENT
        return Alert(self.name, detector, severity, event_us, precision, entities, attributes, native, dedup)
