"""What a ruling on an action costs, as ratios of floors measured in the same run.

A matrix of 50 rows, 20 Cedar policies of which a few apply, proposals that differ in class, target, tier and level. The
floors: Cedar's own decision on the same policies with nothing around it, and the proposal's digest alone. The figures
are the median and the 99th percentile of single rulings, one after the other: by the wall, and by the CPU time of the
thread, which other programs on the machine disturb less.

Usage: ``python benchmarks/bench_ruling.py [--rulings 5000]``
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import cedarpy

from watchfloor_core.alert import Integrity, Severity
from watchfloor_core.incident import AutonomyLevel, Function, Verdict
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.action_context import ActionContext, PolicyInForce, Spending
from watchfloor_guardrails.autonomy import AutonomyMatrix, NameMatch, Row, Selector
from watchfloor_guardrails.blast import Blast
from watchfloor_guardrails.bundle import policy_digest
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.cedar import CedarPolicies
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.gates import RulingDecision
from watchfloor_guardrails.incident_facts import IncidentFacts
from watchfloor_guardrails.limits import ActionLimits, LimitTable
from watchfloor_guardrails.proposal import ActionProposal, Proposer
from watchfloor_guardrails.ruling import rule
from watchfloor_guardrails.sequence import Fact

TARGET_MS = 1.0
"""p99 of a ruling."""
ROWS, POLICIES = 50, 20
CEDAR = Path(__file__).with_name("policies.cedar").read_text()
"""Of which `never`, `tainted` and `tiers` apply to some of the proposals below."""
NOW = 1_800_000_000_000_000
HEX = "ab" * 32
FORBIDDEN = "203.0.113.13"
CLASSES = ("deny ip", "allow ip", "disable user", "contain file")

Subject = TypeVar("Subject")


def matrix() -> AutonomyMatrix:
    defaults = [Row(function, Selector(), AutonomyLevel.L2) for function in Function]
    more = [
        Row(
            Function.INCIDENT_RESPONSE,
            Selector(CLASSES[number % 4], NameMatch(f"family-{number}", is_prefix=True), number % 4, NameMatch("acme")),
            AutonomyLevel(2 + number % 3),
        )
        for number in range(ROWS - len(defaults))
    ]
    return AutonomyMatrix((*defaults, *more))


def policy(cedar: CedarPolicies) -> PolicyInForce:
    rows, limits = matrix(), ActionLimits()
    return PolicyInForce(rows, limits, cedar, policy_digest(rows, LimitTable(limits), cedar), True, "lea")


def cases(in_force: PolicyInForce, count: int) -> Iterator[tuple[ActionProposal, ActionContext]]:
    for number in range(count):
        action_class = CLASSES[number % 4]
        known = CATALOGUE[action_class]
        value = {
            TargetKind.IP: f"198.51.{number % 200}.{number % 250}",
            TargetKind.USER: f"user-{number}",
            TargetKind.FILE: f"/srv/files/{number}",
            TargetKind.PROCESS: f"{number}@1",
        }[known.target]
        if number % 100 == 0:
            value = FORBIDDEN
        facts = IncidentFacts(
            revision=3,
            is_open=True,
            verdict=Verdict.TRUE_POSITIVE,
            severity=Severity.HIGH,
            asset_tier=number % 4,
            alert_family=f"family-{number % 50}",
            has_target=True,
        )
        proposal = ActionProposal(
            tenant="acme",
            incident_id=f"inc-{number:016x}",
            incident_revision=3,
            action_class=action_class,
            tool="edge",
            arguments={},
            target_kind=known.target.value,
            target=Labelled(value, Integrity.EXTERNAL if number % 3 == 0 else Integrity.SENSOR),
            state_digest=HEX,
            evidence_root=HEX,
            blast=Blast(1, 0, 100, number % 4, in_inventory=False),
            undo_class=known.undo,
            lease_s=3_600 if known.is_containment else None,
            tool_pin=HEX,
            policy_digest=in_force.digest,
            kill_epoch=4,
            proposer=Proposer("specialist:response", PrincipalKind.AGENT),
            nonce=f"{number:032x}",
            expires_us=NOW + 3_600_000_000,
        )
        yield (
            proposal,
            ActionContext(
                policy=in_force,
                caps=(),
                now_us=NOW,
                facts_at_proposal=facts,
                facts_now=facts,
                kill_epoch=4,
                engaged=(),
                frozen=None,
                state_digest=HEX,
                tool_pin=HEX,
                spending=Spending(actions=0, autonomous_actions=0, contained_assets=0, inventory_size=1_000),
                is_held=False,
                facts_touched=frozenset({Fact.OUTWARD_EFFECT, Fact.UNTRUSTED_INPUT}),
                dark_sources=(),
                evidence_editors=("mia",),
                groups=("servers", "dmz"),
                undoes=None,
            ),
        )


def bare_cedar() -> Callable[[object], object]:
    """Cedar's decision, as a program would ask for it that has everything at hand."""
    policies = cedarpy.PolicySet.from_str(CEDAR)
    request = {
        "principal": {"type": "Proposer", "id": "specialist:response"},
        "action": {"type": "Action", "id": "deny ip"},
        "resource": {"type": "Target", "id": "ip 198.51.100.1"},
        "context": {"level": 2, "is_tainted": False, "hour_utc": 8, "blast_assets": 1},
    }
    entities = (
        '[{"uid": {"type": "Target", "id": "ip 198.51.100.1"}, "parents": [], "attrs": {"value": "198.51.100.1", '
        '"tier": 2, "address": {"__extn": {"fn": "ip", "arg": "198.51.100.1"}}}}]'
    )
    return lambda _: cedarpy.is_authorized(request, policies, entities)


def seconds(call: Callable[[Subject], object], subjects: Sequence[Subject]) -> tuple[list[float], list[float]]:
    """How long each call took by the wall and by CPU, the shortest first."""
    wall, cpu = [], []
    gc.collect()
    for subject in subjects:
        began, cpu_began = time.perf_counter(), time.thread_time()
        call(subject)
        cpu.append(time.thread_time() - cpu_began)
        wall.append(time.perf_counter() - began)
    return sorted(wall), sorted(cpu)


def check(prepared: Sequence[tuple[ActionProposal, ActionContext]]) -> Counter[RulingDecision]:
    """The decisions; raises where a policy was not heard or one that nobody wrote was."""
    decisions: Counter[RulingDecision] = Counter()
    for proposal, context in prepared:
        ruling = rule(proposal, context)
        decisions[ruling.decision] += 1
        policies = {hit.rule for hit in ruling.hits if hit.rule.startswith("policy:")}
        expected = {"policy:never"} if proposal.target.value == FORBIDDEN else set()
        if proposal.tainted:
            expected.add("policy:tainted")
        if proposal.blast.tier <= 1 and ruling.level >= AutonomyLevel.L3:
            expected.add("policy:tiers")
        if policies != expected or ruling.digest != proposal.digest:
            raise SystemExit(f"{proposal.target.value}: {sorted(policies)} applied, expected {sorted(expected)}")
    return decisions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rulings", type=int, default=5_000)
    count = parser.parse_args().rulings
    cedar = CedarPolicies.load({"own.cedar": CEDAR})
    prepared = list(cases(policy(cedar), count))
    # Context by context, so that the two differ in nothing else.
    plain = [(one, replace(context, policy=policy(CedarPolicies()))) for one, context in prepared]
    assert len(cedar.rules) == POLICIES
    decisions = check(prepared)
    floor = seconds(bare_cedar(), range(count))
    taken = {
        "bare Cedar decision": floor,
        "digest of a proposal": seconds(lambda one: one[0].digest, prepared),
        "ruling, no policies": seconds(lambda one: rule(*one), plain),
        f"ruling, {POLICIES} policies": seconds(lambda one: rule(*one), prepared),
    }
    told = ", ".join(f"{number:,} {decision}" for decision, number in sorted(decisions.items()))
    print(f"rulings on actions, {count:,} of them ({told}), matrix of {len(matrix().rows)} rows")
    middle, rare = count // 2, count * 99 // 100
    for name, (wall, cpu) in taken.items():
        by_wall = f"{wall[middle] * 1e3:7.3f} ms   p99 {wall[rare] * 1e3:7.3f} ms"
        by_cpu = f"CPU {cpu[middle] * 1e3:7.3f} ms   p99 {cpu[rare] * 1e3:7.3f} ms"
        print(f"  {name:<22} {by_wall}   {by_cpu}   {wall[middle] / floor[0][middle]:5.2f} bare Cedar decisions")
    wall, cpu = (each[rare] * 1e3 for each in taken[f"ruling, {POLICIES} policies"])
    print(f"  p99 of a ruling: {wall:.3f} ms, {cpu:.3f} ms of CPU   (under {TARGET_MS} ms: {verdict(wall, cpu)})")


def verdict(wall: float, cpu: float) -> str:
    if wall < TARGET_MS:
        return "yes"
    return "by CPU; the machine was busy" if cpu < TARGET_MS else "NO"


if __name__ == "__main__":
    main()
