"""All that a ruling on an action has to know, read in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, exists, func, literal, literal_column, or_, select

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.incident import AutonomyLevel
from watchfloor_core.store.schema import incident, ledger_entry
from watchfloor_core.store.schema_authority import action_proposal, certificate, execution, freeze, lease
from watchfloor_guardrails.action_context import ActionContext, Spending
from watchfloor_guardrails.autonomy import Cap, CapName
from watchfloor_guardrails.breaker import breaker_state
from watchfloor_guardrails.catalogue import function_of
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus, version_digest
from watchfloor_guardrails.sequence import Fact
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_workflows.authority.breakers import SELECT_LAST_OUTCOME, is_closed, recent_outcomes
from watchfloor_workflows.authority.budgets import COUNT_INVENTORY, contained_assets
from watchfloor_workflows.authority.containments import lock_containments
from watchfloor_workflows.authority.freezes import is_frozen
from watchfloor_workflows.authority.incident_view import (
    EDITS,
    SELECT_GROUPS,
    SELECT_TARGET,
    asset_of,
    evidence_editors,
    facts_from,
)
from watchfloor_workflows.authority.kill_switch import SwitchReading, read_switches
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.run_facts import SELECT_NOTED, facts_named, keep_facts
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import INCIDENT_COLUMNS, StoredIncident, incident_of

HOUR_US: Final = 3_600 * MICROSECONDS
_RECENT: Final = 20
"""Outcomes that a breaker looks at."""
_OUTWARD: Final = frozenset({Fact.OUTWARD_EFFECT})
# One question for all that is a single row: what a ruling costs beside its own work is round trips to the store.
_SPENT: Final = (
    select(func.count())
    .select_from(execution)
    .where(
        execution.c.tenant == bindparam("tenant"),
        execution.c.action_class == bindparam("action_class"),
        execution.c.consumed_us > bindparam("since_us"),
    )
)
_BEGUN: Final = (
    exists()
    .where(
        execution.c.tenant == bindparam("tenant"),
        # Literal: a parameter would keep the index of what is under way from being used.
        execution.c.phase == literal_column("'acting'"),
        execution.c.action_class == bindparam("action_class"),
        execution.c.tool == bindparam("tool"),
        action_proposal.c.tenant == execution.c.tenant,
        action_proposal.c.id == execution.c.proposal_id,
        action_proposal.c.draft["target_kind"].as_string() == bindparam("kind"),
        action_proposal.c.draft[("target", "value")].as_string() == bindparam("value"),
    )
    .label("is_begun")
)
_ASKED: Final = select(literal(1)).subquery("asked")
_STANDING: Final = select(
    *INCIDENT_COLUMNS,
    select(func.max(certificate.c.level))
    .where(
        certificate.c.tenant == bindparam("tenant"),
        certificate.c.function == bindparam("function"),
        certificate.c.action_class == bindparam("action_class"),
        certificate.c.version_digest == bindparam("version_digest"),
        certificate.c.expires_us > bindparam("now_us"),
        certificate.c.revoked_us.is_(None),
    )
    .scalar_subquery()
    .label("certified"),
    _SPENT.scalar_subquery().label("actions"),
    _SPENT.where(execution.c.authority == "level").scalar_subquery().label("autonomous_actions"),
    COUNT_INVENTORY.scalar_subquery().label("inventory_size"),
    _BEGUN,
    exists()
    .where(
        lease.c.tenant == bindparam("tenant"),
        lease.c.action_class == bindparam("action_class"),
        lease.c.tool == bindparam("tool"),
        lease.c.target_value == bindparam("value"),
        lease.c.state != "ended",
    )
    .label("is_held"),
    exists()
    .where(
        freeze.c.tenant == bindparam("tenant"),
        freeze.c.action_class == bindparam("action_class"),
        freeze.c.lifted_us.is_(None),
    )
    .label("is_frozen"),
    exists()
    .where(
        ledger_entry.c.tenant == bindparam("tenant"),
        ledger_entry.c.chain == bindparam("incident_id"),
        or_(*(ledger_entry.c.kind == kind for kind in EDITS)),
    )
    .label("is_edited"),
    exists(SELECT_TARGET).label("has_target"),
    SELECT_GROUPS.limit(1).scalar_subquery().label("groups"),
    SELECT_LAST_OUTCOME.scalar_subquery().label("last_outcome"),
    SELECT_NOTED.scalar_subquery().label("facts"),
).select_from(
    # One row, whether there is an incident or not.
    _ASKED.outerjoin(incident, (incident.c.tenant == bindparam("tenant")) & (incident.c.id == bindparam("incident_id")))
)
"""In one snapshot: what ends between two questions would be found in neither."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The target and its tool at a moment; None where they cannot be read."""

    state_digest: str | None
    tool_pin: str | None


def scopes_of(tenant: str, action_class: str, tool: str, proposer: str) -> tuple[str, ...]:
    """The kill switches that cover an action."""
    return covering_scopes(tenant, function_of(action_class).value, action_class, tool, proposer)


def surroundings(
    connection: Connection,
    stored: StoredProposal,
    proposal: ActionProposal,
    policy: Policy,
    observed: Observed,
    now_us: int,
    *,
    switches: SwitchReading | None = None,
    lock: bool = False,
) -> ActionContext:
    """The context of a ruling now, on the switches given, or read here where none are.

    With ``lock`` the action is about to be done, and the switches are read whatever was given. A stop that comes later
    then waits until the transaction ends; the effect is noted, so that two steps of one run cannot each find that the
    other has not happened yet; and the tenant begins no other containment meanwhile.
    """
    draft, tenant = stored.draft, proposal.tenant
    if switches is None or lock:
        scopes = scopes_of(tenant, proposal.action_class, proposal.tool, proposal.proposer.name)
        switches = read_switches(connection, scopes, lock=lock)
    if lock:
        # Locks first: what is read before one of them is had may be out of date by then.
        if proposal.known_class is not None and proposal.known_class.is_containment:
            lock_containments(connection, tenant)
        keep_facts(connection, tenant, stored.incident_id, _OUTWARD, stored.id, now_us)
    standing = _standing(connection, stored, proposal, now_us)
    held = standing.incident
    return ActionContext(
        policy=policy.in_force(tenant, proposal.action_class),
        caps=(*_caps(connection, proposal, policy, standing), *_wanted(draft)),
        now_us=now_us,
        facts_at_proposal=draft.facts,
        facts_now=None if held is None else facts_from(held, has_target=standing.has_target),
        kill_epoch=switches.epoch,
        engaged=switches.engaged,
        frozen=is_frozen(connection, tenant, proposal.action_class) if standing.is_frozen else None,
        state_digest=observed.state_digest,
        tool_pin=observed.tool_pin,
        spending=standing.spending,
        is_held=standing.is_held,
        # Every action is an effect outside; what it rests on was noted when it was sealed.
        facts_touched=standing.facts | _OUTWARD,
        dark_sources=(),
        evidence_editors=evidence_editors(connection, tenant, stored.incident_id) if standing.is_edited else (),
        named_by=draft.named_by,
        groups=standing.groups,
        undoes=_undoes(connection, proposal, draft, now_us),
    )


@dataclass(frozen=True, slots=True)
class _Standing:
    """What was done of the proposal's kind, what may be, and how its target and incident stand."""

    incident: StoredIncident | None
    """None where it is gone."""
    certified: AutonomyLevel
    spending: Spending
    is_held: bool
    """This very containment is in force, or just being carried out."""
    is_frozen: bool
    is_edited: bool
    """People have merged or split the incident."""
    has_target: bool
    """The incident still names the target."""
    groups: tuple[str, ...]
    last_outcome: str | None
    """How the latest execution of the class by the tool ended; None where none has."""
    facts: frozenset[Fact]
    """What the incident's run has touched."""


def _standing(connection: Connection, stored: StoredProposal, proposal: ActionProposal, now_us: int) -> _Standing:
    kind, value, known = proposal.target_kind, str(proposal.target.value), proposal.known_class
    asked = {
        "tenant": proposal.tenant,
        "incident_id": stored.incident_id,
        "function": function_of(proposal.action_class).value,
        "action_class": proposal.action_class,
        "tool": proposal.tool,
        "kind": kind,
        "value": value,
        **asset_of(kind, value),
        "version_digest": version_digest(proposal.proposer, proposal.tool_pin),
        "since_us": now_us - HOUR_US,
        "now_us": now_us,
    }
    row = connection.execute(_STANDING, asked).one()
    spending = Spending(
        actions=row.actions,
        autonomous_actions=row.autonomous_actions,
        # Counting costs with what is held, and only a containment of something of ours is held against it.
        contained_assets=contained_assets(connection, proposal.tenant) if _holds_ours(proposal) else 0,
        inventory_size=row.inventory_size,
    )
    return _Standing(
        incident=incident_of(row),
        certified=_certified_level(row.certified),
        spending=spending,
        is_held=known is not None and known.is_containment and bool(row.is_begun or row.is_held),
        is_frozen=bool(row.is_frozen),
        is_edited=bool(row.is_edited),
        has_target=bool(row.has_target),
        groups=tuple(sorted(set(row.groups or ()))),
        last_outcome=row.last_outcome,
        facts=facts_named(row.facts),
    )


def _certified_level(level: int | None) -> AutonomyLevel:
    """What is certified for exactly this class, proposer and tool; a change of either starts anew at L2."""
    return AutonomyLevel.L2 if level is None else AutonomyLevel(max(AutonomyLevel.L2, min(AutonomyLevel.L4, level)))


def _caps(connection: Connection, proposal: ActionProposal, policy: Policy, standing: _Standing) -> tuple[Cap, ...]:
    borne_out = "what measured outcomes bear out for this task and these versions"
    caps = [Cap(CapName.CERTIFIED, standing.certified, borne_out)]
    in_use = policy.in_force(proposal.tenant, proposal.action_class)
    if in_use is not None and not is_closed(standing.last_outcome):
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


def _wanted(draft: ActionDraft) -> tuple[Cap, ...]:
    """What whoever proposes holds themselves to."""
    if draft.max_level is None:
        return ()
    return (Cap(CapName.PLAYBOOK, draft.max_level, "the playbook wants no more autonomy for this step"),)


def _holds_ours(proposal: ActionProposal) -> bool:
    known = proposal.known_class
    return known is not None and known.is_containment and proposal.blast.in_inventory


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
