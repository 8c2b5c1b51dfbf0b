"""Proposals and contexts for tests: one that everything allows, to be made worse in one respect at a time."""

from __future__ import annotations

from dataclasses import replace

from watchfloor_core.alert import Integrity, Severity
from watchfloor_core.incident import AutonomyLevel, Function, Verdict
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.action_context import ActionContext, PolicyInForce, Spending
from watchfloor_guardrails.autonomy import AutonomyMatrix, Row, Selector
from watchfloor_guardrails.blast import Blast
from watchfloor_guardrails.cedar import NO_POLICIES
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.incident_facts import IncidentFacts
from watchfloor_guardrails.limits import ActionLimits
from watchfloor_guardrails.proposal import ActionProposal, Proposer
from watchfloor_guardrails.sequence import Fact

NOW = 1_800_000_000_000_000
HEX = "ab" * 32
PIN = "cd" * 32
STATE = "ef" * 32
POLICY = "12" * 32

FACTS = IncidentFacts(
    revision=3,
    is_open=True,
    verdict=Verdict.TRUE_POSITIVE,
    severity=Severity.HIGH,
    asset_tier=2,
    alert_family="suricata",
    has_target=True,
)

PROPOSAL = ActionProposal(
    tenant="acme",
    incident_id="inc-0123456789abcdef",
    incident_revision=3,
    action_class="deny ip",
    tool="edge",
    arguments={},
    target_kind="ip",
    target=Labelled("203.0.113.7", Integrity.SENSOR),
    state_digest=STATE,
    evidence_root=HEX,
    blast=Blast(1, 0, 100, 2, in_inventory=False),
    undo_class="allow ip",
    lease_s=3_600,
    tool_pin=PIN,
    policy_digest=POLICY,
    kill_epoch=4,
    proposer=Proposer("specialist:response", PrincipalKind.AGENT),
    nonce="0" * 32,
    expires_us=NOW + 3_600_000_000,
)


def matrix(level: AutonomyLevel) -> AutonomyMatrix:
    return AutonomyMatrix(tuple(Row(function, Selector(), level) for function in Function))


def policy(level: AutonomyLevel = AutonomyLevel.L4, **limits: object) -> PolicyInForce:
    return PolicyInForce(
        matrix=matrix(level),
        limits=replace(ActionLimits(veto_window_s=None), **limits),  # type: ignore[arg-type]  # by name, from tests
        cedar=NO_POLICIES,
        digest=POLICY,
        is_signed=True,
        author="lea",
    )


CONTEXT = ActionContext(
    policy=policy(),
    caps=(),
    now_us=NOW,
    facts_at_proposal=FACTS,
    facts_now=FACTS,
    kill_epoch=4,
    engaged=(),
    frozen=None,
    state_digest=STATE,
    tool_pin=PIN,
    spending=Spending(actions=0, autonomous_actions=0, contained_assets=0, inventory_size=1_000),
    is_held=False,
    facts_touched=frozenset({Fact.OUTWARD_EFFECT, Fact.UNTRUSTED_INPUT}),
    dark_sources=(),
    evidence_editors=(),
    groups=(),
    undoes=None,
)
