"""Cuts a file or a request body into records: CSV, NDJSON or JSON, each plain, gzip or zstd."""

from watchfloor_connectors.framing.reading import (
    MAX_RECORD_BYTES,
    Format,
    Framed,
    read_bytes,
    read_file,
    read_record,
)
from watchfloor_connectors.raw import MAX_RAW_BYTES, RawRecord

__all__ = [
    "MAX_RAW_BYTES",
    "MAX_RECORD_BYTES",
    "Format",
    "Framed",
    "RawRecord",
    "read_bytes",
    "read_file",
    "read_record",
]
