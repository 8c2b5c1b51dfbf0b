"""The end of each chain, and the lock under which a chain grows.

SQLite has one writer at a time, so a read inside the write transaction is enough. On PostgreSQL an append first makes
sure that each chain has its row in ``ledger_head`` and then locks these rows. Both statements take the chains in one
order, so appenders cannot deadlock. One that appends to a single chain locks its row at once and makes it only where
there is none: of one lock there is no order. Row locks, unlike advisory locks, do not fill the server's lock table when
one transaction touches thousands of chains. Whatever happens, the primary key (tenant, chain, seq) lets no chain fork.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from sqlalchemy import ARRAY, BigInteger, Connection, Text, bindparam, text
from sqlalchemy.sql.elements import TextClause

from watchfloor_core.ledger.entry import GENESIS
from watchfloor_core.store.pipelining import UNAWAITED


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a chain."""

    seq: int
    """Equals the number of entries; 0 for a chain without any."""
    hash: str


EMPTY: Final = Head(0, GENESIS)


def _with_arrays(statement: str, *names: str, **kinds: type[Text] | type[BigInteger]) -> TextClause:
    return text(statement).bindparams(
        *(bindparam(name, type_=ARRAY(Text)) for name in names),
        *(bindparam(name, type_=ARRAY(kind)) for name, kind in kinds.items()),
    )


_SQLITE_READ: Final = text(
    "SELECT chain, seq, hash FROM ledger_head "
    "WHERE tenant = :tenant AND chain IN (SELECT value FROM json_each(:chains))"
)
_SQLITE_WRITE: Final = text(
    "INSERT INTO ledger_head (tenant, chain, seq, hash) VALUES (:tenant, :chain, :seq, :hash) "
    "ON CONFLICT (tenant, chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash"
).execution_options(**UNAWAITED)
_POSTGRESQL_CREATE: Final = _with_arrays(
    "INSERT INTO ledger_head (tenant, chain, seq, hash) "
    "SELECT :tenant, chain, 0, :genesis FROM unnest(:chains) AS given (chain) ON CONFLICT DO NOTHING",
    "chains",
).execution_options(**UNAWAITED)
_POSTGRESQL_LOCK: Final = _with_arrays(
    "SELECT chain, seq, hash FROM ledger_head WHERE tenant = :tenant AND chain = ANY(:chains) "
    'ORDER BY chain COLLATE "C" FOR UPDATE',
    "chains",
)
_POSTGRESQL_WRITE: Final = _with_arrays(
    "UPDATE ledger_head SET seq = given.seq, hash = given.hash "
    "FROM unnest(:chains, :seqs, :hashes) AS given (chain, seq, hash) "
    "WHERE ledger_head.tenant = :tenant AND ledger_head.chain = given.chain",
    "chains",
    "hashes",
    seqs=BigInteger,
).execution_options(**UNAWAITED)


def lock_heads(connection: Connection, tenant: str, chains: Collection[str]) -> dict[str, Head]:
    """The heads of these chains, `EMPTY` for new ones, which no other transaction can move before this one ends."""
    ordered = sorted(chains)
    if connection.dialect.name == "sqlite":
        rows = connection.execute(_SQLITE_READ, {"tenant": tenant, "chains": orjson.dumps(ordered).decode()}).all()
    else:
        asked = {"tenant": tenant, "chains": ordered}
        rows = connection.execute(_POSTGRESQL_LOCK, asked).all() if len(ordered) == 1 else []
        if not rows:
            connection.execute(_POSTGRESQL_CREATE, {**asked, "genesis": GENESIS})
            rows = connection.execute(_POSTGRESQL_LOCK, asked).all()
    found = {chain: Head(seq, hash_) for chain, seq, hash_ in rows}
    return {chain: found.get(chain, EMPTY) for chain in ordered}


def write_heads(connection: Connection, tenant: str, heads: Mapping[str, Head]) -> None:
    """Move heads that this transaction has locked."""
    if connection.dialect.name == "sqlite":
        rows = [{"tenant": tenant, "chain": chain, "seq": head.seq, "hash": head.hash} for chain, head in heads.items()]
        connection.execute(_SQLITE_WRITE, rows)
    else:
        connection.execute(
            _POSTGRESQL_WRITE,
            {
                "tenant": tenant,
                "chains": list(heads),
                "seqs": [head.seq for head in heads.values()],
                "hashes": [head.hash for head in heads.values()],
            },
        )
