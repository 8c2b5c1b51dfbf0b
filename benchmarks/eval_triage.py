"""Joins the labels to what `watchfloor run` wrote and prints how well triage did. The run itself never sees a label.

Usage::

    python benchmarks/eval_triage.py LABELLED.csv.gz OUT [LABELLED.csv.gz OUT …]

LABELLED has the columns of the AIT Alert Data Set (``time``, ``time_label``, ``event_label``); OUT holds ``alerts.csv``
and ``incidents.ndjson``. A benign alert is one whose time label is ``false_positive`` and whose event label is ``-``:
some alerts outside the labelled attack windows are the attacker's by their event label.

A phase is *visible* where at least one alert with its time label is in an incident that is open or escalated. The time
label is all that happened in a phase, so this counts routine alerts that are kept with an attack as context; the table
cannot know what an analyst would have seen in them. An event label names the alerts of the attacker's own lines; the
second column counts only those.
"""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

DAY_S = 86_400


@dataclass(frozen=True)
class Labelled:
    time: float
    phase: str | None
    is_benign: bool
    is_attackers: bool


@dataclass(frozen=True)
class Decided:
    incident_id: str
    probability: float | None
    closed_by: str


def read_labels(path: Path) -> list[Labelled]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", newline="", encoding="utf-8") as file:
        return [
            Labelled(
                float(row["time"]),
                None if row["time_label"] == "false_positive" else row["time_label"],
                row["time_label"] == "false_positive" and row["event_label"] == "-",
                row["event_label"] != "-",
            )
            for row in csv.DictReader(file)
        ]


def read_decisions(path: Path) -> dict[int, Decided]:
    with path.open(newline="", encoding="utf-8") as file:
        return {
            int(row["row"]): Decided(
                row["incident_id"], float(row["probability"]) if row["probability"] else None, row["closed_by"]
            )
            for row in csv.DictReader(file)
        }


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()


def evaluate(labels_path: Path, out: Path) -> None:
    labels = read_labels(labels_path)
    decisions = read_decisions(out / "alerts.csv")
    incidents = {
        record["incident_id"]: record
        for record in map(json.loads, (out / "incidents.ndjson").read_text(encoding="utf-8").splitlines())
    }
    missing = len(labels) - len(decisions)
    benign = [row for row, label in enumerate(labels, 1) if label.is_benign]
    closed = [row for row in benign if row in decisions and decisions[row].closed_by in ("agent", "rule")]
    days = (max(label.time for label in labels) - min(label.time for label in labels)) / DAY_S
    escalated = [found for found in incidents.values() if found["status"] == "escalated"]
    waiting = [found for found in incidents.values() if found["status"] in ("new", "queued")]
    print(f"\n{labels_path.name}: {len(labels):,} alerts, {days:.1f} days, {len(incidents):,} incidents")
    print(f"  rows without a decision line             {missing:,}")
    print(f"  benign alerts closed without a person    {len(closed) / len(benign):.2%} of {len(benign):,}")
    print(f"  escalated incidents a day                {len(escalated) / days:.2f} ({len(escalated)})")
    print(f"  further incidents that wait, a day       {len(waiting) / days:.2f} ({len(waiting)})")
    handled = len(escalated) + len(waiting)
    print(f"  alerts per incident that a person sees   {len(labels) / max(1, handled):,.0f}")
    print_phases(labels, decisions)
    print_calibration(labels, decisions)


def print_phases(labels: list[Labelled], decisions: dict[int, Decided]) -> None:
    total: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    seen_own: Counter[str] = Counter()
    for row, label in enumerate(labels, 1):
        if label.phase is None:
            continue
        total[label.phase] += 1
        decided = decisions.get(row)
        if decided is not None and decided.incident_id and not decided.closed_by:
            seen[label.phase] += 1
            seen_own[label.phase] += label.is_attackers
    print(f"  attack phases visible                    {len(seen)} of {len(total)}")
    for phase in sorted(total):
        mark = " " if seen[phase] else "✗"
        print(
            f"    {mark} {phase:22} {seen[phase]:6,} of {total[phase]:6,} alerts open or escalated,"
            f" {seen_own[phase]:6,} of them the attacker's own lines"
        )


def print_calibration(labels: list[Labelled], decisions: dict[int, Decided]) -> None:
    """Per incident: the share that holds at least one attack alert, by band of the stated probability."""
    attack: dict[str, bool] = defaultdict(bool)
    probability: dict[str, float] = {}
    for row, decided in decisions.items():
        if decided.incident_id and decided.probability is not None:
            probability[decided.incident_id] = decided.probability
            attack[decided.incident_id] |= not labels[row - 1].is_benign and labels[row - 1].phase is not None
    bands = [0.0, 0.01, 0.05, 0.15, 0.5, 0.9, 1.01]
    print("  calibration (incidents; an attack alert by its time label makes it one)")
    for low, high in itertools.pairwise(bands):
        held = [incident for incident, p in probability.items() if low <= p < high]
        if held:
            stated = sum(probability[incident] for incident in held) / len(held)
            found = sum(attack[incident] for incident in held) / len(held)
            print(f"    stated {low:.2f}–{min(high, 1):.2f}: mean {stated:.3f}, observed {found:.3f}, n={len(held)}")
    brier = sum((probability[i] - attack[i]) ** 2 for i in probability) / max(1, len(probability))
    print(f"    Brier score {brier:.4f}")


def main() -> None:
    arguments = sys.argv[1:]
    if not arguments or len(arguments) % 2:
        sys.exit((__doc__ or "").split("LABELLED has")[0].strip())
    for labels_path, out in zip(arguments[::2], arguments[1::2], strict=True):
        evaluate(Path(labels_path), Path(out))


if __name__ == "__main__":
    main()
