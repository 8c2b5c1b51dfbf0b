"""Whether the reports of escalated incidents tell an attack's phases, in order and with the right hosts.

The alerts of two enterprises of the AIT data set, each with days of routine work and one attack, go through parsing,
correlation, triage and settling, and each incident that is escalated through an investigation without any log source.
A phase counts as told where the timeline of such a report has an entry that begins in the phase's window and rests on
an alert of a host on which the attacker's own lines of that phase raised alerts. Phases whose own lines raised no alert
are left out: nothing tells of them. Needs the real data beside the project.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import select

from watchfloor_agents.correlation.sequencer import Sequencer
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_connectors.framing import read_file
from watchfloor_connectors.inventory import read_inventory
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.clock import to_iso
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import IncidentStatus
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import incident
from watchfloor_core.store.sources import register_source
from watchfloor_service.intake.door import batches, take_in
from watchfloor_service.runs.inventory import write_inventory
from watchfloor_workflows.investigation.records import InvestigationKey, make_due, read_investigation, read_view
from watchfloor_workflows.investigation.stages import Investigator, Stage
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.settle import settle
from watchfloor_workflows.triaging import triage

DATA = Path(__file__).parents[1].parent / "shared" / "data" / "ait_ads"
TENANT = "evaluation"
ENTERPRISES = ("russellmitchell", "santos")
SLACK_US = 1_000_000
"""The times of alerts are whole seconds."""


@dataclass(frozen=True)
class Phase:
    name: str
    start_us: int
    end_us: int
    hosts: frozenset[str]


@dataclass(frozen=True)
class Told:
    incident_id: str
    report: Report
    evidence: dict[str, Evidence]


def phases(enterprise: str) -> list[Phase]:
    hosts: dict[str, set[str]] = defaultdict(set)
    with gzip.open(DATA / f"{enterprise}_alerts.csv.gz", "rt", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["event_label"] != "-" and row["time_label"] != "false_positive":
                hosts[row["time_label"]].add(row["host"].lower())
    windows = json.loads((DATA / "attack_phases.json").read_text())[enterprise]
    return [
        Phase(name, micro(start), micro(end), frozenset(hosts[name]))
        for name, (start, end) in windows.items()
        if hosts[name]
    ]


def micro(stamp: str) -> int:
    return round(datetime.fromisoformat(stamp).timestamp() * 1e6)


def reports_of(enterprise: str, settings: Settings) -> list[Told]:
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    try:
        take(store, settings, enterprise)
        policy, engine = PolicyFile(settings, store), SpecialistTriage()
        with store.read() as connection:
            ids = connection.execute(select(incident.c.id)).scalars().all()
        for one in ids:
            settle(store, policy.current(), TENANT, one, triage(store, engine, policy.current(), TENANT, one))
        with store.read() as connection:
            escalated = connection.execute(
                select(incident.c.id, incident.c.revision).where(incident.c.status == IncidentStatus.ESCALATED)
            ).all()
        return [investigated(store, policy, row.id, row.revision) for row in escalated]
    finally:
        store.close()


def take(store: Store, settings: Settings, enterprise: str) -> None:
    framed = read_file(DATA / f"{enterprise}_alerts.csv.gz")
    connector = Registry.load(settings).detect(framed.peek(100), columns=framed.columns)
    with store.write() as connection:
        write_inventory(connection, TENANT, read_inventory(DATA / f"{enterprise}.servers.yaml"))
        register_source(connection, TENANT, "file:alerts", "alerts", is_bounded=True)
    for batch in batches(connector, parse_records(connector, framed), "file:alerts", size=2_000):
        take_in(store, TENANT, batch)
    Sequencer(store, settings).advance(TENANT, finish=True, budget_s=3_600.0)


def investigated(store: Store, policy: PolicyFile, incident_id: str, revision: int) -> Told:
    investigator = Investigator(
        store=store, engine=SpecialistEngine(), sources=lambda _: (), policy=policy, budget=InvestigationBudget()
    )
    key = InvestigationKey(TENANT, incident_id, revision)
    with store.write() as connection:
        make_due(connection, TENANT, incident_id, revision)
    for stage in (Stage.SCOPE, Stage.PLAN, Stage.CORRELATE, Stage.HYPOTHESISE, Stage.VERIFY, Stage.CONCLUDE):
        investigator.run(stage, key)
    with store.read() as connection:
        stored, view = read_investigation(connection, key), read_view(connection, key)
    return Told(incident_id, report_from_json(json.loads(stored.report or "{}")), view.evidence)


def moments(told: Told, phase: Phase) -> list[int]:
    """When the report tells of the phase."""
    found = []
    for entry in told.report.timeline:
        if not phase.start_us - SLACK_US <= entry.time_us <= phase.end_us + SLACK_US:
            continue
        named = {
            host.strip().lower()
            for citation in entry.citations
            for host in (told.evidence[citation.evidence_id].value("related.hosts") or "").split(",")
        }
        if named & phase.hosts:
            found.append(entry.time_us)
    return found


def evaluate(enterprise: str, *, is_long: bool) -> None:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        told = reports_of(enterprise, Settings(data_dir=Path(folder), tenant=TENANT))
    wanted = phases(enterprise)
    firsts = {phase.name: min((at for one in told for at in moments(one, phase)), default=None) for phase in wanted}
    seen = [at for at in firsts.values() if at is not None]
    print(f"{enterprise}: {len(told)} escalated incidents, {time.perf_counter() - began:.0f} s")
    for phase in wanted:
        named = [one.incident_id for one in told if moments(one, phase)]
        print(f"  {phase.name:22} {'told by ' + ', '.join(named) if named else 'NOT TOLD'}")
    print(f"  phases told: {len(seen)} of {len(wanted)}, {'in' if seen == sorted(seen) else 'NOT in'} their order")
    if is_long:
        for one in told:
            print(f"  {one.incident_id}: {one.report.summary}")
            for entry in one.report.timeline:
                print(f"    {to_iso(entry.time_us)} {entry.text[:140]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=ENTERPRISES)
    parser.add_argument("--timelines", action="store_true", help="print the reports' timelines")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: nothing to evaluate")
    for enterprise in ENTERPRISES:
        if arguments.only in (None, enterprise):
            evaluate(enterprise, is_long=arguments.timelines)


if __name__ == "__main__":
    main()
