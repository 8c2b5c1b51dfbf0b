"""A tenant's ledger as one file that can be verified with nothing else at hand.

UTF-8 lines, each canonical JSON, in this order::

    {"ledger":{"chain":null,"format":2,"tenant":"default"}}            whose it is; one chain's name where cut to one
    {"entry":{…},"hash":"…"}                                           entries by (chain, seq)
    {"head":{"chain":"…","hash":"…","seq":4}}                          how each chain ends, by chain
    {"checkpoint":{"envelope":{…},"key":"…"}}                          signed statements, by number
    {"reached":[["control",7],["inc-…",4]]}                            the chains that the checkpoint found longer
    {"end":{"chain":null,"chains":…,"checkpoints":…,"entries":…,"root":"…","tenant":"…"}}

Format 1 has no checkpoints, neither the lines nor their number at the end. An export of one chain has none either: a
checkpoint is over the entries of all chains. A proof of inclusion (`watchfloor_core.ledger.proof`) serves there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final, TypeAlias

import orjson
from sqlalchemy import Connection, Row, select

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_core.ledger.checkpoint_store import Reach, in_code_points, read_checkpoints, read_reaches
from watchfloor_core.ledger.heads import Head
from watchfloor_core.ledger.merkle import root_of
from watchfloor_core.store.schema import ledger_entry, ledger_head

FORMAT: Final = 2
ENTRY_START: Final = b'{"entry":'
ENTRY_MIDDLE: Final = b',"hash":"'
ENTRY_END: Final = b'"}\n'
REACHES: Final = 1_000
"""Chains in one line, so that no line grows with the ledger; only a checkpoint's last such line has fewer."""
_ROWS: Final = 2_000
"""Rows that are held at once."""

LedgerRow: TypeAlias = Row[str, int, str, str, int, str, str]


@dataclass(frozen=True, slots=True)
class LedgerExport:
    """What was written."""

    entries: int
    chains: int
    checkpoints: int
    root: str
    """Keep it elsewhere: `verify_file` can hold a file against it."""


def export_ledger(connection: Connection, tenant: str, path: Path, chain: str | None = None) -> LedgerExport:
    """Write the tenant's ledger, or one chain of it, to ``path`` (mode 0600), which appears only when it is complete.

    Take the connection from `Store.read`: the file then is the ledger of one moment. Entries are written as they
    are kept and the ends of chains as ``ledger_head`` has them, so that a tampered store yields a file that fails.
    Raises `NotFoundError` for a chain without entries and `ConfigurationError` where the file cannot be written.
    """
    heads = read_heads(connection, tenant, chain)
    if chain is not None and not heads:
        raise NotFoundError(f"tenant {tenant!r} has no ledger chain {chain!r}; give an incident's id or 'ingest'")
    root = root_of(tenant, heads)
    entries = checkpoints = 0
    with _replacing(path) as file:
        file.write(header_line(tenant, chain))
        for row in stream_entries(connection, tenant, chain):
            file.write(entry_line(row.body.encode(), row.hash))
            entries += 1
        for name, head in heads.items():
            file.write(head_line(name, head))
        for signed in read_checkpoints(connection, tenant) if chain is None else ():
            file.write(checkpoint_line(signed.envelope, signed.public_key))
            for line in reached_lines(read_reaches(connection, tenant, signed.number)):
                file.write(line)
            checkpoints += 1
        totals = Totals(sum(head.seq for head in heads.values()), len(heads), checkpoints, root)
        file.write(end_line(tenant, chain, totals))
    return LedgerExport(entries, len(heads), checkpoints, root)


@dataclass(frozen=True, slots=True)
class Totals:
    """What an export says of itself at its end."""

    entries: int
    chains: int
    checkpoints: int
    root: str


def header_line(tenant: str, chain: str | None, format_: int = FORMAT) -> bytes:
    return canonical({"ledger": {"format": format_, "tenant": tenant, "chain": chain}}) + b"\n"


def entry_line(data: bytes, hash_: str) -> bytes:
    return ENTRY_START + data + ENTRY_MIDDLE + hash_.encode() + ENTRY_END


def head_line(chain: str, head: Head) -> bytes:
    return canonical({"head": {"chain": chain, "seq": head.seq, "hash": head.hash}}) + b"\n"


def checkpoint_line(envelope: str, public_key: str) -> bytes:
    """The envelope stands in it as the JSON object that it is. What is no JSON (a tampered store) goes as text."""
    try:
        content: JsonValue = orjson.loads(envelope)
        return canonical({"checkpoint": {"envelope": content, "key": public_key}}) + b"\n"
    except ValueError:
        return canonical({"checkpoint": {"envelope": envelope, "key": public_key}}) + b"\n"


def reached_lines(reaches: Sequence[Reach]) -> Iterator[bytes]:
    for start in range(0, len(reaches), REACHES):
        yield canonical({"reached": [[chain, seq] for chain, seq in reaches[start : start + REACHES]]}) + b"\n"


def end_line(tenant: str, chain: str | None, totals: Totals, format_: int = FORMAT) -> bytes:
    content: dict[str, JsonValue] = {
        "tenant": tenant,
        "chain": chain,
        "entries": totals.entries,
        "chains": totals.chains,
        "root": totals.root,
    }
    if format_ >= FORMAT:
        content["checkpoints"] = totals.checkpoints
    return canonical({"end": content}) + b"\n"


def read_heads(connection: Connection, tenant: str, chain: str | None = None) -> dict[str, Head]:
    """The ends of the tenant's chains, in the order of their names."""
    statement = select(ledger_head.c.chain, ledger_head.c.seq, ledger_head.c.hash).where(ledger_head.c.tenant == tenant)
    if chain is not None:
        statement = statement.where(ledger_head.c.chain == chain)
    return {name: Head(seq, hash_) for name, seq, hash_ in sorted(tuple(row) for row in connection.execute(statement))}


def stream_entries(connection: Connection, tenant: str, chain: str | None = None) -> Iterator[LedgerRow]:
    """Rows (chain, seq, id, kind, at_us, body, hash) by (chain, seq), of which few are held at once."""
    table = ledger_entry.c
    statement = (
        select(table.chain, table.seq, table.id, table.kind, table.at_us, table.body, table.hash)
        .where(table.tenant == tenant)
        .order_by(in_code_points(connection, table.chain), table.seq)
    )
    if chain is not None:
        statement = statement.where(table.chain == chain)
    with connection.execute(statement, execution_options={"yield_per": _ROWS}) as rows:
        yield from rows


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of ``path`` when the block ends well, and leaves no trace when it does not."""
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink()
                raise
    except OSError as error:
        raise ConfigurationError(
            f"the ledger cannot be written to {str(path)!r} ({error.strerror}); name a file in a folder of yours"
        ) from error
