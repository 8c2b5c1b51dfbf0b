"""Investigations on the real server: a report from real log files, whatever happens to who writes it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.workflows.investigations import DUMP, OUTSIDE, InvestigationBench
from watchfloor_agents.investigation.export.report_json import report_from_json
from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.investigation.view import CaseView
from watchfloor_connectors.context.config import load_context_settings
from watchfloor_connectors.context.opening import ContextShelf
from watchfloor_core.clock import now_us
from watchfloor_core.errors import RecordError, UnavailableError
from watchfloor_core.incident import Function, IncidentStatus, Verdict
from watchfloor_core.logs.query import Aggregate, Select
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_core.store.schema_investigation import evidence, evidence_use, investigation
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_workflows import settle, triaging
from watchfloor_workflows.authority.kill_switch import engage
from watchfloor_workflows.client import connect
from watchfloor_workflows.investigation.records import InvestigationStatus, make_due
from watchfloor_workflows.investigation.relay import InvestigationRelay
from watchfloor_workflows.policy import OPERATORS_FILE, PolicyFile
from watchfloor_workflows.testing import FixedEngine
from watchfloor_workflows.testing.incidents import plant_incident

pytestmark = pytest.mark.anyio


@pytest.fixture
async def lab(settings: Settings, sqlite_store: Store) -> InvestigationBench:
    bench = InvestigationBench.over(await connect(settings), sqlite_store, settings)
    bench.set_level("L2")
    bench.make_due()
    return bench


def report_of(lab: InvestigationBench) -> Report:
    stored = lab.stored()
    assert stored.report is not None, stored.problem
    return report_from_json(json.loads(stored.report))


def drafts(lab: InvestigationBench) -> list[dict[str, Any]]:
    with lab.store.read() as connection:
        rows = connection.execute(
            select(action_proposal.c.draft).where(action_proposal.c.tenant == lab.settings.tenant)
        )
        return [dict(row.draft) for row in rows]


async def test_a_report_arises_that_cites_kept_evidence_and_stands_in_the_ledger(lab: InvestigationBench) -> None:
    result = await lab.result()

    report = report_of(lab)
    assert result.is_done
    assert report.verdict is Verdict.TRUE_POSITIVE
    assert "T1003.001" in [one.technique for one in report.techniques]
    cited = {citation.evidence_id for one in report.findings for citation in one.citations}
    with lab.store.read() as connection:
        kept = set(connection.scalars(select(evidence.c.id)).all())
    assert cited
    assert cited <= kept
    [entry] = lab.ledger()
    assert entry["report_sha256"] == hashlib.sha256(str(lab.stored().report).encode()).hexdigest()
    assert entry["verdict"] == "TruePositive"
    assert entry["questions"] == len(lab.questions()) > 10
    assert all(lab.questions())


async def test_what_the_report_recommends_is_proposed_and_never_done(lab: InvestigationBench) -> None:
    await lab.result()

    proposed = {(one["action_class"], one["target"]["value"]) for one in drafts(lab)}
    assert ("contain file", DUMP) in proposed
    assert all(one["proposer"]["kind"] == "agent" for one in drafts(lab))


async def test_at_l1_the_report_proposes_nothing(lab: InvestigationBench) -> None:
    lab.set_level("L1")
    await lab.result()

    assert report_of(lab).recommendations
    assert drafts(lab) == []


async def test_a_second_run_finds_all_answered_and_writes_nothing_again(lab: InvestigationBench) -> None:
    await lab.result()
    before, asked = report_of(lab), lab.source.asked.total()
    with lab.store.write() as connection:
        connection.execute(update(investigation).values(status=InvestigationStatus.RUNNING, due_us=0))
    async with lab.worker():
        assert await InvestigationRelay(lab.client, lab.store, lab.settings).sweep() == 1
        await (await lab.start()).result()

    assert lab.source.asked.total() == asked
    assert replace(report_of(lab), ended_us=before.ended_us) == before
    assert len(drafts(lab)) == len({(one["action_class"], one["target"]["value"]) for one in drafts(lab)})


async def test_a_source_that_breaks_is_asked_again_and_nothing_is_asked_twice(lab: InvestigationBench) -> None:
    broken = [7]

    def stumble(number: int) -> None:
        if number in broken:
            broken.clear()
            raise UnavailableError("the disk went away")

    lab.source.before = stumble
    await lab.result()

    assert report_of(lab).verdict is Verdict.TRUE_POSITIVE
    assert set(lab.source.asked.values()) == {1}


async def test_a_thrown_kill_switch_ends_it_before_the_next_question(lab: InvestigationBench) -> None:
    def throw(number: int) -> None:
        if number == 3:
            lead = Principal("ben", PrincipalKind.PERSON)
            scope = f"tenant:{lab.settings.tenant}/function:{Function.INVESTIGATION}"
            engage(lab.store, lab.settings.tenant, scope, lead, "a drill")

    lab.source.before = throw
    result = await lab.result()

    assert not result.is_done
    assert lab.status() is InvestigationStatus.FAILED
    assert "kill switch" in str(lab.stored().problem)
    assert lab.source.asked.total() == 3
    assert lab.ledger()[0]["problem"] == lab.stored().problem
    assert drafts(lab) == []


async def test_an_incident_that_moved_on_is_not_investigated_at_its_old_revision(lab: InvestigationBench) -> None:
    with lab.store.write() as connection:
        connection.execute(update(incident).values(revision=2))
    result = await lab.result()

    assert not result.is_done
    assert lab.status() is InvestigationStatus.SUPERSEDED
    assert lab.source.asked.total() == 0


async def test_an_incident_that_moves_on_meanwhile_gets_its_report_and_no_proposals(lab: InvestigationBench) -> None:
    def move_on(number: int) -> None:
        if number == 5:
            with lab.store.write() as connection:
                connection.execute(update(incident).values(revision=2))

    lab.source.before = move_on
    await lab.result()

    assert report_of(lab).revision == 1
    assert drafts(lab) == []


class Raising(SpecialistEngine):
    def conclude(self, view: CaseView) -> Report:
        raise RecordError(f"words of the attacker: {view.case.title}")


async def test_an_engine_that_fails_is_recorded_without_its_words(lab: InvestigationBench) -> None:
    lab.engine = Raising()
    result = await lab.result()

    assert not result.is_done
    assert (lab.status(), lab.stored().problem) == (
        InvestigationStatus.FAILED,
        "watchfloor.investigate.conclude: RecordError",
    )
    assert [one["problem"] for one in lab.ledger()] == [lab.stored().problem]


class Endless(SpecialistEngine):
    """Never has enough."""

    def plan(self, view: CaseView) -> Any:
        first = super().plan(replace(view, round=0))
        more = [(one, one.query) for one in first if isinstance(one.query, (Select, Aggregate))]
        return [*first, *(replace(one, query=replace(query, limit=view.round + 2)) for one, query in more)]


async def test_an_engine_that_never_has_enough_ends_with_its_rounds(lab: InvestigationBench) -> None:
    lab.engine = Endless()
    lab.budget = InvestigationBudget(rounds=3, questions=1_000, events=50)
    result = await lab.result()

    assert (result.is_done, result.rounds) == (True, 3)


async def test_an_engine_that_never_has_enough_ends_with_its_questions(lab: InvestigationBench) -> None:
    lab.engine = Endless()
    lab.budget = InvestigationBudget(rounds=6, questions=90, events=50)
    result = await lab.result()

    assert result.is_done
    assert len(lab.questions()) == lab.source.asked.total() == 90


@pytest.mark.parametrize(("level", "is_due"), [("L0", False), ("L1", True), ("L4", True)])
def test_an_escalation_makes_an_investigation_due_unless_people_investigate(
    settings: Settings, sqlite_store: Store, level: str, is_due: bool
) -> None:
    rows = [
        f"  - {{function: {each}, level: {level if each is Function.INVESTIGATION else 'L2'}}}" for each in Function
    ]
    (settings.data_dir / OPERATORS_FILE).write_text("\n".join(["rows:", *rows]))
    policy = PolicyFile(settings, sqlite_store).current()
    with sqlite_store.write() as connection:
        plant_incident(connection, settings.tenant, "inc-1", announce=False)
    engine = FixedEngine(verdict=Verdict.TRUE_POSITIVE, probability=0.97)
    triaging.triage(sqlite_store, engine, policy, settings.tenant, "inc-1")
    settle.settle(sqlite_store, policy, settings.tenant, "inc-1", 1)

    with sqlite_store.read() as connection:
        status = connection.execute(select(incident.c.status)).scalar_one()
        found = connection.execute(select(investigation.c.status)).scalars().all()
    assert (status, found) == (IncidentStatus.ESCALATED, ["due"] if is_due else [])


async def test_a_growing_incident_is_investigated_less_and_less_often(lab: InvestigationBench) -> None:
    with lab.store.write() as connection:
        connection.execute(update(investigation).values(status=InvestigationStatus.DONE))
        for revision in (2, 3, 4):
            make_due(connection, lab.settings.tenant, "inc-1", revision)
        rows = connection.execute(
            select(investigation.c.revision, investigation.c.status, investigation.c.due_us).order_by(
                investigation.c.revision
            )
        ).all()
    assert [(row.revision, row.status) for row in rows] == [
        (1, "done"),
        (2, "superseded"),
        (3, "superseded"),
        (4, "due"),
    ]
    assert rows[-1].due_us > now_us()
    assert await InvestigationRelay(lab.client, lab.store, lab.settings).drain() == 0
    with lab.store.write() as connection:
        connection.execute(update(incident).values(is_sealed=True))
    assert await InvestigationRelay(lab.client, lab.store, lab.settings).drain() == 1


async def test_evidence_found_twice_is_kept_once(lab: InvestigationBench) -> None:
    await lab.result()
    with lab.store.read() as connection:
        uses = len(connection.execute(select(evidence_use.c.evidence_id)).all())
        kept = len(connection.execute(select(evidence.c.id)).all())
    assert uses > kept > 0


async def test_what_is_looked_up_is_kept_as_evidence_and_asked_once(lab: InvestigationBench) -> None:
    (lab.settings.data_dir / "block.txt").write_text(f"{OUTSIDE}  # a server of theirs\n")
    (lab.settings.data_dir / "lsass.md").write_text("# LSASS was read\n\nT1003.001")
    paths = {"list": "block.txt", "runbooks": "lsass.md"}
    sources = [{"name": kind, "kind": kind, "tenants": ["acme"], "paths": [path]} for kind, path in paths.items()]
    (lab.settings.data_dir / "context.yaml").write_text(json.dumps({"sources": sources}))
    lab.context = ContextShelf(load_context_settings(lab.settings.data_dir / "context.yaml")).of("acme")

    await lab.result()

    report = report_of(lab)
    told = {one.code: one for one in report.findings}
    assert "an event names it" in told["threat_intelligence"].text
    assert 'Follow the runbook "LSASS was read"' in [one.purpose for one in report.recommendations]
    cited = {citation.evidence_id for citation in told["threat_intelligence"].citations}
    with lab.store.read() as connection:
        kinds = connection.execute(select(evidence.c.kind).where(evidence.c.id.in_(cited))).scalars()
        assert set(kinds) == {"lookup", "event"}
    assert all(lab.questions())


TRACED = (
    "import watchfloor_workflows.worker; from langsmith.utils import tracing_is_enabled; print(tracing_is_enabled())"
)


def test_what_is_investigated_is_reported_to_no_service_whatever_the_environment_says() -> None:
    told = {f"{maker}_{name}": "true" for maker in ("LANGSMITH", "LANGCHAIN") for name in ("TRACING", "TRACING_V2")}
    found = subprocess.run(
        [sys.executable, "-c", TRACED], env={**os.environ, **told}, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "False"
