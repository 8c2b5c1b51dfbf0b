"""What the store knows about policies: who may sign one, and which versions were put in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from watchfloor_core.store.schema_authority import approver_key, policy_version
from watchfloor_guardrails.assertion import ApproverKey, KeyKind


@dataclass(frozen=True, slots=True)
class ActivatedPolicy:
    """One version that was put in force here."""

    version: int
    digest: str
    """Over what it says."""
    author: str
    envelope: str
    """Its ``signature.json``."""
    activated_by: str
    activated_us: int


def read_key(connection: Connection, key_id: str) -> ApproverKey | None:
    """A person's key by its id, revoked or not; None for one that is unknown, or of a kind that is."""
    key = approver_key.c
    row = connection.execute(
        select(key.principal, key.kind, key.public_key, key.credential_id, key.created_us, key.revoked_us).where(
            key.id == key_id
        )
    ).one_or_none()
    if row is None or row.kind not in tuple(KeyKind):
        return None
    return ApproverKey(
        key_id,
        row.principal,
        KeyKind(row.kind),
        bytes(row.public_key),
        None if row.credential_id is None else bytes(row.credential_id),
        row.created_us,
        row.revoked_us,
    )


def last_activated(connection: Connection) -> ActivatedPolicy | None:
    """The newest version; None where no signed policy was ever in force."""
    found = activated_policies(connection, limit=1)
    return found[0] if found else None


def activated_policies(connection: Connection, *, limit: int) -> Sequence[ActivatedPolicy]:
    """The newest first."""
    row = policy_version.c
    rows = connection.execute(
        select(row.version, row.digest, row.author, row.envelope, row.activated_by, row.activated_us)
        .order_by(row.version.desc())
        .limit(limit)
    )
    return [ActivatedPolicy(*found) for found in rows]


def keep_activated(connection: Connection, policy: ActivatedPolicy, files: Mapping[str, str]) -> None:
    """Keep a version with the text of its files."""
    connection.execute(
        insert(policy_version).values(
            version=policy.version,
            digest=policy.digest,
            author=policy.author,
            envelope=policy.envelope,
            files=dict(files),
            activated_by=policy.activated_by,
            activated_us=policy.activated_us,
        )
    )
