"""How fast decisions are recorded and verified, as ratios of floors measured in the same run.

Recording: `record_decisions` into SQLite in batches, against the bare driver inserting the same finished rows (entry and
span) in the same batches. Verifying: `verify_file` over the exported file, against one SHA-256 over each of its lines.

Usage: ``python benchmarks/bench_ledger.py [--entries 100000] [--batch 500]``
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import batched
from pathlib import Path

import rfc8785

from watchfloor_core.ledger import Decision, canonical, export_ledger, record_decisions, verify_file
from watchfloor_core.store.engine import open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.telemetry import SpanAttribute, SpanName

TENANT = "bench"
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


def record(folder: Path, count: int, batch: int) -> float:
    url = f"sqlite:///{folder / 'ledger.db'}"
    migrate(url)
    store = open_store(url)
    prepared = list(decisions(count))
    began = time.perf_counter()
    for part in chunks(prepared, batch):
        with store.write() as connection:
            record_decisions(connection, TENANT, part)
    took = time.perf_counter() - began
    with store.read() as connection:
        export_ledger(connection, TENANT, folder / "ledger.ndjson")
    store.close()
    return took
