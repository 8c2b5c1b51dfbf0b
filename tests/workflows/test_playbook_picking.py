"""Playbooks that are picked when an investigation ends: what is kept of them, and who starts them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select, update

from tests.agents.test_playbook_picking import EVIDENCE, REPORT
from watchfloor_core.errors import ConfigurationError, ConflictError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import incident
from watchfloor_core.store.schema_playbook import playbook_outbox
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_service.playbooks.views import RunSummary, list_runs, load_run
from watchfloor_workflows.playbooks.picking import pick_playbooks
from watchfloor_workflows.playbooks.records import read_run
from watchfloor_workflows.playbooks.shelf import FolderShelf
from watchfloor_workflows.playbooks.starting import begin_picked, loaded, proposer_of
from watchfloor_workflows.policy import OPERATORS_FILE, PolicyFile
from watchfloor_workflows.standing import lock_incident
from watchfloor_workflows.testing.actions import make_attack


@pytest.fixture
def attack(settings: Settings, sqlite_store: Store) -> Store:
    make_attack(sqlite_store, settings.tenant)
    return sqlite_store


def pick(settings: Settings, store: Store, report: Report = REPORT) -> list[RunSummary]:
    """What stands in the store after an investigation has ended with this report; the best first."""
    shelf = FolderShelf(settings, store).usable()
    policy = PolicyFile(settings, store).current()
    with store.write() as connection:
        held = lock_incident(connection, settings.tenant, "inc-1")
        record_decisions(connection, settings.tenant, pick_playbooks(connection, held, policy, report, EVIDENCE, shelf))
    with store.read() as connection:
        return list_runs(connection, settings.tenant, incident_id="inc-1")


def levels(settings: Settings, level: str) -> None:
    rows = f"rows:\n  - {{function: incident_response, level: {level}}}\n"
    others = (
        "threat_detection",
        "alert_triage",
        "investigation",
        "evidence_acquisition",
        "risk_management",
        "reporting",
    )
    rows += "".join(f"  - {{function: {one}, level: L0}}\n" for one in others)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / OPERATORS_FILE).write_text(rows)


def woken(store: Store) -> list[str]:
    with store.read() as connection:
        return list(connection.scalars(select(playbook_outbox.c.run_id)))


def test_what_fits_is_filled_and_kept_with_its_reason_and_waits(settings: Settings, attack: Store) -> None:
    best, *_ = pick(settings, attack)

    assert (best.status, best.name, best.requester) == ("picked", "Credentials taken from a host", None)
    assert woken(attack) == []
    with attack.read() as connection:
        found = load_run(connection, settings.tenant, best.run_id)
    assert "it answers T1003.001 (as T1003) by F1" in found.reason
    assert '__host__ is the host "ws-4"' in found.reason
    assert (found.values["__host__"].value, found.values["__host__"].integrity) == ("ws-4", "sensor")
    assert (found.work, found.steps) == ([], [])


def test_it_is_not_picked_a_second_time(settings: Settings, attack: Store) -> None:
    first = pick(settings, attack)

    assert pick(settings, attack) == first


@pytest.mark.parametrize("level", ["L0", "L1"])
def test_where_no_agent_proposes_none_picks(settings: Settings, attack: Store, level: str) -> None:
    levels(settings, level)

    assert pick(settings, attack) == []


@pytest.mark.parametrize("level", ["L3", "L4"])
def test_at_higher_levels_the_best_starts_by_itself_and_no_other(settings: Settings, attack: Store, level: str) -> None:
    levels(settings, level)
    best, *others = pick(settings, attack)

    assert best.status == "running"
    assert {one.status for one in others} <= {"picked"}
    assert woken(attack) == [best.run_id]
    with attack.read() as connection:
        assert read_run(connection, settings.tenant, best.run_id).proposer.kind is PrincipalKind.AGENT


@pytest.mark.parametrize(
    ("of_incident", "of_report", "is_picked"),
    [
        (Verdict.TRUE_POSITIVE, Verdict.TRUE_POSITIVE, True),
        # Triage knows an attack, and no log source could bear it out.
        (Verdict.TRUE_POSITIVE, Verdict.UNDETERMINED, True),
        (Verdict.UNDETERMINED, Verdict.UNDETERMINED, False),
        (Verdict.UNDETERMINED, Verdict.TRUE_POSITIVE, True),
        (Verdict.TRUE_POSITIVE, Verdict.BENIGN_POSITIVE, False),
        (Verdict.BENIGN_POSITIVE, Verdict.TRUE_POSITIVE, False),
    ],
)
def test_it_takes_an_attack(
    settings: Settings, attack: Store, of_incident: Verdict, of_report: Verdict, *, is_picked: bool
) -> None:
    with attack.write() as connection:
        connection.execute(update(incident).values(verdict=of_incident))

    assert bool(pick(settings, attack, replace(REPORT, verdict=of_report))) is is_picked


def test_an_incident_that_has_moved_on_gets_none(settings: Settings, attack: Store) -> None:
    assert pick(settings, attack, replace(REPORT, revision=2)) == []
    with attack.write() as connection:
        connection.execute(update(incident).values(status=IncidentStatus.CLOSED))
    assert pick(settings, attack) == []


def test_whoever_starts_a_picked_one_is_its_requester_and_may_give_other_values(
    settings: Settings, attack: Store
) -> None:
    best, *_ = pick(settings, attack)
    with attack.write() as connection:
        run = read_run(connection, settings.tenant, best.run_id, lock=True)
        proposer = proposer_of(loaded(run.content), PrincipalKind.SERVICE, "rita")
        with pytest.raises(ConfigurationError, match="__nobody__"):
            begin_picked(connection, run, {"__nobody__": Held("x")}, proposer)
        told = begin_picked(connection, run, {"__host__": Held("ws-5")}, proposer)
        record_decisions(connection, settings.tenant, [told])
    with attack.write() as connection:
        begun = read_run(connection, settings.tenant, best.run_id, lock=True)
        with pytest.raises(ConflictError, match="running already"):
            begin_picked(connection, begun, {}, proposer)

    assert begun.status is RunStatus.RUNNING
    assert begun.proposer == proposer
    assert begun.given["__host__"].value == "ws-5"
    assert woken(attack) == [best.run_id]


def test_where_only_signed_ones_are_run_none_of_the_library_is_picked(settings: Settings, attack: Store) -> None:
    assert pick(settings.model_copy(update={"playbooks_signed": True}), attack) == []
