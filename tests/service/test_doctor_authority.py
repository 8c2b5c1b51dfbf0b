"""The doctor on what actions need and what holds them back: policy, tools, keys, switches, freezes, people."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from sqlalchemy import insert, update

from watchfloor_connectors.targets.registry import ActionTargets
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.keys.payload import PayloadKeyRing, format_ring, new_key
from watchfloor_core.keys.payload_file import ensure_ring, ring_file
from watchfloor_core.keys.private_file import create_private
from watchfloor_core.keys.signing import GRANT_KEY, signing_key
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal, kill_switch, lease, policy_version
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.effect import tool_pin
from watchfloor_service import doctor
from watchfloor_service.checks import configuration, key_files, restraints, services
from watchfloor_service.doctor import Check, Finding, Health
from watchfloor_service.supervision.claim import Claim
from watchfloor_service.supervision.running import RunningStack
from watchfloor_service.testing import eve_lines, plant_incidents
from watchfloor_service.testing_actions import plant_draft, plant_waiting
from watchfloor_workflows.action_messages import ObserveTargetResult, ProposalRef
from watchfloor_workflows.authority.freezes import freeze_class
from watchfloor_workflows.authority.kill_switch import engage
from watchfloor_workflows.authority.sealing import seal_proposal
from watchfloor_workflows.policy import PolicyFile

ANA = Principal("ana", PrincipalKind.PERSON)


@pytest.fixture
def settings(settings: Settings, sqlite_url: str) -> Settings:
    """With the store of `sqlite_store`."""
    return Settings.model_validate({**settings.model_dump(), "database_url": sqlite_url})


def run(check: Check, settings: Settings) -> Finding:
    """As `examine` has it: an error is a finding too."""
    return doctor._guarded(check, settings)


def said(finding: Finding) -> str:
    return f"{finding.found} / {finding.remedy}"


def test_a_policy_that_is_not_signed_is_told_and_one_that_cannot_be_read_fails(
    settings: Settings, sqlite_store: Store
) -> None:
    finding = run(configuration.policy, settings)
    assert finding.health is Health.INFO
    assert "held to L2" in finding.found

    (settings.data_dir / "autonomy.yaml").write_text("rows: 7\n")
    finding = run(configuration.policy, settings)
    assert finding.health is Health.FAIL
    assert "autonomy.yaml" in finding.found
    assert "watchfloor policy check" in finding.remedy


def test_a_signed_policy_that_is_gone_fails(settings: Settings, sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        connection.execute(
            insert(policy_version).values(
                version=3, digest="0" * 64, author="ana", envelope="{}", files={}, activated_by="ana", activated_us=1
            )
        )
    finding = run(configuration.policy, settings)
    assert finding.health is Health.FAIL
    assert "signed policy 3 of 'ana' was put in force here, and is gone" in finding.found


def test_tools_are_named_and_a_mistake_among_them_fails_with_its_line(settings: Settings) -> None:
    assert run(configuration.tools, settings).found.endswith("targets.yaml: blocklist (allow ip, deny ip)")
    file = settings.data_dir / "targets.yaml"
    file.write_text("targets:\n  - tool: edge\n    kind: nonsense\n    tenants: '*'\n")
    finding = run(configuration.tools, settings)
    assert finding.health is Health.FAIL
    assert "targets.yaml:3" in finding.found
    assert str(file) in finding.remedy


def test_channels_with_a_secret_that_is_not_there_fail_and_no_secret_is_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(configuration.channels, settings).health is Health.OK
    (settings.data_dir / "channels.yaml").write_text(
        "public_url: https://watchfloor.example.org\n"
        "channels:\n  - {name: out, kind: webhook, tenant: default, roles: [lead], url: https://example.org/in, "
        "secret: env:HOOK_SECRET}\n"
    )
    finding = run(configuration.channels, settings)
    assert finding.health is Health.FAIL
    assert "HOOK_SECRET" in finding.found
    monkeypatch.setenv("HOOK_SECRET", "c0ffee" * 8)
    finding = run(configuration.channels, settings)
    assert finding == Finding(Health.OK, "1: out")


def test_a_private_key_that_others_may_read_fails(settings: Settings) -> None:
    assert run(key_files.signing_keys, settings).health is Health.OK
    folder = settings.data_dir / "keys"
    signing_key(folder, GRANT_KEY)
    assert run(key_files.signing_keys, settings).health is Health.OK
    os.chmod(folder / "grant.key", 0o644)
    finding = run(key_files.signing_keys, settings)
    assert finding.health is Health.FAIL
    assert "grant.key" in finding.found
    assert "chmod 600" in finding.remedy


def test_a_public_key_of_another_private_one_fails_where_the_executor_reads_it(settings: Settings) -> None:
    signing_key(settings.data_dir / "keys", GRANT_KEY)
    signing_key(settings.data_dir / "other", GRANT_KEY)
    other = settings.model_copy(update={"grant_public_key": settings.data_dir / "other" / "grant.pub"})
    finding = run(key_files.signing_keys, other)
    assert finding.health is Health.FAIL
    assert "refuses every grant" in finding.found
    missing = settings.model_copy(update={"grant_public_key": settings.data_dir / "nowhere.pub"})
    finding = run(key_files.signing_keys, missing)
    assert finding.health is Health.FAIL
    assert "copy the worker's grant.pub" in finding.remedy


def test_looking_at_keys_makes_and_mends_none(settings: Settings) -> None:
    folder = settings.data_dir / "keys"
    run(key_files.signing_keys, settings)
    run(key_files.payload_ring, settings)
    assert not folder.exists()
    signing_key(folder, GRANT_KEY)
    (folder / "grant.pub").unlink()
    finding = run(key_files.signing_keys, settings)
    assert finding.health is Health.WARN
    assert not (folder / "grant.pub").exists()


def test_a_ring_is_named_without_its_keys_and_a_damaged_one_fails(settings: Settings) -> None:
    path = ring_file(settings.data_dir)
    ensure_ring(path)
    finding = run(key_files.payload_ring, settings)
    assert finding.health is Health.OK
    assert finding.found.endswith(", 0 older")
    path.write_text("{}")
    finding = run(key_files.payload_ring, settings)
    assert finding.health is Health.FAIL
    assert "backup" in finding.remedy


def test_a_ring_that_takes_plaintext_is_a_warning(settings: Settings) -> None:
    create_private(ring_file(settings.data_dir), format_ring(PayloadKeyRing(new_key(), accepts_plaintext=True)))
    finding = run(key_files.payload_ring, settings)
    assert finding.health is Health.WARN
    assert "refuse-plaintext" in finding.remedy


def test_an_engaged_switch_is_a_warning_with_who_and_why(settings: Settings, sqlite_store: Store) -> None:
    assert run(restraints.kill_switches, settings).health is Health.OK
    engage(sqlite_store, "default", "tenant:default", ANA, "a drill\x1b[2J")
    finding = run(restraints.kill_switches, settings)
    assert finding.health is Health.WARN
    assert "tenant:default since" in finding.found
    assert "by ana: a drill" in finding.found
    assert "\x1b" not in finding.found
    assert "watchfloor kill release" in finding.remedy


def test_switches_that_cannot_be_read_fail(settings: Settings, sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        connection.execute(kill_switch.delete())
    finding = run(restraints.kill_switches, settings)
    assert finding.health is Health.FAIL
    assert "nothing acts" in said(finding)


def test_a_freeze_of_any_tenant_is_a_warning(settings: Settings, sqlite_store: Store) -> None:
    assert run(restraints.freezes, settings).health is Health.OK
    with sqlite_store.write() as connection:
        freeze_class(connection, "other", "deny ip", "act-0123456789abcdef", "nobody knows")
    finding = run(restraints.freezes, settings)
    assert finding.health is Health.WARN
    assert "other: deny ip since" in finding.found
    assert "lift-freeze" in finding.remedy


def test_what_another_tool_pin_holds_in_force_is_a_warning(settings: Settings, sqlite_store: Store) -> None:
    file = settings.data_dir / "targets.yaml"
    entry = "targets:\n  - {tool: edge, kind: blocklist, tenants: '*', file: '/srv/%s/{tenant}.txt'%s}\n"
    file.write_text(entry % ("lists", ""))
    assert run(configuration.leases, settings).health is Health.OK
    pin = tool_pin(ActionTargets.load(settings).of("default", "edge"))
    incident_id = plant_incidents(sqlite_store, settings, "default", eve_lines(12))[0]
    held, ended = (plant_draft(sqlite_store, "default", incident_id, target=f"198.51.100.{n}") for n in (1, 2))
    for proposal_id, state in ((held, "open"), (ended, "ended")):
        policy = PolicyFile(settings, sqlite_store).current()
        observed = ObserveTargetResult("edge", pin, "b" * 64)
        seal_proposal(sqlite_store, policy, ProposalRef("default", proposal_id), observed)
        with sqlite_store.write() as connection:
            connection.execute(
                insert(lease).values(
                    tenant="default", proposal_id=proposal_id, action_class="deny ip", tool="edge", target_kind="ip",
                    target_value="198.51.100.1", opened_us=1, state=state,
                )
            )  # fmt: skip
    assert run(configuration.leases, settings).health is Health.OK

    file.write_text(entry % ("lists", ", never: [198.51.100.0/24]"))
    assert run(configuration.leases, settings).health is Health.OK, "what only restricts makes no other tool"

    file.write_text(entry % ("elsewhere", ""))
    finding = run(configuration.leases, settings)
    assert finding.health is Health.WARN
    assert finding.found == (
        f"1 in force by another tool pin: default: deny ip \"198.51.100.1\" ({held}), the tool 'edge' acts in another "
        "way or at another place since"
    )
    assert "action undo" in finding.remedy

    file.write_text((entry % ("lists", "")).replace("edge", "other"))
    assert "there is no tool 'edge' any more" in run(configuration.leases, settings).found


def test_a_proposal_is_named_once_half_of_its_time_is_over(settings: Settings, sqlite_store: Store) -> None:
    assert run(restraints.approvals, settings).found == "nothing waits"
    incident_id = plant_incidents(sqlite_store, settings, "default", eve_lines(12))[0]
    proposal_id = plant_waiting(sqlite_store, settings, "default", incident_id)
    assert run(restraints.approvals, settings) == Finding(Health.OK, "1 wait, none past half of its time")
    with sqlite_store.write() as connection:
        terms = connection.scalars(action_proposal.select().with_only_columns(action_proposal.c.ruling)).one()
        deadline_us = now_us() + terms["terms"]["wait_s"] * MICROSECONDS * 4 // 10
        terms["terms"]["deadline_us"] = deadline_us
        connection.execute(update(action_proposal).values(ruling=terms, deadline_us=deadline_us))
    finding = run(restraints.approvals, settings)
    assert finding.health is Health.INFO
    assert proposal_id in finding.found
    assert "watchfloor approvals list" in finding.remedy


def test_a_lasting_stack_without_an_executor_is_a_warning(settings: Settings) -> None:
    assert run(services.executor, settings).health is Health.OK
    stack = RunningStack(os.getpid(), "up", 1, "127.0.0.1:1", None, None, "", {"worker": 7, "executor": 8})
    claim = Claim.take(settings.data_dir, "up")
    try:
        stack.write(settings.data_dir)
        assert run(services.executor, settings) == Finding(Health.OK, "pid 8")
        replace(stack, processes={"worker": 7}).write(settings.data_dir)
        finding = run(services.executor, settings)
        assert finding.health is Health.WARN
        assert "executor.log" in finding.remedy
        replace(stack, command="run", processes={"worker": 7}).write(settings.data_dir)
        assert run(services.executor, settings).health is Health.INFO
    finally:
        claim.release()
