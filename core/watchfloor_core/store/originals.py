"""The original bytes of every record, as they came in."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import zstandard
from sqlalchemy import Connection, select

from watchfloor_core.errors import NotFoundError
from watchfloor_core.store.schema import batch, batch_raw


@dataclass(frozen=True, slots=True)
class Originals:
    """The records of one batch, packed."""

    data: bytes
    """zstd of the concatenated records."""
    lengths: bytes
    """zstd of little-endian uint32 lengths, one a record."""
    sha256: bytes
    """Of the concatenated records."""


def pack(records: Sequence[bytes]) -> Originals:
    """Pack records in order."""
    joined = b"".join(records)
    lengths = struct.pack(f"<{len(records)}I", *map(len, records))
    return Originals(compress(joined), compress(lengths), sha256(joined).digest())


def compress(data: bytes) -> bytes:
    """zstd; the frame carries the size, so `expand` needs no limit from elsewhere."""
    return zstandard.compress(data, 3)


def expand(data: bytes) -> bytes:
    """What `compress` was given."""
    return zstandard.decompress(data)


def load_raw(connection: Connection, tenant: str, batch_id: int, position: int) -> bytes:
    """The original bytes of one record, by its position in the source.

    Raises `NotFoundError` where the batch does not hold it or retention has deleted the bytes.
    """
    row = connection.execute(
        select(batch.c.first_position, batch_raw.c.data, batch_raw.c.lengths)
        .join(batch_raw, batch_raw.c.batch_id == batch.c.id)
        .where(batch.c.tenant == tenant, batch.c.id == batch_id)
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"the original bytes of batch {batch_id} are not kept (retention_raw_days) or never were")
    packed = expand(row.lengths)
    lengths = struct.unpack(f"<{len(packed) // 4}I", packed)
    index = position - row.first_position
    if not 0 <= index < len(lengths):
        last = row.first_position + len(lengths) - 1
        raise NotFoundError(f"batch {batch_id} holds positions {row.first_position} to {last}, not {position}")
    start = sum(lengths[:index])
    return expand(row.data)[start : start + lengths[index]]
