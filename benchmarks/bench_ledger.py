"""How fast decisions are recorded and verified, as ratios of floors measured in the same run.

Recording: `record_decisions` into SQLite in batches, against the bare driver inserting the same finished rows (entry
and span) in the same batches. Signing: `make_checkpoint` over a tenth of the entries at a time, against one SHA-256
over each new entry; the last one adds a single entry, so that what it costs is all chains. Verifying: `verify_file`
over the exported file with its checkpoints and a pinned key, in a process of its own, against one SHA-256 over each of
the file's lines. The floors' rows and bytes are those of the run itself.

Usage: ``python benchmarks/bench_ledger.py [--entries 100000] [--batch 500]``
"""

from __future__ import annotations

import argparse
import hashlib
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import select

from watchfloor_core.dsse import Signer
from watchfloor_core.ledger import (
    Decision,
    Trust,
    canonical,
    export_ledger,
    make_checkpoint,
    prove_decision,
    record_decisions,
    verify_file,
    verify_proof,
)
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.telemetry import SpanAttribute, SpanName

TENANT = "bench"
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(b"\x01" * 32))
TRUST = Trust({SIGNER.key_id: SIGNER.public_key})
CHECKPOINTS = 10
CHAIN_ENTRIES = 4
"""Entries per incident: correlate, verdict, ruling, closure."""


def decisions(count: int) -> Iterator[Decision]:
    """Verdicts as triage records them: five reasons, about 1.3 KB canonical."""
    for number in range(count):
        at = 1_700_000_000_000_000 + number * 1_000
        yield Decision(
            chain=f"inc-{number // CHAIN_ENTRIES:016x}",
            kind="verdict",
            body={
                "revision": number % CHAIN_ENTRIES,
                "verdict": "FalsePositive",
                "probability": 0.0123 + number / 10_000_000,
                "certainty": 1.0,
                "engine": "specialist",
                "version": "d" * 32,
                "evidence": [f"{number + step:032x}" for step in range(4)],
                "reasons": [
                    {
                        "code": f"rate_is_normal_{step}",
                        "text": f'the detector fires {number + step} times a day on host "web-{step}" (30 days: 1233)',
                        "log_odds": -1.25 - step / 8,
                        "rests_on_external": False,
                    }
                    for step in range(5)
                ],
            },
            name=SpanName.VERDICT,
            start_us=at,
            end_us=at + 750,
            attributes={SpanAttribute.VERDICT: "FalsePositive", SpanAttribute.PROBABILITY: 0.0123},
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """Seconds."""

    recording: float
    signing: float
    """All checkpoints but the last."""
    last: float
    """The checkpoint of one new entry."""
    proving: float
    """One decision, with the check of its proof."""


def record(folder: Path, count: int, batch: int) -> Recorded:
    url = f"sqlite:///{folder / 'ledger.db'}"
    migrate(url)
    store = open_store(url)
    prepared = list(decisions(count))
    recording = signing = 0.0
    step = max(1, (count - 1) // CHECKPOINTS)
    for first in range(0, count - 1, step):
        part = prepared[first : min(first + step, count - 1)]
        began = time.perf_counter()
        for start in range(0, len(part), batch):
            with store.write() as connection:
                record_decisions(connection, TENANT, part[start : start + batch])
        recording += time.perf_counter() - began
        signing += sign(store)
    with store.write() as connection:
        record_decisions(connection, TENANT, prepared[-1:])
    last = sign(store)
    proving = prove(store)
    with store.read() as connection:
        export_ledger(connection, TENANT, folder / "ledger.ndjson")
    store.close()
    return Recorded(recording, signing, last, proving)


def sign(store: Store) -> float:
    began = time.perf_counter()
    if make_checkpoint(store, TENANT, SIGNER) is None:
        raise RuntimeError("there was nothing to sign")
    return time.perf_counter() - began


def prove(store: Store) -> float:
    """One decision of the first checkpoint."""
    with store.read() as connection:
        decision_id = connection.execute(select(ledger_entry.c.id).limit(1)).scalar_one()
        began = time.perf_counter()
        verify_proof(prove_decision(connection, TENANT, decision_id), TRUST.keys)
        return time.perf_counter() - began


def insert_plainly(folder: Path, batch: int) -> float:
    """The floor: the rows of the finished store, inserted as they are by the bare driver."""
    target = folder / "floor.db"
    migrate(f"sqlite:///{target}")
    with closing(sqlite3.connect(folder / "ledger.db")) as source:
        tables = {name: source.execute(f"SELECT * FROM {name}").fetchall() for name in ("ledger_entry", "span")}  # noqa: S608
    connection = sqlite3.connect(target, isolation_level=None)
    connection.execute("PRAGMA synchronous = NORMAL")
    statements = {
        name: f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})"  # noqa: S608
        for name, rows in tables.items()
    }
    count = len(tables["span"])
    began = time.perf_counter()
    for start in range(0, count, batch):
        connection.execute("BEGIN IMMEDIATE")
        for name, rows in tables.items():
            connection.executemany(statements[name], rows[start : start + batch])
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took


def hash_plainly(path: Path) -> float:
    """The floor: reading the file and hashing each line."""
    began = time.perf_counter()
    with path.open("rb") as file:
        for line in file:
            hashlib.sha256(line).hexdigest()
    return time.perf_counter() - began


def peak_memory() -> float:
    """Peak resident memory of this process in MB (Linux; ``ru_maxrss`` would count the parent's as well)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def verify(path: Path) -> None:
    """Print how long verifying took, by the wall and by CPU, and by how much memory the process grew, in MB."""
    before = peak_memory()
    began, cpu_began = time.perf_counter(), time.process_time()
    report = verify_file(path, trust=TRUST)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu_began
    report.raise_for_fault()
    print(took, cpu, peak_memory() - before)


def canonicalise(sample: Sequence[Decision]) -> tuple[float, float]:
    """Seconds per body by ours and by the reference package."""
    bodies = [dict(decision.body) for decision in sample]
    began = time.perf_counter()
    for body in bodies:
        canonical(body)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    for body in bodies:
        rfc8785.dumps(body)
    reference = time.perf_counter() - began
    return ours / len(bodies), reference / len(bodies)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=500, help="decisions per transaction")
    parser.add_argument("--verify", type=Path, metavar="FILE", help="only verify this file and print the figures")
    arguments = parser.parse_args()
    if arguments.verify:
        verify(arguments.verify)
        return
    count = arguments.entries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recorded = record(folder, count, arguments.batch)
        inserted = insert_plainly(folder, arguments.batch)
        path = folder / "ledger.ndjson"
        size = path.stat().st_size
        hashed = hash_plainly(path)
        child = subprocess.run([sys.executable, __file__, "--verify", path], check=True, capture_output=True, text=True)
        verified, cpu, memory = map(float, child.stdout.split())
    took, chains = recorded.recording, -(-count // CHAIN_ENTRIES)
    ours, reference = canonicalise(list(decisions(2_000)))

    print(f"ledger, {count:,} entries of {size // count:,} bytes, {arguments.batch} a transaction, SQLite")
    print(f"  canonical JSON       {ours * 1e6:8.1f} µs a body     {reference / ours:6.2f} x the rate of rfc8785")
    print(f"  recorded             {count / took:8,.0f} entries/s  {inserted / took:6.2f} of plain inserts")
    signing = recorded.signing
    print(f"  signed               {count / signing:8,.0f} entries/s  {hashed / signing:6.2f} of plain SHA-256")
    print(f"  a checkpoint of one  {recorded.last * 1e3:8.1f} ms behind {chains:,} chains")
    print(f"  a proof              {recorded.proving * 1e3:8.1f} ms, made and checked")
    print(f"  verified             {count / verified:8,.0f} entries/s  {hashed / verified:6.2f} of plain SHA-256")
    million = 1_000_000 / count
    print(f"  a million entries    {verified * million:8.1f} s to verify at this rate ({cpu * million:.1f} s of CPU)")
    print(f"  memory of verifying  {memory:8.1f} MB")


if __name__ == "__main__":
    main()
