"""Context: what is known of an entity beside the telemetry, and who says so.

Threat intelligence, the inventory, the organisation's own history and its runbooks are asked in one way, a `LookUp`,
and answer with facts. A fact is evidence like any other: content-addressed, cited by field, labelled by who could have
written it. Nothing of it is ever an instruction, and none of it alone closes anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol, TypeAlias, runtime_checkable

from watchfloor_core.alert import EntityKind
from watchfloor_core.canonical import JsonValue, canonical, parse_canonical
from watchfloor_core.errors import RecordError
from watchfloor_core.evidence import Evidence, EvidenceKind
from watchfloor_core.logs.event import Value
from watchfloor_core.logs.query import EntityRef, Query, query_to_json
from watchfloor_core.logs.query_json import query_from_json
from watchfloor_core.logs.source import Coverage

MAX_ENTITIES: Final = 500
"""In one question."""
MAX_TERMS: Final = 64
MAX_TERM: Final = 200
"""Characters."""


class ContextKind(StrEnum):
    """What a source of context knows; its value is the ``context`` of the evidence."""

    INTELLIGENCE = "threat_intelligence"
    """What others have seen used in attacks. Written outside, and an attacker may well contribute to a feed: it can
    raise suspicion, never lower it."""
    INVENTORY = "inventory"
    """What is ours, how much depends on it, and whose it is."""
    HISTORY = "history"
    """What people have decided about incidents that named the entity."""
    RUNBOOK = "runbook"
    """What the organisation does in such a case."""
    DIRECTORY = "identity_directory"
    """What the organisation's directory says of an account. Names and titles in it are often their owner's to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """Asks the sources of one kind: about entities, or with words. Raises ValueError for none of both, and too many."""

    kind: ContextKind
    entities: tuple[EntityRef, ...] = ()
    """Sorted by whoever asks, so that equal questions are equal."""
    terms: tuple[str, ...] = ()
    """Words and ids such as ``T1003.001``; for runbooks."""

    def __post_init__(self) -> None:
        if not self.entities and not self.terms:
            raise ValueError(f"a look-up in {self.kind} names no entity and no term")
        if len(self.entities) > MAX_ENTITIES or len(self.terms) > MAX_TERMS:
            raise ValueError(f"at most {MAX_ENTITIES} entities and {MAX_TERMS} terms are looked up at once")
        if any(not one or len(one) > MAX_TERM for one in self.terms):
            raise ValueError(f"a term has 1 to {MAX_TERM} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that a source says."""

    entity: EntityRef | None
    """About which, as it was asked for; None where it answers terms."""
    fields: Mapping[str, Value]
    """By names of the source's own, e.g. ``indicator.name``; texts as the source has them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The answer to a `LookUp`."""

    facts: tuple[Fact, ...]
    """In one order for equal questions."""
    coverage: Coverage
    """Dark where the source could not be read: nothing found means nothing then."""
    is_cut: bool = False


@runtime_checkable
class ContextSource(Protocol):
    """Answers look-ups of its kind, changes nothing. Thread-safe; calls block.

    Where it cannot be read it answers with a dark `Coverage` and no facts; it does not raise.
    """

    name: str
    kind: ContextKind

    def look_up(self, question: LookUp) -> Facts: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """Asks one reading tool of others."""

    tool: str
    arguments: str
    """Canonical JSON of an object, so that equal calls are equal."""


Asked: TypeAlias = Query | LookUp | ToolCall
"""All that an investigation can ask."""


def evidence_of_fact(source: str, kind: ContextKind, fact: Fact) -> Evidence:
    """The evidence that a fact is. Raises ValueError where it is larger than evidence may be."""
    entity: JsonValue = None if fact.entity is None else _entity_to_json(fact.entity)
    body: dict[str, JsonValue] = {"context": kind.value, "entity": entity, "fields": dict(fact.fields)}
    return Evidence(EvidenceKind.LOOKUP, source, body)


def call_tool(tool: str, arguments: Mapping[str, JsonValue]) -> ToolCall:
    """Raises ValueError where the arguments have no canonical form."""
    return ToolCall(tool=tool, arguments=canonical(arguments).decode())


def evidence_of_tool(tool: str, fields: Mapping[str, Value]) -> Evidence:
    """The evidence that a tool's fact is: of a context of its own, which nobody vouches for."""
    return Evidence(EvidenceKind.LOOKUP, f"tool:{tool}", {"context": "tool", "entity": None, "fields": dict(fields)})


def asked_digest(asked: Asked) -> str:
    """SHA-256 (64 hex digits) of what is asked: equal questions have equal digests."""
    return hashlib.sha256(canonical(asked_to_json(asked))).hexdigest()


def asked_to_json(asked: Asked) -> JsonValue:
    """The question as JSON, for the record and for people."""
    if isinstance(asked, ToolCall):
        return {"tool": asked.tool, "arguments": parse_canonical(asked.arguments.encode())}
    if not isinstance(asked, LookUp):
        return query_to_json(asked)
    return {
        "look_up": asked.kind.value,
        "entities": [_entity_to_json(one) for one in asked.entities],
        "terms": list(asked.terms),
    }


def asked_from_json(content: JsonValue) -> Asked:
    """The inverse of `asked_to_json`. Raises `RecordError` for anything that it would not have written."""
    if not isinstance(content, Mapping) or not {"look_up", "tool"} & content.keys():
        return query_from_json(content)
    try:
        if "tool" in content:
            tool, arguments = content["tool"], content["arguments"]
            if not isinstance(tool, str) or not isinstance(arguments, Mapping):
                raise TypeError("a tool is named, and its arguments are an object")
            return call_tool(tool, arguments)
        entities, terms = content["entities"], content["terms"]
        if not isinstance(entities, list) or not isinstance(terms, list):
            raise TypeError("entities and terms are lists")
        return LookUp(
            kind=ContextKind(str(content["look_up"])),
            entities=tuple(_entity_from_json(one) for one in entities),
            terms=tuple(str(one) for one in terms),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"a kept question cannot be read: {type(error).__name__}: {error}") from error


def _entity_to_json(entity: EntityRef) -> dict[str, JsonValue]:
    return {"kind": entity.kind.value, "value": entity.value}


def _entity_from_json(content: JsonValue) -> EntityRef:
    if not isinstance(content, Mapping):
        raise TypeError("an entity is an object")
    return EntityRef(EntityKind(str(content["kind"])), str(content["value"]))
