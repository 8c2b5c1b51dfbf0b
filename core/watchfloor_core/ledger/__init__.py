"""The tamper-evident record of every decision: a hash chain per incident under signed checkpoints, verified offline."""

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.ledger.checkpoint import Checkpoint, SignedCheckpoint, open_checkpoint, sign_checkpoint
from watchfloor_core.ledger.checkpoint_check import Trust
from watchfloor_core.ledger.checkpoint_store import (
    last_checkpoint,
    ledger_tenants,
    make_checkpoint,
    read_checkpoints,
)
from watchfloor_core.ledger.entry import GENESIS, Kind, entry_hash, new_id, trace_id
from watchfloor_core.ledger.export import LedgerExport, export_ledger
from watchfloor_core.ledger.fault import Coverage, Fault, FaultKind, VerifyReport
from watchfloor_core.ledger.proof import Proven, prove_decision, verify_proof
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.ledger.verify import verify_file, verify_store
from watchfloor_core.ledger.witness import Witness

__all__ = [
    "GENESIS",
    "Checkpoint",
    "Coverage",
    "Decision",
    "Fault",
    "FaultKind",
    "JsonValue",
    "Kind",
    "LedgerExport",
    "Proven",
    "SignedCheckpoint",
    "Trust",
    "VerifyReport",
    "Witness",
    "canonical",
    "entry_hash",
    "export_ledger",
    "last_checkpoint",
    "ledger_tenants",
    "make_checkpoint",
    "new_id",
    "open_checkpoint",
    "prove_decision",
    "read_checkpoints",
    "record_decisions",
    "sign_checkpoint",
    "trace_id",
    "verify_file",
    "verify_proof",
    "verify_store",
]
