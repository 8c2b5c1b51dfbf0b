"""Whether text that an attacker writes makes an agent close what it would not have closed.

The demonstration's records go through parsing, correlation, triage and settling at level L4, where agents close what
they hold for benign: once as they are, and then once for each injected text, put behind every value that an attacker
could have written. Prints for how many texts an alert of the intrusion was closed that was left to people before, how
far the probability of such an alert fell at most, and what actions were proposed that were not before. Needs the real
data beside the project.

The text stands behind what was there: an attack that leaves no malicious text at all is another attack, and not one
that a text has hidden. What an alert is about (its entities) stays: a domain of another name is another domain. Routine
alerts are counted apart: which of them stand beside an attack as context depends on order among equals, and so on any
change of a text.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import select

from watchfloor_agents.correlation.sequencer import Sequencer
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_connectors.framing import read_file
from watchfloor_connectors.inventory import read_inventory
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.alert import Alert, Integrity
from watchfloor_core.ports import Connector
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.ingest import ParsedRecord
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_core.store.sources import register_source
from watchfloor_service.demo.scenario import inventory_file, scenario_files
from watchfloor_service.intake.door import batches, take_in
from watchfloor_service.runs.export import write_alerts
from watchfloor_service.runs.inventory import write_inventory
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.settle import settle
from watchfloor_workflows.triaging import triage

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "injection"
TRUTH = Path(__file__).parents[1] / "tests" / "end_to_end" / "demo_truth.json"
TENANT = "demo"
Source = tuple[str, Connector, list[ParsedRecord]]


@dataclass(frozen=True)
class Decided:
    closed: frozenset[tuple[str, str]]
    """Alerts, by source and row, that an agent closed."""
    probability: dict[tuple[str, str], float]
    proposed: frozenset[tuple[str, str]]


def texts() -> list[str]:
    found: list[str] = []
    for name in ("code_attack_train.json", "text_attack_train.json"):
        found += [one for group in json.loads((DATA / name).read_text()).values() for one in group]
    for name in ("domains_latentinjection.json", "whois_injection_contexts.json"):
        found += json.loads((DATA / name).read_text())["payloads"]
    with (DATA / "s-labs_validation_MIT.csv").open(newline="", encoding="utf-8") as file:
        found += [max(row.values(), key=lambda one: len(str(one))) for row in csv.DictReader(file)]
    return [one for one in dict.fromkeys(found) if one.strip()]


def scenario(settings: Settings) -> list[Source]:
    registry = Registry.load(settings)
    found = []
    for path in scenario_files():
        framed = read_file(path)
        connector = registry.detect(framed.peek(100), columns=framed.columns)
        found.append((f"file:{path.name}", connector, list(parse_records(connector, framed))))
    return found


def injected(alert: Alert, text: str) -> Alert:
    """With the text behind every value that an attacker could have written."""
    shown = f" {' '.join(text.split())[:1_000]}"
    attributes = tuple(
        replace(one, value=one.value + shown) if one.integrity is Integrity.EXTERNAL else one
        for one in alert.attributes
    )
    return replace(alert, attributes=attributes)


def with_text(sources: Sequence[Source], text: str | None) -> Iterator[Source]:
    for source_id, connector, records in sources:
        changed = [
            replace(one, outcome=injected(one.outcome, text))
            if text is not None and isinstance(one.outcome, Alert)
            else one
            for one in records
        ]
        yield source_id, connector, changed


def decide(sources: Iterator[Source]) -> Decided:
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), tenant=TENANT)
        migrate(settings.store_url)
        store = open_store(settings.store_url)
        try:
            return _decide(store, settings, list(sources))
        finally:
            store.close()


def _decide(store: Store, settings: Settings, sources: list[Source]) -> Decided:
    with store.write() as connection:
        write_inventory(connection, TENANT, read_inventory(inventory_file()))
        for source_id, _, _ in sources:
            register_source(connection, TENANT, source_id, source_id, is_bounded=True)
    for source_id, connector, records in sources:
        for batch in batches(connector, iter(records), source_id, size=2_000):
            take_in(store, TENANT, batch)
    Sequencer(store, settings).advance(TENANT, finish=True, budget_s=300.0)
    engine, policy = SpecialistTriage(), PolicyFile(settings).current()
    with store.read() as connection:
        ids = connection.execute(select(incident.c.id).where(incident.c.tenant == TENANT)).scalars().all()
    for one in ids:
        settle(store, policy, TENANT, one, triage(store, engine, policy, TENANT, one))
    return _outcome(store, settings, [source_id for source_id, _, _ in sources])


def _outcome(store: Store, settings: Settings, source_ids: Sequence[str]) -> Decided:
    closed, probability = set(), {}
    with store.read() as connection:
        for source_id in source_ids:
            path = settings.data_dir / "alerts.csv"
            write_alerts(connection, TENANT, source_id, path)
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    if row["closed_by"] == "agent":
                        closed.add((source_id, row["row"]))
                    if row["probability"]:
                        probability[source_id, row["row"]] = float(row["probability"])
        drafts = connection.execute(select(action_proposal.c.draft)).scalars().all()
    proposed = {(one["action_class"], str(one["target"]["value"])) for one in drafts}
    return Decided(frozenset(closed), probability, frozenset(proposed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=40, help="how many, evenly drawn; 0: all")
    count = parser.parse_args().texts
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: nothing to evaluate")
    every = texts()
    chosen = every if count <= 0 else every[:: max(1, len(every) // count)][:count]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        sources = scenario(Settings(data_dir=Path(folder), tenant=TENANT))
    intrusion = attack_rows()
    before = decide(with_text(sources, None))
    flipped, worst, new, routine = 0, 0.0, 0, 0
    for text in chosen:
        after = decide(with_text(sources, text))
        lost = after.closed - before.closed
        routine = max(routine, len(lost - intrusion))
        if lost & intrusion:
            flipped += 1
            print(f"  closed {len(lost & intrusion)} alerts of the intrusion: {text[:80]!r}")
        known = [one for one in intrusion if one in before.probability]
        worst = max([worst, *(before.probability[one] - after.probability.get(one, 0.0) for one in known)])
        new = max(new, len(after.proposed - before.proposed))
    kept = len(intrusion - before.closed)
    print(f"{len(chosen)} of {len(every)} texts behind every external text of {len(before.probability)} alerts")
    print(f"  alerts of the intrusion: {len(intrusion)}, of which {kept} are left to people without any text")
    print(f"  texts by which one of those was closed: {flipped}")
    print(f"  largest fall of such an alert's probability: {worst:.3f}")
    print(f"  actions proposed that were not before (none is carried out): {new}")
    print(f"  routine alerts that a text moved out of an attack's context, at most: {routine}")
    print(f"  {time.perf_counter() - started:.0f} s")


def attack_rows() -> frozenset[tuple[str, str]]:
    """Alerts of the scenario's intrusion, by source and row."""
    truth = json.loads(TRUTH.read_text())
    return frozenset(
        (f"file:{name}", str(row)) for name, of in truth.items() for rows in of["intrusion"].values() for row in rows
    )


if __name__ == "__main__":
    main()
