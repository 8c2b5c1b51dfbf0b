"""All that a ruling on an action has to know, read in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, func, select

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.incident import AutonomyLevel, Function
from watchfloor_core.store.schema_authority import certificate, execution, lease
from watchfloor_guardrails.action_context import ActionContext, Spending
from watchfloor_guardrails.autonomy import Cap, CapName
from watchfloor_guardrails.breaker import breaker_state
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus, version_digest
from watchfloor_guardrails.sequence import Fact
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_workflows.authority.breakers import recent_outcomes
from watchfloor_workflows.authority.budgets import contained_assets, inventory_size
from watchfloor_workflows.authority.containments import Containment, lock_containments, under_way
from watchfloor_workflows.authority.freezes import is_frozen
from watchfloor_workflows.authority.incident_view import evidence_editors, facts_of, groups_on
from watchfloor_workflows.authority.kill_switch import read_switches
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.run_facts import facts_of as run_facts_of
from watchfloor_workflows.authority.run_facts import note_facts
from watchfloor_workflows.policy import Policy

HOUR_US: Final = 3_600 * MICROSECONDS
_RECENT: Final = 20
"""Outcomes that a breaker looks at."""
_CERTIFIED: Final = select(func.max(certificate.c.level)).where(
    certificate.c.tenant == bindparam("tenant"),
    certificate.c.function == Function.INCIDENT_RESPONSE.value,
    certificate.c.action_class == bindparam("action_class"),
    certificate.c.version_digest == bindparam("version_digest"),
    certificate.c.expires_us > bindparam("now_us"),
    certificate.c.revoked_us.is_(None),
)
_SPENT: Final = (
    select(execution.c.authority, func.count())
    .where(
        execution.c.tenant == bindparam("tenant"),
        execution.c.action_class == bindparam("action_class"),
        execution.c.consumed_us > bindparam("since_us"),
    )
    .group_by(execution.c.authority)
)
_HELD: Final = (
    select(lease.c.proposal_id)
    .where(
        lease.c.tenant == bindparam("tenant"),
        lease.c.action_class == bindparam("action_class"),
        lease.c.tool == bindparam("tool"),
        lease.c.target_value == bindparam("value"),
        lease.c.state != "ended",
    )
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class Observed:
    """The target and its tool at a moment; None where they cannot be read."""

    state_digest: str | None
    tool_pin: str | None


def scopes_of(tenant: str, action_class: str, tool: str, proposer: str) -> tuple[str, ...]:
    """The kill switches that cover an action."""
    return covering_scopes(tenant, Function.INCIDENT_RESPONSE.value, action_class, tool, proposer)


def surroundings(
    connection: Connection,
    stored: StoredProposal,
    proposal: ActionProposal,
    policy: Policy,
    observed: Observed,
    now_us: int,
    *,
    lock: bool = False,
) -> ActionContext:
    """The context of a ruling now. With ``lock`` a stop that comes later waits until the transaction ends."""
    draft = stored.draft
    scopes = scopes_of(proposal.tenant, proposal.action_class, proposal.tool, proposal.proposer.name)
    switches = read_switches(connection, scopes, lock=lock)
    if lock and proposal.known_class is not None and proposal.known_class.is_containment:
        lock_containments(connection, proposal.tenant)
    return ActionContext(
        policy=policy.in_force(proposal.tenant, proposal.action_class),
        caps=_caps(connection, proposal, policy, now_us),
        now_us=now_us,
        facts_at_proposal=draft.facts,
        facts_now=facts_of(connection, proposal.tenant, stored.incident_id, draft.target_kind, str(draft.target.value)),
        kill_epoch=switches.epoch,
        engaged=switches.engaged,
        frozen=is_frozen(connection, proposal.tenant, proposal.action_class),
        state_digest=observed.state_digest,
        tool_pin=observed.tool_pin,
        spending=_spending(connection, proposal, now_us),
        is_held=_is_held(connection, proposal),
        facts_touched=_facts_touched(connection, stored, now_us, notes=lock),
        dark_sources=(),
        evidence_editors=evidence_editors(connection, proposal.tenant, stored.incident_id),
        groups=groups_on(connection, proposal.tenant, proposal.target_kind, str(proposal.target.value)),
        undoes=_undoes(connection, proposal, draft, now_us),
    )


def _caps(connection: Connection, proposal: ActionProposal, policy: Policy, now_us: int) -> tuple[Cap, ...]:
    certified = _certified_level(connection, proposal, now_us)
    caps = [Cap(CapName.CERTIFIED, certified, "what measured outcomes bear out for this task and these versions")]
    in_use = policy.in_force(proposal.tenant, proposal.action_class)
    if in_use is not None:
        outcomes = recent_outcomes(
            connection,
            proposal.tenant,
            proposal.action_class,
            proposal.tool,
            max(_RECENT, in_use.limits.breaker_failures),
        )
        tripped = breaker_state(outcomes, in_use.limits.breaker_failures)
        if tripped is not None:
            caps.append(Cap(CapName.BREAKER, AutonomyLevel.L2, tripped))
    return tuple(caps)


def _certified_level(connection: Connection, proposal: ActionProposal, now_us: int) -> AutonomyLevel:
    """What is certified for exactly this class, proposer and tool; a change of either starts anew at L2."""
    asked = {
        "tenant": proposal.tenant,
        "action_class": proposal.action_class,
        "version_digest": version_digest(proposal.proposer, proposal.tool_pin),
        "now_us": now_us,
    }
    level = connection.execute(_CERTIFIED, asked).scalar_one_or_none()
    return AutonomyLevel.L2 if level is None else AutonomyLevel(max(AutonomyLevel.L2, min(AutonomyLevel.L4, level)))


def _spending(connection: Connection, proposal: ActionProposal, now_us: int) -> Spending:
    asked = {"tenant": proposal.tenant, "action_class": proposal.action_class, "since_us": now_us - HOUR_US}
    rows = connection.execute(_SPENT, asked)
    counts: dict[str, int] = {row[0]: row[1] for row in rows}
    return Spending(
        actions=sum(counts.values()),
        autonomous_actions=counts.get("level", 0),
        # Counting costs with what is held, and only a containment of something of ours is held against it.
        contained_assets=contained_assets(connection, proposal.tenant) if _holds_ours(proposal) else 0,
        inventory_size=inventory_size(connection, proposal.tenant),
    )


def _holds_ours(proposal: ActionProposal) -> bool:
    known = proposal.known_class
    return known is not None and known.is_containment and proposal.blast.in_inventory


def _is_held(connection: Connection, proposal: ActionProposal) -> bool:
    value = str(proposal.target.value)
    this = Containment(proposal.action_class, proposal.tool, proposal.target_kind, value)
    if this in under_way(connection, proposal.tenant):
        return True
    asked = {
        "tenant": proposal.tenant,
        "action_class": proposal.action_class,
        "tool": proposal.tool,
        "value": value,
    }
    return connection.execute(_HELD, asked).first() is not None


def _facts_touched(connection: Connection, stored: StoredProposal, now_us: int, *, notes: bool) -> frozenset[Fact]:
    """Every action is an effect outside; what it rests on was noted when it was sealed.

    In the transaction that consumes the grant the effect is noted, so that two steps of one run cannot each find that
    the other has not happened yet.
    """
    effect = frozenset({Fact.OUTWARD_EFFECT})
    if notes:
        return note_facts(connection, stored.tenant, stored.incident_id, effect, stored.id, now_us)
    return run_facts_of(connection, stored.tenant, stored.incident_id) | effect


def _undoes(connection: Connection, proposal: ActionProposal, draft: ActionDraft, now_us: int) -> str | None:
    """The digest of the executed proposal in which this very undo was stated for now, if there is one.

    Before the stated time it is not the stated undo: whoever lets go early decides something new. A person and an
    agent alike can ask for that, and it is ruled on like anything else.
    """
    if draft.undo_of is None or proposal.proposer.kind is not PrincipalKind.SERVICE:
        return None
    row = connection.execute(
        select(lease.c.ends_us, lease.c.state).where(
            lease.c.tenant == proposal.tenant, lease.c.proposal_id == draft.undo_of
        )
    ).one_or_none()
    if row is None or row.ends_us is None or row.state == "ended" or now_us < row.ends_us:
        return None
    origin = read_proposal(connection, proposal.tenant, draft.undo_of)
    sealed = origin.proposal
    if origin.status is not ProposalStatus.SUCCEEDED or sealed is None or sealed.digest != origin.digest:
        return None
    is_stated = (
        sealed.undo_class == proposal.action_class
        and sealed.tool == proposal.tool
        and sealed.target_kind == proposal.target_kind
        and sealed.target.value == proposal.target.value
        and not proposal.arguments
    )
    return sealed.digest if is_stated else None
