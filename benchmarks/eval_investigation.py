"""Detect → incident → investigation on real attacks: how often the labelled technique is in the report.

Every data set goes through what the product does: Sigma rules (``medium`` and above) over its logs, correlation,
triage, and an investigation of each incident with the logs as the source. No model and no Temporal takes part; the
stages are called one after the other. Prints a line for each data set and the totals. Needs the real data beside the
project.

A technique counts as found where the report names it, its parent or one of its sub-techniques; as wrong where it shares
no parent with a label. Ids that a later ATT&CK has replaced count as what they are now: labels are of other years than
rules. Labels name what a data set was recorded for, not everything that is in it, so "wrong" is an
upper bound.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import orjson
import yaml
from sqlalchemy import select

from watchfloor_agents.correlation.sequencer import Sequencer
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_connectors.detection.detecting import detecting
from watchfloor_connectors.detection.rules import RuleSet, load_rules
from watchfloor_connectors.framing import Format, read_bytes
from watchfloor_connectors.logs.embedded import open_logs
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.attack_ids import current_technique
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import incident
from watchfloor_core.store.sources import register_source
from watchfloor_service.detection.detect import alert_record
from watchfloor_service.intake.door import batches, take_in
from watchfloor_workflows.investigation.records import InvestigationKey, make_due, read_investigation
from watchfloor_workflows.investigation.stages import Investigator, Stage
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.triaging import triage

DATA = Path(__file__).parents[1].parent / "shared" / "data"
TENANT = "case-evaluation"
LEVEL = "medium"


@dataclass(frozen=True)
class Case:
    name: str
    logs: Path
    techniques: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    case: Case
    matches: int
    incidents: int
    found: bool
    top: bool
    """The incident with the highest probability names it."""
    wrong: tuple[int, ...]
    """Wrong techniques of each report."""
    noise: int
    """Rules that fired and whose techniques no report of the data set names."""
    fired: int
    dropped: int
    seconds: float


def otrf() -> Iterator[Case]:
    labels: dict[str, set[str]] = {}
    for file in sorted((DATA / "otrf" / "metadata").glob("*.yaml")):
        about = yaml.safe_load(file.read_text())
        for mapping in about["attack_mappings"]:
            part = mapping.get("sub-technique")
            technique = f"{mapping['technique']}.{part}" if part else str(mapping["technique"])
            for one in about["files"]:
                labels.setdefault(PurePosixPath(one["link"]).name, set()).add(technique)
    for path in sorted((DATA / "otrf").iterdir()):
        if path.name in labels:
            yield Case(path.name, path, frozenset(labels[path.name]))


def evtx_mitre(folder: Path) -> Iterator[Case]:
    with zipfile.ZipFile(DATA / "evtx_mitre" / "evtx_mitre.zip") as archive:
        for number, name in enumerate(sorted(one for one in archive.namelist() if one.endswith(".evtx"))):
            technique = next((part[:5] for part in name.split("/") if part[:1] == "T" and part[1:5].isdecimal()), None)
            if technique is None:
                continue
            path = folder / f"{number}.evtx"
            path.write_bytes(archive.read(name))
            yield Case(name.rpartition("/")[2], path, frozenset({technique}))


def parent(technique: str) -> str:
    return technique.partition(".")[0]


def is_right(technique: str, labels: frozenset[str]) -> bool:
    named = current_technique(technique)
    return any(named in (one, parent(one)) or parent(named) == one for one in map(current_technique, labels))


def shares_parent(technique: str, others: Iterable[str]) -> bool:
    return parent(current_technique(technique)) in {parent(current_technique(one)) for one in others}


def evaluate(case: Case, rules: RuleSet) -> Outcome:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, detecting([case.logs], rules, lambda _: None) as found:
        records = b"".join(orjson.dumps(alert_record(one)) + b"\n" for one in found.matches())
        fired = [one.rule for one in found.outcomes if one.matches]
        settings = Settings(data_dir=Path(folder), tenant=TENANT)
        reports = investigate(settings, case.logs, records) if records else []
    named = {technique for _, one in reports for technique in techniques_of(one)}
    best = max(reports, key=lambda one: (one[1].probability, one[0]), default=None)
    return Outcome(
        case=case,
        matches=found.matched,
        incidents=len(reports),
        found=any(is_right(one, case.techniques) for one in named),
        top=best is not None and any(is_right(one, case.techniques) for one in techniques_of(best[1])),
        wrong=tuple(
            sum(not shares_parent(one, case.techniques) for one in techniques_of(report)) for _, report in reports
        ),
        noise=sum(not any(shares_parent(one, named) for one in attack(rule.tags)) for rule in fired),
        fired=len(fired),
        dropped=sum(len(report.dropped) for _, report in reports),
        seconds=time.perf_counter() - started,
    )


def attack(tags: Sequence[str]) -> list[str]:
    return [one.removeprefix("attack.").upper() for one in tags if one.startswith("attack.t")]


def techniques_of(report: Report) -> list[str]:
    return [one.technique for one in report.techniques]


def investigate(settings: Settings, logs: Path, records: bytes) -> list[tuple[int, Report]]:
    """Alerts and report of each incident."""
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    source = open_logs([logs], name="logs")
    try:
        take(store, settings, records)
        policy = PolicyFile(settings, store)
        investigator = Investigator(
            store=store,
            engine=SpecialistEngine(),
            sources=lambda _: [source],
            policy=policy,
            budget=InvestigationBudget(),
        )
        with store.read() as connection:
            rows = connection.execute(select(incident.c.id, incident.c.alert_count, incident.c.revision)).all()
        found = []
        for row in rows:
            triage(store, SpecialistTriage(), policy.current(), TENANT, row.id)
            key = InvestigationKey(TENANT, row.id, row.revision)
            with store.write() as connection:
                make_due(connection, TENANT, row.id, row.revision)
            run(investigator, key)
            with store.read() as connection:
                report = read_investigation(connection, key).report
            found.append((row.alert_count, report_from_json(json.loads(report or "{}"))))
        return found
    finally:
        source.close()
        store.close()


def run(investigator: Investigator, key: InvestigationKey) -> None:
    """The stages in the order of the graph."""
    investigator.run(Stage.SCOPE, key)
    progress = investigator.run(Stage.PLAN, key)
    while progress.waiting:
        investigator.run(Stage.COLLECT, key)
        progress = investigator.run(Stage.CORRELATE, key)
    for stage in (Stage.HYPOTHESISE, Stage.VERIFY, Stage.CONCLUDE):
        investigator.run(stage, key)


def take(store: Store, settings: Settings, records: bytes) -> None:
    connector = Registry.load(settings).get("sigma")
    with store.write() as connection:
        register_source(connection, TENANT, "file:evaluation", "evaluation", is_bounded=True)
    parsed = parse_records(connector, read_bytes(records, layout=Format.NDJSON))
    for batch in batches(connector, parsed, "file:evaluation", size=500):
        take_in(store, TENANT, batch)
    Sequencer(store, settings).advance(TENANT, finish=True, budget_s=300.0)


def table(title: str, outcomes: Sequence[Outcome], *, is_long: bool) -> None:
    print(f"\n{title}")
    for one in outcomes:
        if is_long or not one.found:
            print(
                f"  {one.case.name[:58]:58} {','.join(sorted(one.case.techniques)):20} "
                f"{'found' if one.found else 'MISSED':7} {'top' if one.top else '-':4} {one.matches:5} matches "
                f"{one.incidents:3} incidents, wrong {sum(one.wrong):3}, {one.seconds:.1f} s"
            )
    total = len(outcomes)
    reports = [count for one in outcomes for count in one.wrong]
    seen = [one for one in outcomes if one.matches]
    print(
        f"  technique found: {sum(one.found for one in outcomes)} of {total} data sets "
        f"({sum(one.found for one in outcomes) / total:.0%}); of the {len(seen)} in which a rule fired "
        f"{sum(one.found for one in seen) / max(1, len(seen)):.0%}"
    )
    print(f"  in the likeliest incident of the data set: {sum(one.top for one in outcomes)} of {total}")
    print(f"  wrong techniques: {sum(reports) / max(1, len(reports)):.2f} a report, {len(reports)} reports")
    fired, noise = sum(one.fired for one in outcomes), sum(one.noise for one in outcomes)
    print(f"  rules that fired and whose technique no report names: {noise} of {fired}")
    print(f"  claims dropped by the check: {sum(one.dropped for one in outcomes)}")
    print(f"  {sum(one.seconds for one in outcomes):.0f} s in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("otrf", "evtx_mitre"))
    chosen = parser.parse_args().only
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: nothing to evaluate")
    rules = load_rules([DATA / "sigma" / "rules.zip"]).of_level(LEVEL)
    if chosen in (None, "otrf"):
        table("OTRF credential access", [evaluate(one, rules) for one in otrf()], is_long=True)
    if chosen in (None, "evtx_mitre"):
        with tempfile.TemporaryDirectory() as folder:
            table("EVTX to MITRE ATT&CK", [evaluate(one, rules) for one in evtx_mitre(Path(folder))], is_long=False)


if __name__ == "__main__":
    main()
