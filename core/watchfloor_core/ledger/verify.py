"""Verification: of an exported file with nothing but the file, and of the store in place."""

from __future__ import annotations

from pathlib import Path

import orjson
from sqlalchemy import Connection

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.ledger.chain import LedgerCheck
from watchfloor_core.ledger.checkpoint_check import NOTHING_KNOWN, CheckpointCheck, Trust
from watchfloor_core.ledger.checkpoint_store import read_checkpoints, read_reaches
from watchfloor_core.ledger.export import LedgerRow, read_heads, stream_entries
from watchfloor_core.ledger.fault import Fault, FaultKind, VerifyReport
from watchfloor_core.ledger.file_check import FileCheck


def verify_file(path: Path, root: str | None = None, trust: Trust = NOTHING_KNOWN) -> VerifyReport:
    """Verify an exported ledger offline and name the first thing that is wrong.

    Found are an edited, deleted, inserted, moved or repeated entry, a missing end of a chain, a missing chain, a
    missing end of the file, an id used twice, an entry of another tenant, any line that is not exactly as an export
    writes it, and entries or checkpoints that are not those that were signed.

    A file whose every hash was computed anew is whole in itself. With the keys of ``trust`` such a change is found in
    everything that a checkpoint covers, with its witness also a ledger that was cut back to an earlier checkpoint. A
    ``root`` that was kept elsewhere does the same for one moment.

    Raises `ConfigurationError` where the file or the witness cannot be read.
    """
    try:
        with path.open("rb") as file:
            return FileCheck(file, trust).run(root)
    except OSError as error:
        raise ConfigurationError(
            f"the ledger file {str(path)!r} cannot be read ({error.strerror}); name a file that 'ledger export' wrote"
        ) from error


def verify_store(connection: Connection, tenant: str, trust: Trust = NOTHING_KNOWN) -> VerifyReport:
    """Verify the tenant's ledger where it is kept: entries, the columns beside them, the ends of the chains, and the
    checkpoints."""
    check = LedgerCheck(tenant)
    for row in stream_entries(connection, tenant):
        fault = check.add(row.body.encode(), row.hash) or _differing_column(row)
        if fault is not None:
            return check.report(fault)
    fault = check.compare_heads((None, chain, head) for chain, head in read_heads(connection, tenant).items())
    if fault is not None:
        return check.report(fault)
    checkpoints = CheckpointCheck(check, trust)
    for number, signed in enumerate(read_checkpoints(connection, tenant), start=1):
        reaches = read_reaches(connection, tenant, signed.number)
        fault = checkpoints.add(signed.envelope, signed.public_key, reaches)
        if fault is None and signed.number != number:
            fault = Fault(FaultKind.COLUMN, f"number {number} as in the checkpoint", f"{signed.number} in the column")
        if fault is not None:
            return check.report(fault, checkpoints.coverage())
    return check.report(checkpoints.finish(), checkpoints.coverage())


def _differing_column(row: LedgerRow) -> Fault | None:
    """Queries go by the columns, so they must say what the entry says."""
    entry = orjson.loads(row.body)
    columns = {"chain": row.chain, "seq": row.seq, "id": row.id, "kind": row.kind, "at": row.at_us}
    for name, value in columns.items():
        if entry[name] != value:
            expected, found = f"{name} {entry[name]!r} as in the entry", f"{value!r} in the column"
            return Fault(FaultKind.COLUMN, expected, found, None, row.chain, row.seq, row.id)
    return None
