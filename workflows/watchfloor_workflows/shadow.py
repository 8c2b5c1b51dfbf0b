"""L0: the agent answers in shadow. Its answer is sealed before the person's and shown to no one until then.

The seal is a commitment in the ledger: SHA-256 over a random nonce and the answer's canonical JSON (RFC 8785). After
the person's verdict nonce and answer are entered, and anyone can check that neither was changed in between. The nonce
keeps the few possible answers from being guessed from the commitment.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.ledger.record import Decision
from watchfloor_core.store.schema import ledger_entry, shadow_answer
from watchfloor_core.telemetry.names import SpanAttribute, SpanName


@dataclass(frozen=True, slots=True)
class SealedAnswer:
    """One answer that waits for a person's."""

    revision: int
    commitment: str
    """64 hex digits."""
    nonce: bytes
    """16 bytes."""
    answer: Mapping[str, JsonValue]

    @property
    def holds(self) -> bool:
        """True where the answer is the one that was committed to."""
        return commitment(self.nonce, self.answer) == self.commitment


def commitment(nonce: bytes, answer: Mapping[str, JsonValue]) -> str:
    """SHA-256(nonce || RFC 8785 of the answer), 64 hex digits."""
    return hashlib.sha256(nonce + canonical(answer)).hexdigest()


def is_sealed(connection: Connection, tenant: str, incident_id: str, revision: int) -> bool:
    """True where an answer on this revision is there already, revealed or not."""
    return (
        connection.execute(
            select(shadow_answer.c.revision).where(
                shadow_answer.c.tenant == tenant,
                shadow_answer.c.incident_id == incident_id,
                shadow_answer.c.revision == revision,
            )
        ).first()
        is not None
    )


def seal(
    connection: Connection,
    tenant: str,
    incident_id: str,
    revision: int,
    answer: Mapping[str, JsonValue],
    *,
    start_us: int,
    end_us: int,
    parent_id: str | None,
) -> Decision:
    """Keep the answer under its commitment; the decision returned holds nothing that hints at it."""
    nonce = secrets.token_bytes(16)
    sealed = SealedAnswer(revision, commitment(nonce, answer), nonce, answer)
    connection.execute(
        insert(shadow_answer).values(
            tenant=tenant,
            incident_id=incident_id,
            revision=revision,
            commitment=sealed.commitment,
            nonce=nonce,
            answer=dict(answer),
        )
    )
    return Decision(
        chain=incident_id,
        kind="shadow_seal",
        body={"revision": revision, "commitment": sealed.commitment},
        name=SpanName.SHADOW_SEAL,
        start_us=start_us,
        end_us=end_us,
        parent_id=parent_id,
        attributes={SpanAttribute.TENANT: tenant, SpanAttribute.INCIDENT_REVISION: revision},
    )


def reveal(connection: Connection, tenant: str, incident_id: str, *, now: int, parent_id: str | None) -> list[Decision]:
    """Open every sealed answer of the incident: the person has spoken."""
    where = (
        shadow_answer.c.tenant == tenant,
        shadow_answer.c.incident_id == incident_id,
        shadow_answer.c.revealed_us.is_(None),
    )
    rows = connection.execute(
        select(shadow_answer.c.revision, shadow_answer.c.commitment, shadow_answer.c.nonce, shadow_answer.c.answer)
        .where(*where)
        .order_by(shadow_answer.c.revision)
    ).all()
    if not rows:
        return []
    connection.execute(update(shadow_answer).where(*where).values(revealed_us=now))
    return [
        Decision(
            chain=incident_id,
            kind="shadow_reveal",
            body={
                "revision": sealed.revision,
                "commitment": sealed.commitment,
                "nonce": sealed.nonce.hex(),
                "answer": sealed.answer,
                "holds": sealed.holds,
            },
            name=SpanName.SHADOW_REVEAL,
            start_us=now,
            end_us=now,
            parent_id=parent_id,
            attributes={SpanAttribute.TENANT: tenant, SpanAttribute.INCIDENT_REVISION: sealed.revision},
        )
        for sealed in (SealedAnswer(row.revision, row.commitment, row.nonce, row.answer) for row in rows)
    ]


def answer_was_visible(connection: Connection, tenant: str, incident_id: str) -> bool:
    """True where a person who looked could have seen what an agent thinks: a verdict, or a seal that was opened."""
    return (
        connection.execute(
            select(ledger_entry.c.seq)
            .where(
                ledger_entry.c.tenant == tenant,
                ledger_entry.c.chain == incident_id,
                ledger_entry.c.kind.in_(("verdict", "shadow_reveal")),
            )
            .limit(1)
        ).first()
        is not None
    )
