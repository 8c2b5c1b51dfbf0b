"""Three incidents of Microsoft Sentinel among ten thousand routine alerts: whether they are found, whole and apart.

The 24 alerts of the incidents (ExCyTIn-Bench) are put into days of routine alerts of the AIT data set, each incident as
a block at a moment of its own, and go through parsing, correlation, triage and an investigation without any log source.
Prints how alerts were joined (pairwise precision, recall and F1 over the incidents' alerts, and how many routine ones
were joined to them), what became of each incident, and how many of the questions of the data set are answered by what
its alerts name. Needs the real data beside the project.

Who answers is no model but a table: the words of a question say what kind of value is asked for and, by the title they
share most words with, of which alert. It answers with an entity of that alert word by word, where there is exactly one
of that kind, and else not at all; so an answer can be wrong and none can be invented.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from sqlalchemy import select

from watchfloor_agents.correlation.sequencer import Sequencer
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_connectors.framing import read_file
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.alert import Alert, EntityKind, Severity
from watchfloor_core.attack_ids import current_technique
from watchfloor_core.ports import Connector
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.ingest import ParsedRecord
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import incident
from watchfloor_core.store.sources import register_source
from watchfloor_service.intake.door import batches, take_in
from watchfloor_service.runs.export import write_alerts
from watchfloor_workflows.investigation.records import InvestigationKey, make_due, read_investigation
from watchfloor_workflows.investigation.stages import Investigator, Stage
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.settle import settle
from watchfloor_workflows.triaging import triage

DATA = Path(__file__).parents[1].parent / "shared" / "data"
TENANT = "evaluation"
ATTACKS, ROUTINE = "file:incidents", "file:routine"
DAY_US = 86_400 * 1_000_000


@dataclass(frozen=True)
class Mixed:
    attacks: list[ParsedRecord]
    of: dict[str, str]
    """The incident that each of the alerts belongs to, by its row."""
    connector: Connector
    routine: list[ParsedRecord]
    routine_connector: Connector


@dataclass(frozen=True)
class Result:
    incident_of: dict[tuple[str, str], str]
    """By source and row."""
    rows: dict[str, dict[str, object]]
    """What is stored of each incident that holds an alert of the attacks."""
    reports: dict[str, Report]


def mixed(settings: Settings, count: int, seed: int) -> Mixed:
    registry = Registry.load(settings)
    file = DATA / "secrl" / "alerts.jsonl"
    framed = read_file(file)
    connector = registry.detect(framed.peek(100), columns=framed.columns)
    attacks = list(parse_records(connector, framed))
    names = [str(json.loads(line)["_incident"]) for line in file.read_text().splitlines()]
    routine_connector, routine = routine_alerts(registry, settings, count, seed)
    start = min(one.outcome.event_us for one in routine if isinstance(one.outcome, Alert))
    end = max(one.outcome.event_us for one in routine if isinstance(one.outcome, Alert))
    moments = random.Random(seed)  # noqa: S311 -- the same every time
    shift: dict[str, int] = {}
    for name in dict.fromkeys(names):
        times = [
            one.outcome.event_us
            for one, of in zip(attacks, names, strict=True)
            if of == name and isinstance(one.outcome, Alert)
        ]
        begin = moments.randint(start + DAY_US, max(start + DAY_US, end - (max(times) - min(times)) - DAY_US))
        shift[name] = begin - min(times)
    moved = [
        replace(one, outcome=replace(one.outcome, event_us=one.outcome.event_us + shift[of]))
        if isinstance(one.outcome, Alert)
        else one
        for one, of in zip(attacks, names, strict=True)
    ]
    return Mixed(moved, {str(row): of for row, of in enumerate(names, 1)}, connector, routine, routine_connector)


def routine_alerts(
    registry: Registry, settings: Settings, count: int, seed: int
) -> tuple[Connector, list[ParsedRecord]]:
    """Evenly drawn from the alerts of one enterprise that are no attacker's."""
    with gzip.open(DATA / "ait_ads" / "russellmitchell_alerts.csv.gz", "rt", newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = list(reader.fieldnames or ())
        benign = [row for row in reader if row["time_label"] == "false_positive" and row["event_label"] == "-"]
    chosen = random.Random(seed).sample(benign, min(count, len(benign)))  # noqa: S311 -- the same every time
    chosen.sort(key=lambda row: float(row["time"]))
    path = settings.data_dir / "routine.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(chosen)
    framed = read_file(path)
    connector = registry.detect(framed.peek(100), columns=framed.columns)
    return connector, list(parse_records(connector, framed))


def decide(store: Store, settings: Settings, given: Mixed) -> Result:
    with store.write() as connection:
        for source in (ATTACKS, ROUTINE):
            register_source(connection, TENANT, source, source, is_bounded=True)
    for connector, records, source in (
        (given.connector, given.attacks, ATTACKS),
        (given.routine_connector, given.routine, ROUTINE),
    ):
        for batch in batches(connector, iter(records), source, size=2_000):
            take_in(store, TENANT, batch)
    Sequencer(store, settings).advance(TENANT, finish=True, budget_s=600.0)
    policy = PolicyFile(settings, store)
    with store.read() as connection:
        ids = connection.execute(select(incident.c.id)).scalars().all()
    for one in ids:
        settle(store, policy.current(), TENANT, one, triage(store, SpecialistTriage(), policy.current(), TENANT, one))
    placed = {source: where(store, settings, source) for source in (ATTACKS, ROUTINE)}
    concerned = sorted(set(placed[ATTACKS].values()))
    with store.read() as connection:
        rows = {
            str(row["id"]): dict(row)
            for row in connection.execute(select(incident).where(incident.c.id.in_(concerned))).mappings()
        }
    reports = {one: investigated(store, policy, one, rows[one]["revision"]) for one in concerned}
    return Result({(source, row): to for source, of in placed.items() for row, to in of.items()}, rows, reports)


def where(store: Store, settings: Settings, source: str) -> dict[str, str]:
    path = settings.data_dir / "alerts.csv"
    with store.read() as connection:
        write_alerts(connection, TENANT, source, path)
    with path.open(newline="") as file:
        return {row["row"]: row["incident_id"] for row in csv.DictReader(file) if row["incident_id"]}


def investigated(store: Store, policy: PolicyFile, incident_id: str, revision: object) -> Report:
    investigator = Investigator(
        store=store, engine=SpecialistEngine(), sources=lambda _: (), policy=policy, budget=InvestigationBudget()
    )
    assert isinstance(revision, int)
    key = InvestigationKey(TENANT, incident_id, revision)
    with store.write() as connection:
        make_due(connection, TENANT, incident_id, revision)
    for stage in (Stage.SCOPE, Stage.PLAN, Stage.CORRELATE, Stage.HYPOTHESISE, Stage.VERIFY, Stage.CONCLUDE):
        investigator.run(stage, key)
    with store.read() as connection:
        return report_from_json(json.loads(read_investigation(connection, key).report or "{}"))


def print_joining(given: Mixed, result: Result) -> None:
    rows = sorted(given.of)
    together = [
        (given.of[one] == given.of[other], result.incident_of[ATTACKS, one] == result.incident_of[ATTACKS, other])
        for one, other in combinations(rows, 2)
    ]
    counts = Counter(together)
    right = counts[True, True]
    precision = right / max(1, right + counts[False, True])
    recall = right / max(1, right + counts[True, False])
    score = 2 * precision * recall / max(1e-9, precision + recall)
    mine = {result.incident_of[ATTACKS, one] for one in rows}
    strangers = sum(source == ROUTINE and to in mine for (source, _), to in result.incident_of.items())
    print(f"  alerts joined: pairwise precision {precision:.3f}, recall {recall:.3f}, F1 {score:.3f}")
    there = len(set(given.of.values()))
    print(f"  incidents that hold them: {len(mine)}, for {there}; routine alerts in them {strangers}")


def print_incidents(given: Mixed, result: Result) -> None:
    labels = [json.loads(line) for line in (DATA / "secrl" / "incidents.jsonl").read_text().splitlines()]
    for label in labels:
        name = str(label["IncidentNumber"])
        found = Counter(result.incident_of[ATTACKS, row] for row, of in given.of.items() if of == name)
        if not found:
            continue
        best, count = found.most_common(1)[0]
        row, report = result.rows[best], result.reports[best]
        named = {current_technique(one.technique).partition(".")[0] for one in report.techniques}
        wanted = {current_technique(one).partition(".")[0] for one in json.loads(label["AdditionalData"])["techniques"]}
        severity = Severity(int(str(row["severity"]))).name.capitalize()
        print(
            f"  incident {name}: {count} of {found.total()} alerts in {best}, {row['status']}, "
            f"severity {severity} (stated {label['Severity']}), "
            f"techniques {len(named & wanted)} of {len(wanted)} ({len(named - wanted)} others)"
        )


KINDS = (
    (r"\bsid\b|security identifier|aaduserid|appid|process ?id", None),
    (r"\bip\b|ip address", EntityKind.IP),
    (r"\burl\b", EntityKind.URL),
    (r"e-?mail|mailbox|sender|recipient|received", EntityKind.MAILBOX),
    (r"\bhost|device|machine'?s? name|endpoint", EntityKind.HOST),
    (r"command", None),
    (r"account|user ?name|username", EntityKind.USER),
)
"""What a question asks for, by the first of these that its last sentence holds; None: no kind of entity."""


def answer(question: str, alerts: Sequence[Alert]) -> str | None:
    asked = re.split(r"(?<=[.!?])\s+", question.strip())[-1].lower()
    kind = next((kind for pattern, kind in KINDS if re.search(pattern, asked)), None)
    if kind is None:
        return None
    words = set(re.findall(r"[a-z]+", question.lower()))
    shared = {one.detector.title: share(one.detector.title, words) for one in alerts}
    best = max(shared.values())
    titles = [title for title, score in shared.items() if score == best]
    if best == 0 or len(titles) > 1:
        return None
    values = {
        entity.value
        for one in alerts
        if one.detector.title == titles[0]
        for entity in one.entities
        if entity.kind is kind
    }
    return values.pop() if len(values) == 1 else None


def share(title: str, words: set[str]) -> float:
    parts = re.findall(r"[a-z]+", title.lower())
    return sum(one in words for one in parts) / len(parts)


def is_right(given: str, expected: str) -> bool:
    """A host or account with or without its domain is the same one."""
    short, wanted = given.lower(), expected.strip().lower()
    return short == wanted or short.partition(".")[0] == wanted or short.partition("@")[0] == wanted


def questions(given: Mixed, result: Result) -> Iterator[tuple[dict[str, str], list[Alert]]]:
    for name in dict.fromkeys(given.of.values()):
        file = DATA / "secrl" / f"questions_incident_{name}.json"
        if not file.exists():
            continue
        found = Counter(result.incident_of[ATTACKS, row] for row, of in given.of.items() if of == name)
        incident_id = found.most_common(1)[0][0]
        # What the incident holds as it was found, whichever it should hold.
        alerts = [
            record.outcome
            for row, record in enumerate(given.attacks, 1)
            if result.incident_of[ATTACKS, str(row)] == incident_id and isinstance(record.outcome, Alert)
        ]
        for one in json.loads(file.read_text()):
            yield one, alerts


def print_questions(given: Mixed, result: Result) -> None:
    total = answered = right = invented = held = 0
    for one, alerts in questions(given, result):
        total += 1
        named = {entity.value.lower() for each in alerts for entity in each.entities}
        held += any(is_right(value, one["answer"]) for value in named)
        said = answer(one["question"], alerts)
        if said is not None:
            answered += 1
            right += is_right(said, one["answer"])
            invented += said.lower() not in named
    print(f"  questions: {total}; the answer is an entity of the incident's alerts in {held} ({held / total:.0%})")
    print(
        f"  answered {answered} ({answered / total:.0%}), of which right {right} ({right / max(1, answered):.0%}), "
        f"invented {invented}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--routine", type=int, default=10_000, help="how many routine alerts")
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.exit(f"no data at {DATA}: nothing to evaluate")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), tenant=TENANT)
        given = mixed(settings, arguments.routine, arguments.seed)
        migrate(settings.store_url)
        store = open_store(settings.store_url)
        try:
            result = decide(store, settings, given)
        finally:
            store.close()
    print(f"{len(given.attacks)} alerts of three incidents among {len(given.routine):,} routine ones")
    print_joining(given, result)
    print_incidents(given, result)
    print_questions(given, result)
    print(f"  {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
