"""From people's verdicts to a filter: what the tuning agent proposes, and that it goes live by authority alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from tests.workflows.plane import ANA, BEN, LEA, Plane, policy_at
from watchfloor_agents.detection.tuning import NAME
from watchfloor_connectors.detection.filters import load_filters
from watchfloor_connectors.inventory import InventoryItem
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.sigma_filters import SigmaFilters, SigmaFiltersOptions
from watchfloor_core.alert import EntityKind
from watchfloor_core.incident import AutonomyLevel, IncidentStatus, Verdict
from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import alert, batch_raw, incident, observation
from watchfloor_core.store.schema_authority import action_outbox
from watchfloor_guardrails.cedar import CedarPolicies
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus, Proposer
from watchfloor_guardrails.rule_filter import parse_filter
from watchfloor_service.runs.inventory import write_inventory
from watchfloor_service.testing import plant_incidents
from watchfloor_workflows.authority.records import StoredProposal, list_proposals
from watchfloor_workflows.human import record_decision
from watchfloor_workflows.messages import DecideIncidentInput
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.testing.actions import register
from watchfloor_workflows.testing.tools import OneTool

TENANT = "acme"
RULE = "5c6a5a0c-0000-4000-8000-000000000001"
FP, BP, TP = Verdict.FALSE_POSITIVE, Verdict.BENIGN_POSITIVE, Verdict.TRUE_POSITIVE
AGENT = Proposer(NAME, PrincipalKind.AGENT)
HASH = "ab" * 32


def match(day: int, **event: Any) -> bytes:
    """One match of the rule on that day."""
    given = {
        "sigma": {
            "id": RULE,
            "title": "Console started",
            "level": "medium",
            "tags": ["attack.t1059.003"],
            "logsource": {"product": "windows", "category": "process_creation"},
        },
        "timestamp": f"2026-01-{day:02d}T10:00:00Z",
        "event": {"EventID": 1, "Computer": "ws-17", "User": "ACME\\backup", "CommandLine": f"cmd /c {day}", **event},
    }
    return json.dumps(given).encode() + b"\n"


def plant(store: Store, settings: Settings, *matches: bytes) -> list[str]:
    """Each of its own day, and so an incident of its own; ids in the order of time."""
    plant_incidents(store, settings, TENANT, b"".join(matches), connector_name="sigma")
    with store.read() as connection:
        found = connection.scalars(
            select(incident.c.id).where(incident.c.tenant == TENANT).order_by(incident.c.first_us)
        )
        return list(found)


def say(
    store: Store,
    incident_id: str,
    verdict: Verdict,
    policy: Policy | None,
    *,
    close: bool = True,
    update_id: str = "once",
) -> None:
    with store.read() as connection:
        revision = connection.scalars(select(incident.c.revision).where(incident.c.id == incident_id)).one()
    said = DecideIncidentInput("ana", "person", verdict, close, "our backup", revision, f"{update_id}-{incident_id}")
    record_decision(store, TENANT, incident_id, said, policy)


def proposed(store: Store) -> list[StoredProposal]:
    with store.read() as connection:
        return [one for one in list_proposals(connection, TENANT) if one.draft.action_class == "create filter"]


def judge(
    store: Store,
    settings: Settings,
    matches: Sequence[bytes],
    words: Sequence[Verdict | None],
    *,
    close: bool = True,
) -> list[str]:
    """Plant them, and say these of them in the order of time; None says nothing."""
    ids = plant(store, settings, *matches)
    assert len(ids) == len(words)
    for one, word in zip(ids, words, strict=True):
        if word is not None:
            say(store, one, word, policy_at(), close=close and word is not TP)
    return ids


def test_what_people_call_harmless_again_and_again_is_to_be_set_aside(store: Store, settings: Settings) -> None:
    ids = judge(store, settings, [match(day) for day in (1, 8, 15)], [FP, BP, FP])
    [one] = proposed(store)
    assert one.incident_id == ids[-1]
    assert one.draft.proposer == AGENT
    wanted = parse_filter(str(one.draft.target.value))
    assert wanted.rule == RULE
    assert wanted.event == (("Computer", "ws-17"), ("User", "acme\\backup"))
    assert wanted.log_source == (("category", "process_creation"), ("product", "windows"))
    assert all(incident_id in one.draft.purpose for incident_id in ids)
    assert not one.draft.target.is_tainted


@pytest.mark.parametrize(
    "words",
    [[FP, FP, None, None], [None, FP, FP, None], [TP, FP, FP, FP], [FP, TP, FP, FP], [FP, None, FP, FP]],
    ids=["too few", "too few, and others open", "an attack before", "an attack between", "one that nobody decided on"],
)
def test_no_habit_no_filter(store: Store, settings: Settings, words: list[Verdict | None]) -> None:
    judge(store, settings, [match(day) for day in (1, 8, 15, 22)], words)
    assert proposed(store) == []


def test_of_what_differs_only_the_common_part_is_named(store: Store, settings: Settings) -> None:
    hashes = [{"Hashes": f"SHA256={HASH}"}, {"Hashes": f"SHA256={HASH[::-1]}"}, {"Hashes": f"SHA256={HASH}"}]
    judge(store, settings, [match(1 + 7 * n, **one) for n, one in enumerate(hashes)], [FP, FP, FP])
    [one] = proposed(store)
    assert "Hashes" not in dict(parse_filter(str(one.draft.target.value)).event)


def test_an_attack_under_the_wider_filter_leaves_the_narrower(store: Store, settings: Settings) -> None:
    benign = [match(day, Hashes=f"SHA256={HASH}") for day in (8, 15, 22)]
    judge(store, settings, [match(1, Hashes=f"SHA256={HASH[::-1]}"), *benign], [TP, FP, FP, FP])
    [one] = proposed(store)
    assert dict(parse_filter(str(one.draft.target.value)).event)["Hashes"] == f"sha256={HASH}"


@pytest.mark.parametrize(
    "event",
    [
        {"User": "NT AUTHORITY\\SYSTEM"},
        {"User": None, "TargetUserName": "backup"},
        {"User": "backup", "EventID": 4625},
        {"Computer": None},
    ],
    ids=["no account of its own", "an account acted on", "an account that somebody typed", "no host"],
)
def test_what_an_attacker_could_have_written_and_nothing_names_no_filter(
    store: Store, settings: Settings, event: dict[str, Any]
) -> None:
    given = [json.loads(match(day)) for day in (1, 8, 15)]
    for one in given:
        one["event"] = {name: value for name, value in {**one["event"], **event}.items() if value is not None}
    lines = [json.dumps(one).encode() + b"\n" for one in given]
    ids = plant(store, settings, *lines)
    for one in ids:
        say(store, one, FP, policy_at())
    assert proposed(store) == []


def test_what_an_agent_closed_teaches_nothing_and_hides_nothing(store: Store, settings: Settings) -> None:
    ids = plant(store, settings, *(match(day) for day in (1, 8, 15, 22)))
    with store.write() as connection:
        connection.execute(
            incident.update()
            .where(incident.c.id.in_(ids[:2]))
            .values(closed_by="agent", status=IncidentStatus.CLOSED.value, verdict=FP.value)
        )
    for one in ids[2:]:
        say(store, one, FP, policy_at())
    assert proposed(store) == [], "two of people and two of agents are no habit of people"


KELVIN = "\N{KELVIN SIGN}"


@pytest.mark.parametrize(
    ("attack", "benign"),
    [
        ({"User": "EVIL\\backup"}, {"User": "backup"}),
        ({"User": "ACME\\backup", "EventID": 4625}, {}),
        ({"Computer": "dc-01", "Hostname": "ws-17"}, {}),
        ({"Hashes": f"MD5={'c' * 32},SHA256={HASH}", "User": "ACME\\eve"}, {"Hashes": f"SHA256={HASH}"}),
        ({"User": f"ACME\\bac{KELVIN}up"}, {"User": "ACME\\backup"}),
    ],
    ids=["another domain", "a name typed at a logon", "another host", "another hash beside it", "another letter"],
)
def test_no_filter_hides_what_was_an_attack(
    store: Store, settings: Settings, attack: dict[str, Any], benign: dict[str, Any]
) -> None:
    judge(store, settings, [match(1, **attack), *(match(day, **benign) for day in (8, 15, 22))], [TP, FP, FP, FP])
    seen = json.loads(match(1, **attack))["event"]
    assert not [one for one in proposed(store) if parse_filter(str(one.draft.target.value)).sets_aside(seen)]


def test_the_case_of_a_rules_id_makes_no_other_rule(store: Store, settings: Settings) -> None:
    attack = match(1).replace(RULE.encode(), RULE.upper().encode())
    judge(store, settings, [attack, *(match(day) for day in (8, 15, 22))], [TP, FP, FP, FP])
    assert proposed(store) == []


@pytest.mark.parametrize("change", [{"title": "Harmless job"}, {"logsource": {"product": "windows"}}])
def test_where_alerts_differ_about_their_rule_nothing_is_proposed(
    store: Store, settings: Settings, change: dict[str, Any]
) -> None:
    forged = json.loads(match(8))
    forged["sigma"] |= change
    lines = [match(1), json.dumps(forged).encode() + b"\n", match(15)]
    judge(store, settings, lines, [FP, FP, FP])
    assert proposed(store) == []


def test_one_verdict_asks_for_two_filters_at_most(store: Store, settings: Settings) -> None:
    rules = [f"5c6a5a0c-0000-4000-8000-{number:012x}" for number in range(1, 6)]
    lines = [match(day).replace(RULE.encode(), one.encode()) for day in (1, 8, 15) for one in rules]
    ids = plant(store, settings, *lines)
    for one in ids:
        say(store, one, FP, policy_at())
    assert 0 < len(proposed(store)) <= 2


@pytest.mark.parametrize("level", [AutonomyLevel.L0, AutonomyLevel.L1])
def test_below_l2_of_detection_no_agent_proposes(store: Store, settings: Settings, level: AutonomyLevel) -> None:
    ids = plant(store, settings, *(match(day) for day in (1, 8, 15)))
    for one in ids:
        say(store, one, FP, policy_at(level))
    assert proposed(store) == []


def test_without_the_original_the_log_source_is_not_known(store: Store, settings: Settings) -> None:
    ids = plant(store, settings, *(match(day) for day in (1, 8, 15)))
    with store.write() as connection:
        connection.execute(delete(batch_raw))
    for one in ids:
        say(store, one, FP, policy_at())
    assert proposed(store) == []


def test_where_retention_has_deleted_an_attacks_alerts_nobody_knows_what_a_filter_would_hide(
    store: Store, settings: Settings
) -> None:
    ids = plant(store, settings, *(match(day) for day in (1, 8, 15, 22)))
    say(store, ids[0], TP, policy_at(), close=False)
    with store.write() as connection:
        gone = select(observation.c.shape_id).where(observation.c.incident_id == ids[0])
        connection.execute(delete(alert).where(alert.c.shape_id.in_(gone)))
    for one in ids[1:]:
        say(store, one, FP, policy_at())
    assert proposed(store) == []


def test_it_asks_once(store: Store, settings: Settings) -> None:
    ids = plant(store, settings, *(match(day) for day in (1, 8, 15, 22)))
    for one in ids:
        say(store, one, FP, policy_at())
    assert len(proposed(store)) == 1


def test_a_tuning_agent_that_fails_takes_nothing_from_the_persons_word(
    store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake of ours")

    ids = plant(store, settings, *(match(day) for day in (1, 8, 15)))
    monkeypatch.setattr("watchfloor_workflows.authority.tuning.prepare_action", fails)
    for one in ids:
        say(store, one, FP, policy_at())
    assert "detection is not tuned" in caplog.text
    with store.read() as connection:
        verdicts = connection.scalars(select(incident.c.verdict).where(incident.c.id.in_(ids))).all()
    assert list(verdicts) == [FP.value] * 3


@pytest.fixture
def tool(tmp_path: Path) -> SigmaFilters:
    return SigmaFilters(Slot("filters", TENANT, tmp_path), SigmaFiltersOptions())


def at_work(store: Store, tool: SigmaFilters, policy: Policy) -> Plane:
    register(store, ANA, BEN, LEA)
    return Plane(store, TENANT, policy, tools=OneTool(tool))


def test_a_person_signs_and_then_the_filter_is_there_until_its_time_is_over(
    store: Store, settings: Settings, tool: SigmaFilters
) -> None:
    plane = at_work(store, tool, policy_at())
    judge(store, settings, [match(day) for day in (1, 8, 15)], [FP, FP, FP])
    [one] = proposed(store)
    assert plane.seal(one.id).status is ProposalStatus.WAITING
    assert list(tool.folder.glob("*.yml")) == []
    view = plane.stored(one.id).view or ""
    assert f'what rule {RULE} reports of events with "Computer" = "ws-17" and "User" = "acme\\\\backup"\n' in view
    assert "Touches     no system; less is seen of one host\n" in view
    plane.vote(BEN, one.id)
    plane.carry_out(one.id)
    done = plane.stored(one.id)
    assert done.status is ProposalStatus.SUCCEEDED
    assert done.sealed().lease_s == 7 * 86_400, "the policy's longest"
    [held] = load_filters([tool.folder]).filters
    assert held.title == "Harmless on ws-17"
    with store.read() as connection:
        verify_store(connection, TENANT).raise_for_fault()


def test_whoever_calls_it_an_attack_after_all_voids_it(store: Store, settings: Settings, tool: SigmaFilters) -> None:
    plane = at_work(store, tool, policy_at())
    ids = judge(store, settings, [match(day) for day in (1, 8, 15)], [FP, FP, FP])
    [one] = proposed(store)
    plane.seal(one.id)
    plane.vote(BEN, one.id)
    with store.write() as connection:
        connection.execute(incident.update().where(incident.c.id == ids[-1]).values(verdict=TP.value))
    assert plane.grant(one.id).grant_id is None
    assert "nobody holds the incident for harmless" in (plane.stored(one.id).reason or "")


@pytest.mark.parametrize(
    ("level", "certified", "is_live"),
    [
        (AutonomyLevel.L2, 4, False),
        (AutonomyLevel.L3, None, False),
        (AutonomyLevel.L3, 3, True),
    ],
    ids=["L2", "L3 that nothing bears out", "L3"],
)
def test_a_tuned_rule_goes_live_by_itself_at_a_certified_l3_alone(
    store: Store, settings: Settings, tool: SigmaFilters, level: AutonomyLevel, certified: int | None, *, is_live: bool
) -> None:
    plane = at_work(store, tool, policy_at(level))
    judge(store, settings, [match(day) for day in (1, 8, 15)], [FP, FP, FP])
    [one] = proposed(store)
    if certified is not None:
        plane.certify("create filter", certified, proposer=AGENT, tool=tool)
    sealed = plane.seal(one.id)
    assert (sealed.status is ProposalStatus.APPROVED) is is_live, sealed
    plane.carry_out(one.id)
    assert bool(list(tool.folder.glob("*.yml"))) is is_live
    assert (plane.stored(one.id).status is ProposalStatus.SUCCEEDED) is is_live


def undos(store: Store) -> list[StoredProposal]:
    with store.read() as connection:
        return [one for one in list_proposals(connection, TENANT) if one.draft.action_class == "delete filter"]


def test_a_filter_that_waits_is_voided_by_any_attack_that_it_would_hide(
    store: Store, settings: Settings, tool: SigmaFilters
) -> None:
    plane = at_work(store, tool, policy_at())
    ids = judge(store, settings, [match(day) for day in (1, 8, 15)], [FP, FP, FP], close=False)
    [one] = proposed(store)
    plane.seal(one.id)
    say(store, ids[0], TP, policy_at(), close=False, update_id="again")
    with store.read() as connection:
        told = connection.execute(select(action_outbox.c.kind, action_outbox.c.reason)).all()
    assert ("void", f"incident {ids[0]} is TruePositive, and it would be set aside") in {tuple(row) for row in told}


def test_a_filter_that_hides_an_attack_is_proposed_to_go_and_a_person_can_have_it_go(
    store: Store, settings: Settings, tool: SigmaFilters
) -> None:
    plane = at_work(store, tool, policy_at())
    ids = judge(store, settings, [match(day) for day in (1, 8, 15)], [FP, FP, FP], close=False)
    [one] = proposed(store)
    plane.seal(one.id)
    plane.vote(BEN, one.id)
    plane.carry_out(one.id)
    for number, incident_id in enumerate(ids):
        say(store, incident_id, TP, policy_at(), close=False, update_id=f"again-{number}")
    [back] = undos(store)
    assert back.draft.undo_of == one.id
    assert plane.seal(back.id).status is ProposalStatus.WAITING
    view = plane.stored(back.id).view or ""
    assert "Shows again what rule" in view
    assert "Sets aside" not in view
    plane.vote(BEN, back.id)
    plane.carry_out(back.id)
    assert plane.stored(back.id).status is ProposalStatus.SUCCEEDED
    assert not list(tool.folder.glob("*.yml"))


def test_policies_on_groups_of_assets_see_the_host_of_a_filter(
    store: Store, settings: Settings, tool: SigmaFilters
) -> None:
    cedar = """@id("payment") @reason("never there")
forbid (principal, action, resource in Group::"payment");"""
    policy = replace(policy_at(AutonomyLevel.L3), cedar=CedarPolicies.load({"own.cedar": cedar}))
    plane = at_work(store, tool, policy)
    with store.write() as connection:
        write_inventory(connection, TENANT, [InventoryItem(EntityKind.HOST, "ws-17", 2, ("payment",))])
    judge(store, settings, [match(day) for day in (1, 8, 15)], [FP, FP, FP])
    [one] = proposed(store)
    plane.certify("create filter", 3, proposer=AGENT, tool=tool)
    assert plane.seal(one.id).status is ProposalStatus.DENIED
