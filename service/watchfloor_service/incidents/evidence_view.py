"""Evidence as programs get it, with how it was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import to_iso
from watchfloor_core.evidence import Evidence
from watchfloor_core.store.evidence import Use, find_evidence, uses_of


@dataclass(frozen=True, slots=True)
class UseView:
    """Who found it by which question."""

    incident_id: str
    revision: int
    tool: str
    purpose: str
    query: object
    """None where it was part of the case."""
    agent: str
    collected: str


@dataclass(frozen=True, slots=True)
class EvidenceView:
    id: str
    kind: str
    source: str
    time: str | None
    body: Mapping[str, JsonValue]
    uses: tuple[UseView, ...]


def load_evidence(connection: Connection, tenant: str, evidence_id: str) -> EvidenceView:
    """By its id, or the first digits of it.

    Raises `NotFoundError`, also where several begin so, and `RecordError` where it is not what its id says.
    """
    found = find_evidence(connection, tenant, evidence_id)
    return evidence_view(found, uses_of(connection, tenant, found.id))


def evidence_view(found: Evidence, uses: Sequence[Use]) -> EvidenceView:
    return EvidenceView(
        id=found.id,
        kind=found.kind.value,
        source=found.source,
        time=None if found.time_us is None else to_iso(found.time_us),
        body=found.body,
        uses=tuple(
            UseView(
                use.incident_id, use.revision, use.tool, use.purpose, use.query, use.agent, to_iso(use.collected_us)
            )
            for use in uses
        ),
    )
