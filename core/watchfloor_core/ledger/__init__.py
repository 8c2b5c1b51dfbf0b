"""The tamper-evident record of every decision: a hash chain per incident, exported and verified offline."""

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.ledger.entry import GENESIS, Kind, entry_hash, new_id, trace_id
from watchfloor_core.ledger.export import LedgerExport, export_ledger
from watchfloor_core.ledger.fault import Fault, FaultKind, VerifyReport
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.ledger.verify import verify_file, verify_store

__all__ = [
    "GENESIS",
    "Decision",
    "Fault",
    "FaultKind",
    "JsonValue",
    "Kind",
    "LedgerExport",
    "VerifyReport",
    "canonical",
    "entry_hash",
    "export_ledger",
    "new_id",
    "record_decisions",
    "trace_id",
    "verify_file",
    "verify_store",
]
