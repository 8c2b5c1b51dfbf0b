"""Checkpoints where they are kept: making the next one, and reading those that are there.

A checkpoint is computed from one read-only snapshot, so that nobody who records a decision waits for it, and written
afterwards in one transaction. Two makers may compute the same number; the primary key lets the first one write it, and
the other has made none. The snapshot of a number sees its predecessor, so checkpoints only ever grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import orjson
from sqlalchemy import ColumnElement, Connection, ScalarSelect, collate, func, insert, select, text

from watchfloor_core.clock import now_us
from watchfloor_core.dsse import Signer
from watchfloor_core.errors import LedgerError, RefusedError
from watchfloor_core.ledger.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint, sign_checkpoint
from watchfloor_core.ledger.entry import GENESIS, entry_hash
from watchfloor_core.ledger.heads import Head
from watchfloor_core.ledger.merkle import root_of, tree_root
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry, ledger_head
from watchfloor_core.store.schema_authority import ledger_checkpoint, ledger_checkpoint_chain

Reach: TypeAlias = tuple[str, int]
"""A chain, and its last entry at a checkpoint that found it longer than the one before."""

_ROWS: Final = 2_000
"""Rows that are held at once."""
_TAKE_NUMBER: Final = text(
    "INSERT INTO ledger_checkpoint (tenant, number, at_us, root, envelope, public_key) "
    "VALUES (:tenant, :number, :at_us, :root, :envelope, :public_key) ON CONFLICT DO NOTHING"
)


def make_checkpoint(store: Store, tenant: str, signer: Signer) -> Checkpoint | None:
    """Sign and keep what the tenant's ledger is now; None where nothing came since the last one, or another was first.

    What is signed was looked at: each new entry has its hash and follows the one before it, chains only grew, and
    the sums are those of the last checkpoint. Raises `LedgerError` where that is not so, and `UnavailableError` where
    the store is not there.
    """
    at_us = now_us()
    with store.read() as connection:
        last = last_checkpoint(connection, tenant)
        next_one = _next(connection, tenant, last, at_us)
    if next_one is None:
        return None
    checkpoint, reaches = next_one
    signed = sign_checkpoint(checkpoint, signer)
    row = {
        "tenant": tenant,
        "number": checkpoint.number,
        "at_us": checkpoint.at_us,
        "root": checkpoint.root,
        "envelope": signed.envelope,
        "public_key": signed.public_key,
    }
    with store.write() as connection:
        if connection.execute(_TAKE_NUMBER, row).rowcount != 1:
            return None
        connection.execute(
            insert(ledger_checkpoint_chain),
            [{"tenant": tenant, "chain": chain, "seq": seq, "number": checkpoint.number} for chain, seq in reaches],
        )
    return checkpoint


def last_checkpoint(connection: Connection, tenant: str) -> Checkpoint | None:
    """Raises `LedgerError` where the newest row is no signed checkpoint of this number."""
    table = ledger_checkpoint.c
    row = connection.execute(
        select(table.number, table.envelope, table.public_key)
        .where(table.tenant == tenant)
        .order_by(table.number.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    try:
        checkpoint, _ = open_checkpoint(row.envelope, row.public_key)
    except RefusedError as error:
        raise LedgerError(f"checkpoint {row.number} of tenant {tenant!r} was changed in the store: {error}") from error
    if (checkpoint.tenant, checkpoint.number) != (tenant, row.number):
        raise LedgerError(
            f"the store has checkpoint {checkpoint.number} of tenant {checkpoint.tenant!r} as number {row.number} of "
            f"tenant {tenant!r}"
        )
    return checkpoint


def read_checkpoints(connection: Connection, tenant: str, after: int = 0) -> Iterator[SignedCheckpoint]:
    """The checkpoints with numbers beyond ``after``, in their order."""
    table = ledger_checkpoint.c
    statement = (
        select(table.number, table.envelope, table.public_key)
        .where(table.tenant == tenant, table.number > after)
        .order_by(table.number)
    )
    with connection.execute(statement, execution_options={"yield_per": _ROWS}) as rows:
        for row in rows:
            yield SignedCheckpoint(*row)


def read_reaches(connection: Connection, tenant: str, number: int) -> list[Reach]:
    """The chains that checkpoint ``number`` found longer, in the order of their names."""
    table = ledger_checkpoint_chain.c
    rows = connection.execute(select(table.chain, table.seq).where(table.tenant == tenant, table.number == number))
    return sorted((chain, seq) for chain, seq in rows)


def ledger_tenants(connection: Connection) -> list[str]:
    """All tenants of whom anything was ever decided."""
    return sorted(connection.execute(select(ledger_head.c.tenant).distinct()).scalars())


def _next(
    connection: Connection, tenant: str, last: Checkpoint | None, at_us: int
) -> tuple[Checkpoint, list[Reach]] | None:
    """What the next checkpoint would state, and the chains that grew."""
    covered = 0 if last is None else last.entries
    total = connection.scalar(select(func.sum(ledger_head.c.seq)).where(ledger_head.c.tenant == tenant)) or 0
    if total == covered:
        return None
    if total < covered:
        raise LedgerError(f"tenant {tenant!r} has {total} entries, its last checkpoint {covered}: entries are missing")
    heads, before = _read_chains(connection, tenant)
    if sum(before.values()) != covered:
        raise LedgerError(
            f"tenant {tenant!r}: the chains had {sum(before.values())} entries at its last checkpoint, which states "
            f"{covered}: a chain or a mark of the checkpoint is missing"
        )
    hashes = list(_new_entries(connection, tenant, heads, before))
    checkpoint = Checkpoint(
        tenant=tenant,
        number=1 if last is None else last.number + 1,
        # The clock may be set back; the order of checkpoints may not.
        at_us=at_us if last is None else max(at_us, last.at_us),
        entries=total,
        chains=len(heads),
        root=root_of(tenant, heads),
        added=len(hashes),
        tree=tree_root(hashes).hex(),
        prev=GENESIS if last is None else last.digest,
    )
    if not checkpoint.follows(last):
        raise LedgerError(f"tenant {tenant!r}: its ledger does not continue its last checkpoint")
    return checkpoint, [(chain, head.seq) for chain, head in heads.items() if head.seq > before[chain]]


def _read_chains(connection: Connection, tenant: str) -> tuple[dict[str, Head], dict[str, int]]:
    """The heads in the order of the chains, and the seq of each at the last checkpoint (0: it was not there)."""
    statement = select(ledger_head.c.chain, ledger_head.c.seq, ledger_head.c.hash, _covered()).where(
        ledger_head.c.tenant == tenant, ledger_head.c.seq > 0
    )
    rows = sorted(tuple(row) for row in connection.execute(statement))
    return (
        {chain: Head(seq, hash_) for chain, seq, hash_, _ in rows},
        {chain: before for chain, _, _, before in rows},
    )


def _new_entries(
    connection: Connection, tenant: str, heads: dict[str, Head], before: dict[str, int]
) -> Iterator[bytes]:
    """The hashes of the entries since the last checkpoint, by (chain, seq). Raises `LedgerError` at a bad one."""
    statement = (
        select(ledger_entry.c.chain, ledger_entry.c.seq, ledger_entry.c.hash, ledger_entry.c.body)
        .join(
            ledger_head, (ledger_head.c.tenant == ledger_entry.c.tenant) & (ledger_head.c.chain == ledger_entry.c.chain)
        )
        # The last one that is covered comes along: the first new one must follow it.
        .where(ledger_head.c.tenant == tenant, ledger_head.c.seq > _covered(), ledger_entry.c.seq >= _covered())
        .order_by(in_code_points(connection, ledger_head.c.chain), ledger_entry.c.seq)
    )
    at, end = "", Head(0, GENESIS)
    with connection.execute(statement, execution_options={"yield_per": _ROWS}) as rows:
        for chain, seq, hash_, body in rows:
            if chain != at:
                _must_end_as_stated(at, end, heads)
                at, end = chain, Head(0, GENESIS)
                if seq == before[chain]:
                    end = Head(seq, hash_)
                    continue
            data = body.encode()
            if (seq, orjson.loads(data)["prev"], entry_hash(data)) != (end.seq + 1, end.hash, hash_):
                raise LedgerError(f"entry {seq} of chain {chain!r} was changed, or one before it; it is not signed")
            end = Head(seq, hash_)
            yield bytes.fromhex(hash_)
    _must_end_as_stated(at, end, heads)


def _must_end_as_stated(chain: str, end: Head, heads: dict[str, Head]) -> None:
    if chain and heads[chain] != end:
        raise LedgerError(f"chain {chain!r} ends with entry {end.seq}, not as its head says; it is not signed")


def _covered() -> ScalarSelect[int]:
    """How far the chain of a row of ``ledger_head`` had come at the last checkpoint."""
    table = ledger_checkpoint_chain.c
    return (
        select(func.coalesce(func.max(table.seq), 0))
        .where(table.tenant == ledger_head.c.tenant, table.chain == ledger_head.c.chain)
        .correlate(ledger_head)
        .scalar_subquery()
    )


def in_code_points(connection: Connection, column: ColumnElement[str]) -> ColumnElement[str]:
    """To order by code points, whatever the database's own collation is."""
    return column if connection.dialect.name == "sqlite" else collate(column, "C")
