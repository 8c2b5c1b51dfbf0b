"""Decoys: nothing tells them apart before they have ended, everything does after, and nothing is done by them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from typer.testing import CliRunner, Result

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import ConflictError, RefusedError
from watchfloor_core.incident import IncidentStatus, Verdict
from watchfloor_core.ledger import verify_store
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.notice import NoticeKind
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_core.store.schema import asset, incident, ledger_entry
from watchfloor_core.store.schema_authority import action_proposal, approval_vote, budget_charge
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.commitment import opening_from_json
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role, scopes_of
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.access.tokens import create_token
from watchfloor_service.actions.approval_measures import measure_approvers
from watchfloor_service.cli import app
from watchfloor_service.commands.outcome import ExitCode
from watchfloor_service.testing import Api, eve_lines, plant_incidents
from watchfloor_service.testing_actions import seal
from watchfloor_workflows.action_messages import ProposalRef, VoteInput
from watchfloor_workflows.authority.announcing import notice_of
from watchfloor_workflows.authority.decoys import plant_decoys
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.authority.responding import respond
from watchfloor_workflows.authority.voting import open_approval, record_vote
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.standing import read_incident

TENANT = "default"
GATEWAY = "192.0.2.1"
# What is a proposal's own, decoy or not; everything else must be equal.
OWN = frozenset(
    {
        *("proposal_id", "target", "target_shown", "purpose", "digest", "view", "view_digest", "statement"),
        *("created_at", "deadline_at", "seconds_left", "value", "nonce", "expires_us", "commitment", "proposal"),
        "deadline_us",
    }
)


@pytest.fixture
def incident_id(api: Api) -> str:
    return attacked(api.store, api.settings)


def attacked(store: Store, settings: Settings) -> str:
    """An incident that is believed to be an attack, beside others of the same sensor, and an inventory."""
    incident_id = plant_incidents(store, settings, TENANT, eve_lines(12))[0]
    with store.write() as connection:
        connection.execute(
            update(incident)
            .where(incident.c.id == incident_id)
            .values(status=IncidentStatus.ESCALATED, verdict=Verdict.TRUE_POSITIVE)
        )
        gateway = {"kind": "ip", "value": GATEWAY, "tier": 3, "groups": []}
        connection.execute(insert(asset).values(tenant=TENANT, entity_id=b"g" * 16, **gateway))
    return incident_id


def plant(store: Store, settings: Settings, incident_id: str, *, by: str = "lea", seed: int = 7) -> str:
    """One decoy, sealed and before people."""
    policy = PolicyFile(settings).current()
    with store.write() as connection:
        ((proposal_id, _),) = plant_decoys(connection, TENANT, incident_id, 1, by, policy, random.Random(seed))
    seal(store, settings, TENANT, proposal_id)
    return proposal_id


def propose(store: Store, settings: Settings, incident_id: str) -> list[str]:
    """What the response agent itself proposes, sealed."""
    with store.write() as connection:
        held = read_incident(connection, TENANT, incident_id)
        decisions = respond(connection, held, PolicyFile(settings).current())
        record_decisions(connection, TENANT, decisions)
    found = [str(decision.body["proposal"]) for decision in decisions]
    for proposal_id in found:
        seal(store, settings, TENANT, proposal_id)
    return found


def deny(store: Store, settings: Settings, proposal_id: str, principal: str = "ana") -> None:
    with store.read() as connection:
        approval = open_approval(connection, read_proposal(connection, TENANT, proposal_id))
    vote = VoteInput(
        principal=principal,
        principal_kind=PrincipalKind.PERSON,
        roles=("lead", "responder"),
        tenant=TENANT,
        decision=VoteDecision.DENY,
        digest=approval.digest,
        comment="that is our gateway",
        channel="cli",
        key_id=None,
        assertion_json=None,
        update_id=f"{principal}-{proposal_id}",
    )
    record_vote(store, PolicyFile(settings).current(), ProposalRef(TENANT, proposal_id), vote, None)


def alike(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ in more than what every proposal has of its own."""
    if isinstance(one, dict) and isinstance(other, dict):
        if one.keys() != other.keys():
            yield f"{path}: {one.keys() ^ other.keys()}"
        for name in one.keys() & other.keys() - OWN:
            yield from alike(one[name], other[name], f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from alike(left, right, f"{path}[{index}]")
    elif one != other:
        yield f"{path}: {one!r} and {other!r}"


def entries(store: Store, proposal_id: str) -> list[dict[str, Any]]:
    """The bodies of the ledger about one proposal, in order, with their kinds."""
    with store.read() as connection:
        rows = connection.execute(select(ledger_entry.c.kind, ledger_entry.c.body).order_by(ledger_entry.c.seq)).all()
    bodies = [{"kind": kind, **json.loads(body)["body"]} for kind, body in rows]
    about = [body for body in bodies if body.get("proposal") == proposal_id]
    return [{**body, "preimage": json.loads(body["preimage"])} if "preimage" in body else body for body in about]


def test_nothing_that_anybody_is_shown_tells_a_decoy_from_a_real_proposal(api: Api, incident_id: str) -> None:
    real = propose(api.store, api.settings, incident_id)[0]
    # One about an address that the inventory does not list, as the real one's: what a blast says is no secret.
    decoy = plant(api.store, api.settings, incident_id, seed=1)
    with api.store.read() as connection:
        assert read_proposal(connection, TENANT, decoy).draft.target.value != GATEWAY
    reader = api.client(*scopes_of([Role.RESPONDER, Role.AUDITOR]), kind=PrincipalKind.PERSON, principal="ana")
    answers = []
    for proposal_id in (real, decoy):
        paths = (f"/v1/approvals/{proposal_id}", f"/v1/actions/{proposal_id}", f"/v1/approvals/{proposal_id}/record")
        found = [reader.get(path) for path in paths]
        assert [answer.status_code for answer in found] == [200, 200, 200]
        for answer in found:
            assert "decoy" not in answer.text.replace('"decoy_answer":null', "")
            assert "planted" not in answer.text
        with api.store.read() as connection:
            notice = notice_of(read_proposal(connection, TENANT, proposal_id), NoticeKind.REQUEST)
        assert notice is not None
        answers.append(
            {
                "approval": found[0].json(),
                "action": found[1].json(),
                "notice": {"kind": notice.kind.value, "class": notice.action_class, "roles": notice.roles},
                "ledger": entries(api.store, proposal_id),
                "record": {**found[2].json(), "preimage": json.loads(found[2].json()["preimage"])},
            }
        )
    assert [*alike(answers[0], answers[1])] == []
    assert "opening" not in json.dumps(answers)
    listed = reader.get("/v1/actions").json()["actions"]
    waiting = reader.get("/v1/approvals").json()["approvals"]
    for found_in in (listed, waiting):
        by_id = {one.get("proposal_id", one.get("action", {}).get("proposal_id")): one for one in found_in}
        assert [*alike(by_id[real], by_id[decoy])] == []


def test_a_decoy_says_of_itself_what_the_agent_says(api: Api, incident_id: str) -> None:
    real = propose(api.store, api.settings, incident_id)[0]
    decoy = plant(api.store, api.settings, incident_id)
    with api.store.read() as connection:
        drafts = [read_proposal(connection, TENANT, one).draft for one in (real, decoy)]
    words = [[word for word in draft.purpose.split() if not word.rstrip(",").isdigit()] for draft in drafts]
    assert words[0] == words[1]
    assert drafts[0].proposer == drafts[1].proposer
    assert drafts[0].target.integrity == drafts[1].target.integrity
    assert drafts[0].target.endorsed_by == drafts[1].target.endorsed_by


def test_the_ledger_holds_the_truth_from_the_start_and_tells_it_at_the_end(api_on_each: Api) -> None:
    store, settings = api_on_each.store, api_on_each.settings
    incident_id = attacked(store, settings)
    real, decoy = propose(store, settings, incident_id)[0], plant(store, settings, incident_id)
    for proposal_id, answer, by in ((real, None, None), (decoy, "deny", "lea")):
        deny(store, settings, proposal_id)
        first, *_, last = entries(store, proposal_id)
        assert (first["stage"], last["kind"]) == ("drafted", "approval_outcome")
        opening = opening_from_json(last["opening"])
        assert (opening.answer, opening.planted_by) == (answer, by)
        assert opening.commitment(TENANT, proposal_id) == first["commitment"]
    with store.read() as connection:
        verify_store(connection, TENANT)


def test_what_ended_before_anybody_was_asked_is_opened_too(api: Api, incident_id: str) -> None:
    policy = PolicyFile(api.settings).current()
    with api.store.write() as connection:
        ((proposal_id, _),) = plant_decoys(connection, TENANT, incident_id, 1, "lea", policy, random.Random(1))
        connection.execute(update(incident).values(status=IncidentStatus.CLOSED))
    seal(api.store, api.settings, TENANT, proposal_id)
    drafted, sealed, _ = entries(api.store, proposal_id)
    assert opening_from_json(sealed["opening"]).commitment(TENANT, proposal_id) == drafted["commitment"]


def test_after_it_has_ended_a_decoy_is_shown_as_one(api: Api, incident_id: str) -> None:
    real, decoy = propose(api.store, api.settings, incident_id)[0], plant(api.store, api.settings, incident_id)
    for proposal_id in (real, decoy):
        deny(api.store, api.settings, proposal_id)
    reader = api.client(*scopes_of([Role.VIEWER]), kind=PrincipalKind.PERSON, principal="ana")
    answers = {one["proposal_id"]: one["decoy_answer"] for one in reader.get("/v1/actions").json()["actions"]}
    assert (answers[real], answers[decoy]) == (None, "deny")
    assert reader.get(f"/v1/actions/{decoy}").json()["action"]["decoy_answer"] == "deny"


def test_a_decoy_names_what_the_incident_gives_no_cause_to_act_on(api: Api, incident_id: str) -> None:
    proposed = propose(api.store, api.settings, incident_id)
    reader = api.client(*scopes_of([Role.VIEWER]), kind=PrincipalKind.PERSON, principal="ana")
    named = {one["value"] for one in reader.get(f"/v1/incidents/{incident_id}").json()["entities"]}
    policy = PolicyFile(api.settings).current()
    with api.store.write() as connection:
        made = plant_decoys(connection, TENANT, incident_id, 5, "lea", policy, random.Random(3))
    targets = [value for _, value in made]
    assert len(set(targets)) == 5
    assert not named & set(targets)
    assert len(proposed) > 0


def test_where_a_decoy_would_stand_out_none_is_planted(api: Api, incident_id: str) -> None:
    policy = PolicyFile(api.settings).current()
    with api.store.write() as connection:
        with pytest.raises(RefusedError, match="could be named"):
            plant_decoys(connection, TENANT, incident_id, 99, "lea", policy, random.Random(3))
        connection.execute(update(incident).values(verdict=Verdict.UNDETERMINED))
        with pytest.raises(ConflictError, match="would stand out"):
            plant_decoys(connection, TENANT, incident_id, 1, "lea", policy, random.Random(3))
    with api.store.read() as connection:
        assert connection.execute(select(action_proposal)).all() == []


def test_what_a_decoy_named_may_still_be_proposed_in_earnest(api: Api, incident_id: str) -> None:
    would = propose(api.store, api.settings, incident_id)
    with api.store.write() as connection:
        drafts = [read_proposal(connection, TENANT, one).draft for one in would]
        connection.execute(action_proposal.delete())
        for draft in drafts:
            draft_action(connection, TENANT, draft, decoy_answer="deny", planted_by="lea")
    assert len(propose(api.store, api.settings, incident_id)) == len(would)


def test_an_answer_to_a_decoy_is_charged_to_no_budget(api: Api, incident_id: str) -> None:
    decoy = plant(api.store, api.settings, incident_id)
    deny(api.store, api.settings, decoy)
    with api.store.read() as connection:
        assert connection.execute(select(budget_charge)).all() == []


def timed(store: Store, principal: str, proposal_id: str, seconds: int, decision: str | None = None) -> None:
    """As if they had looked so long before; or as if they had said something else."""
    with store.write() as connection:
        where = (approval_vote.c.principal == principal, approval_vote.c.proposal_id == proposal_id)
        shown = {"shown_us": approval_vote.c.decided_us - seconds * MICROSECONDS}
        changed = {} if decision is None else {"decision": decision}
        connection.execute(update(approval_vote).where(*where).values(**shown, **changed))


def test_measures_say_how_often_how_fast_and_how_right_somebody_decides(api_on_each: Api) -> None:
    store, settings = api_on_each.store, api_on_each.settings
    incident_id = attacked(store, settings)
    real = propose(store, settings, incident_id)[0]
    right, wrong, own = (plant(store, settings, incident_id, by=by) for by in ("lea", "lea", "ana"))
    for proposal_id, seconds in ((real, 240), (right, 60), (wrong, 3), (own, 1)):
        deny(store, settings, proposal_id)
        timed(store, "ana", proposal_id, seconds)
    timed(store, "ana", wrong, 3, "approve")
    with store.read() as connection:
        (found,) = measure_approvers(connection, TENANT, 0)
        assert measure_approvers(connection, TENANT, 0, "ben") == []
        assert measure_approvers(connection, TENANT, 2**60) == []
        assert measure_approvers(connection, "other", 0) == []
    assert (found.principal, found.decisions, found.approvals, found.denials) == ("ana", 3, 1, 2)
    assert (found.timed, found.median_seconds) == (3, 60.0)
    assert found.share_under_10_s == pytest.approx(1 / 3)
    assert (found.decoys_right, found.decoys_wrong) == (1, 1)


def test_measures_do_not_tell_of_a_decoy_that_still_waits(api: Api, incident_id: str) -> None:
    decoy = plant(api.store, api.settings, incident_id)
    deny(api.store, api.settings, decoy)
    with api.store.write() as connection:
        connection.execute(update(action_proposal).values(status="waiting"))
    with api.store.read() as connection:
        (found,) = measure_approvers(connection, TENANT, 0)
    assert (found.decisions, found.decoys_right, found.decoys_wrong) == (1, 0, 0)


@pytest.fixture
def local(settings: Settings) -> Iterator[Store]:
    """The store in the test's data directory, as the command line finds it."""
    migrate(settings.store_url)
    store = open_store(settings.store_url)
    yield store
    store.close()


def run(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), "approvals", *arguments])


def token_file(store: Store, tmp_path: Path, name: str, role: Role) -> str:
    with store.write() as connection:
        issued = create_token(connection, TENANT, name, PrincipalKind.PERSON, tuple(scopes_of([role])))
    path = tmp_path / f"{name}.token"
    path.touch(mode=0o600)
    path.write_text(issued.text + "\n")
    return str(path)


def test_the_command_plants_them_under_the_operators_name(local: Store, settings: Settings) -> None:
    incident_id = attacked(local, settings)
    result = run(settings, "decoy", "--incident", incident_id, "--count", "2", "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)["decoys"]
    with local.read() as connection:
        stored = [read_proposal(connection, TENANT, one["proposal_id"]) for one in made]
    assert [one.decoy_answer for one in stored] == ["deny", "deny"]
    assert {one.opening.planted_by for one in stored if one.opening} == {local_principal()}
    assert "Tell nobody" in run(settings, "decoy", "--incident", incident_id).stdout


def test_who_is_measured_plants_none_and_sees_only_their_own_measures(
    local: Store, settings: Settings, tmp_path: Path
) -> None:
    incident_id = attacked(local, settings)
    ana, lea = token_file(local, tmp_path, "ana", Role.RESPONDER), token_file(local, tmp_path, "lea", Role.LEAD)
    result = run(settings, "decoy", "--incident", incident_id, "--token-file", ana)
    assert (result.exit_code, "a lead or an admin plants decoys" in result.stderr) == (ExitCode.REFUSED, True)
    assert run(settings, "decoy", "--incident", incident_id, "--token-file", lea).exit_code == 0
    for principal in ("ana", "ben"):
        deny(local, settings, plant(local, settings, incident_id), principal)
    own = json.loads(run(settings, "measures", "--json", "--token-file", ana).stdout)["approvers"]
    assert [one["principal"] for one in own] == ["ana"]
    refused = run(settings, "measures", "--principal", "ben", "--token-file", ana)
    assert (refused.exit_code, "sees how others decide" in refused.stderr) == (ExitCode.REFUSED, True)
    all_of_them = json.loads(run(settings, "measures", "--json", "--token-file", lea).stdout)["approvers"]
    assert [one["principal"] for one in all_of_them] == ["ana", "ben"]
    table = run(settings, "measures", "--days", "7").stdout
    assert "decoys right" in table
    assert "ana" in table


def test_the_command_line_shows_a_decoy_as_one_only_after_it_has_ended(local: Store, settings: Settings) -> None:
    incident_id = attacked(local, settings)
    decoy = plant(local, settings, incident_id)
    pages = (("approvals", "list"), ("approvals", "show", decoy), ("action", "list"), ("action", "show", decoy))
    for page in pages:
        shown = CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), *page])
        assert shown.exit_code == 0, shown.output
        assert decoy in shown.stdout or page[1:] == ("show", decoy)
        assert "decoy" not in shown.stdout
    deny(local, settings, decoy)
    for page in pages[2:]:
        shown = CliRunner().invoke(app, ["--data-dir", str(settings.data_dir), *page])
        assert "a decoy: the right answer was to deny" in shown.stdout
