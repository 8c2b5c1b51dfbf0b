"""The store's side of triage and settling, on both databases: once for each revision, whatever is repeated or races."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Table, insert, select, update

from watchfloor_core.alert import Integrity
from watchfloor_core.errors import ConflictError, NotFoundError, RefusedError
from watchfloor_core.identity import digest16
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.decision import DecideRequest, IncidentState, Principal, PrincipalKind
from watchfloor_guardrails.permit import person_permit
from watchfloor_workflows.closure import close_incident
from watchfloor_workflows.human import record_decision
from watchfloor_workflows.messages import DecideIncidentInput, IncidentStanding
from watchfloor_workflows.policy import OPERATORS_FILE, Policy, PolicyFile
from watchfloor_workflows.settle import settle
from watchfloor_workflows.standing import lock_incident
from watchfloor_workflows.testing import FixedEngine, change_incident, plant_incident, write_policy
from watchfloor_workflows.triaging import triage

TENANT = "acme"


def policy_at(folder: Path, level: str) -> Policy:
    write_policy(folder, level)
    return PolicyFile(Settings(data_dir=folder)).current()


@pytest.fixture
def l4(tmp_path: Path) -> Policy:
    return policy_at(tmp_path, "L4")


def plant(store: Store, incident_id: str = "inc-1", **values: object) -> None:
    with store.write() as connection:
        plant_incident(connection, TENANT, incident_id, announce=False, **values)  # type: ignore[arg-type]  # forwarded


def one_pass(store: Store, engine: FixedEngine, policy: Policy) -> IncidentStanding:
    revision = triage(store, engine, policy, TENANT, "inc-1")
    return settle(store, policy, TENANT, "inc-1", revision)


def ledger(store: Store, incident_id: str = "inc-1") -> list[str]:
    table = schema.ledger_entry
    with store.read() as connection:
        rows = connection.execute(select(table.c.kind).where(table.c.chain == incident_id).order_by(table.c.seq))
        return list(rows.scalars())


def decision(update_id: str = "u-1", *, verdict: Verdict = Verdict.TRUE_POSITIVE) -> DecideIncidentInput:
    return DecideIncidentInput("ana", "person", verdict, False, "", 1, update_id)


def test_a_repeated_activity_changes_nothing(store: Store, l4: Policy) -> None:
    engine = FixedEngine()
    plant(store)
    first = one_pass(store, engine, l4)
    again = one_pass(store, engine, l4)

    assert again == first
    assert engine.asked == [1]
    assert ledger(store) == ["verdict", "ruling", "closure"]


def test_a_triage_whose_result_was_lost_is_not_entered_twice(store: Store, l4: Policy) -> None:
    engine = FixedEngine()
    plant(store)
    triage(store, engine, l4, TENANT, "inc-1")
    triage(store, engine, l4, TENANT, "inc-1")

    assert ledger(store) == ["verdict"]
    assert engine.asked == [1]


def test_another_version_of_the_engine_is_asked_about_what_is_not_settled_yet(store: Store, l4: Policy) -> None:
    plant(store)
    triage(store, FixedEngine(version="1"), l4, TENANT, "inc-1")
    triage(store, FixedEngine(version="2"), l4, TENANT, "inc-1")
    settle(store, l4, TENANT, "inc-1", 1)
    triage(store, FixedEngine(version="3"), l4, TENANT, "inc-1")

    assert ledger(store) == ["verdict", "verdict", "ruling", "closure"]


def test_an_incident_that_moved_on_is_not_settled_on_what_it_was(store: Store, l4: Policy) -> None:
    plant(store)
    revision = triage(store, FixedEngine(), l4, TENANT, "inc-1")
    with store.write() as connection:
        change_incident(connection, TENANT, "inc-1", announce=False)
    standing = settle(store, l4, TENANT, "inc-1", revision)

    assert (standing.status, standing.is_settled) == (IncidentStatus.NEW, False)
    assert ledger(store) == ["verdict"]


def test_many_workers_settle_one_revision_once(store: Store, l4: Policy) -> None:
    plant(store)
    engine = FixedEngine()
    with ThreadPoolExecutor(4) as threads:
        standings = list(threads.map(lambda _: one_pass(store, engine, l4), range(8)))

    assert {standing.status for standing in standings} == {IncidentStatus.CLOSED}
    assert ledger(store) == ["verdict", "ruling", "closure"]


def test_a_person_and_an_agent_at_once_leave_one_order_of_things(store: Store, l4: Policy) -> None:
    plant(store)
    triage(store, FixedEngine(), l4, TENANT, "inc-1")
    with ThreadPoolExecutor(2) as threads:
        agent = threads.submit(settle, store, l4, TENANT, "inc-1", 1)
        person = threads.submit(record_decision, store, TENANT, "inc-1", decision())
        settled = agent.result()
        refusal = person.exception()

    with store.read() as connection:
        status = connection.execute(select(schema.incident.c.status)).scalar_one()
    if refusal is None:
        assert (status, ledger(store)[1:]) == ("escalated", ["human_verdict", "escalation"])
        assert settled.status is IncidentStatus.ESCALATED
    else:
        assert isinstance(refusal, RefusedError)
        assert (status, ledger(store)[1:]) == ("closed", ["ruling", "closure"])


def test_the_agent_takes_back_no_escalation_of_a_person(store: Store, l4: Policy) -> None:
    plant(store)
    record_decision(store, TENANT, "inc-1", decision())
    with store.write() as connection:
        change_incident(connection, TENANT, "inc-1", announce=False)
    standing = one_pass(store, FixedEngine(), l4)

    assert (standing.status, standing.verdict) == (IncidentStatus.ESCALATED, Verdict.TRUE_POSITIVE)


def absorb(store: Store, absorbed: str, into: str) -> None:
    """As correlation joins two incidents that one observation belongs to."""
    table = schema.incident
    with store.write() as connection:
        connection.execute(
            update(table).where(table.c.id == absorbed).values(status="merged", merged_into=into, is_sealed=True)
        )
        change_incident(connection, TENANT, into, announce=False)


def test_what_a_person_took_stays_theirs_when_it_is_merged_into_other_incidents(store: Store, l4: Policy) -> None:
    for incident_id in ("inc-3", "inc-2", "inc-1"):
        plant(store, incident_id)
    record_decision(store, TENANT, "inc-3", decision(verdict=Verdict.BENIGN_POSITIVE))
    absorb(store, "inc-3", into="inc-2")
    absorb(store, "inc-2", into="inc-1")
    standing = one_pass(store, FixedEngine(), l4)

    assert standing.status is IncidentStatus.QUEUED
    assert "closure" not in ledger(store)


def test_the_agent_takes_back_no_escalation_of_an_incident_that_was_merged(store: Store, l4: Policy) -> None:
    plant(store)
    plant(store, "inc-2")
    record_decision(store, TENANT, "inc-2", decision())
    absorb(store, "inc-2", into="inc-1")
    standing = one_pass(store, FixedEngine(), l4)

    assert (standing.status, standing.verdict) == (IncidentStatus.ESCALATED, Verdict.TRUE_POSITIVE)


def test_nobody_overrules_unknowingly_what_was_said_of_a_merged_incident(store: Store) -> None:
    plant(store)
    plant(store, "inc-2")
    record_decision(store, TENANT, "inc-2", decision())
    absorb(store, "inc-2", into="inc-1")
    late = DecideIncidentInput("ben", "person", Verdict.BENIGN_POSITIVE, True, "", 2, "u-2")
    with pytest.raises(RefusedError, match="'ana' has said TruePositive of revision 1 of inc-2"):
        record_decision(store, TENANT, "inc-1", late)

    standing = record_decision(store, TENANT, "inc-1", replace(late, acknowledges_newer=True))
    assert standing.status is IncidentStatus.CLOSED


def test_an_unknown_incident_is_not_found(store: Store, l4: Policy) -> None:
    with pytest.raises(NotFoundError, match="inc-9"):
        triage(store, FixedEngine(), l4, TENANT, "inc-9")
    with pytest.raises(NotFoundError, match="inc-9"):
        settle(store, l4, TENANT, "inc-9", 1)


def test_an_incident_of_another_tenant_is_not_found(store: Store, l4: Policy) -> None:
    plant(store)
    with pytest.raises(NotFoundError):
        triage(store, FixedEngine(), l4, "other", "inc-1")


def test_a_permit_closes_the_revision_that_it_was_given_for_and_no_other(store: Store) -> None:
    plant(store)
    permit = person_permit(
        DecideRequest("inc-1", 1, Verdict.FALSE_POSITIVE),
        Principal("ana", PrincipalKind.PERSON),
        IncidentState(TENANT, "inc-1", 1, IncidentStatus.QUEUED),
    )
    with store.write() as connection:
        change_incident(connection, TENANT, "inc-1", announce=False)
    with store.write() as connection, pytest.raises(ConflictError, match="revision 1 of 'inc-1', not for revision 2"):
        close_incident(connection, lock_incident(connection, TENANT, "inc-1"), permit, parent_id="0" * 15 + "1")


def test_an_incident_beside_one_that_waits_is_not_closed_at_l3(store: Store, tmp_path: Path) -> None:
    host = digest16("entity", "host", "mail")
    for incident_id in ("inc-1", "inc-2"):
        plant(store, incident_id)
        with store.write() as connection:
            connection.execute(
                insert(schema.incident_entity).values(
                    tenant=TENANT, incident_id=incident_id, entity_id=host, alerts=1, is_asset=True
                )
            )
    record_decision(store, TENANT, "inc-2", decision())
    standing = one_pass(store, FixedEngine(), policy_at(tmp_path, "L3"))

    assert standing.status is IncidentStatus.QUEUED
    with store.read() as connection:
        ruling = connection.execute(
            select(schema.incident.c.ruling).where(schema.incident.c.id == "inc-1")
        ).scalar_one()
    hits = {hit["rule"]: hit["outcome"] for hit in ruling["hits"]}
    assert hits["open_context"] == "ask"


def give_alert(store: Store, *, integrity: Integrity) -> None:
    """One observed shape: a scanner's alert on a host."""
    shape_id, detector_id, host_id = digest16("s"), digest16("d"), digest16("h")
    rows: dict[Table, dict[str, object]] = {
        schema.detector: {
            "id": detector_id,
            "product": "suricata",
            "uid": "2001219",
            "title": "Scan",
            "tactics": [],
            "techniques": [],
        },
        schema.entity: {"id": host_id, "kind": "ip", "value": "192.0.2.10"},
        schema.shape: {
            "id": shape_id,
            "detector_id": detector_id,
            "asset_id": host_id,
            "severity": 2,
            "attributes": [],
        },
        schema.shape_entity: {
            "shape_id": shape_id,
            "entity_id": host_id,
            "role": "target",
            "integrity": int(integrity),
        },
        schema.observation: {
            "tick": 1,
            "shape_id": shape_id,
            "incident_id": "inc-1",
            "revision": 1,
            "alerts": 3,
            "first_us": 0,
            "last_us": 0,
            "is_late": False,
            "surprise": 0.0,
            "reason": {},
        },
    }
    with store.write() as connection:
        for table, values in rows.items():
            connection.execute(insert(table).values(tenant=TENANT, **values))


def policy_with_rule(folder: Path) -> Policy:
    write_policy(folder, "L1")
    until = (datetime.now(UTC) + timedelta(days=30)).date()
    rule = f"""
rules:
  - id: nightly-scan
    verdict: BenignPositive
    reason: The scanner runs every night.
    expires: {until}
    match:
      detector: {{product: suricata, uid: "2001219"}}
      entity: {{kind: ip, value: 192.0.2.10}}
      severity_max: medium
"""
    with (folder / OPERATORS_FILE).open("a") as file:
        file.write(rule)
    return PolicyFile(Settings(data_dir=folder)).current()


def test_at_l1_a_closing_rule_closes_what_it_covers_without_asking_an_engine(store: Store, tmp_path: Path) -> None:
    plant(store)
    give_alert(store, integrity=Integrity.SENSOR)
    engine = FixedEngine()
    standing = one_pass(store, engine, policy_with_rule(tmp_path))

    assert (standing.status, standing.verdict) == (IncidentStatus.CLOSED, Verdict.BENIGN_POSITIVE)
    assert engine.asked == []
    with store.read() as connection:
        assert connection.execute(select(schema.incident.c.closed_by)).scalar_one() == "rule"


def test_a_closing_rule_does_not_match_on_what_an_attacker_could_have_written(store: Store, tmp_path: Path) -> None:
    plant(store)
    give_alert(store, integrity=Integrity.EXTERNAL)
    standing = one_pass(store, FixedEngine(), policy_with_rule(tmp_path))

    assert standing.status is IncidentStatus.QUEUED


def test_each_decision_names_the_one_that_led_to_it(store: Store, l4: Policy) -> None:
    plant(store)
    one_pass(store, FixedEngine(), l4)
    table = schema.ledger_entry
    with store.read() as connection:
        bodies = connection.execute(select(table.c.body).order_by(table.c.seq)).scalars().all()
    entries = [json.loads(body) for body in bodies]

    assert [entry["parent"] for entry in entries] == [None, entries[0]["id"], entries[1]["id"]]
