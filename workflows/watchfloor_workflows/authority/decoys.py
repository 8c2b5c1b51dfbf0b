"""Decoys: proposals that look like the response agent's and that a careful person denies. None is ever granted.

They tell whether people read what they approve. A decoy names an address that the incident gives no cause to act on:
one of the organisation's own, or one that only other incidents name.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_agents.response.specialist import NAME, NamedAddress, purpose_of
from watchfloor_core.addresses import is_outside
from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import ConflictError, RefusedError
from watchfloor_core.incident import Verdict
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.store.schema import asset, entity, incident_entity
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.endorsement import endorse_by_corroboration
from watchfloor_guardrails.proposal import Proposer
from watchfloor_workflows.authority.drafting import prepare_action
from watchfloor_workflows.authority.incident_view import facts_from
from watchfloor_workflows.authority.responding import is_proposed_at_all, named_addresses
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import StoredIncident, read_incident

ACTION_CLASS: Final = "deny ip"
"""What the response agent proposes."""
ANSWER: Final = VoteDecision.DENY
_LOOKED_AT: Final = 500
"""Addresses of each sort among which one is drawn."""


def plant_decoys(
    connection: Connection,
    tenant: str,
    incident_id: str,
    count: int,
    planted_by: str,
    policy: Policy,
    draw: random.Random,
) -> list[tuple[str, str]]:
    """Draft ``count`` decoys about an incident; returns each one's proposal id and address.

    Raises `NotFoundError` where there is no such incident, `ConflictError` where the agent would propose nothing for
    it, so that a decoy would stand out, and `RefusedError` where there are not so many addresses to name.
    """
    held = read_incident(connection, tenant, incident_id)
    model = _model(connection, held, policy)
    targets = _targets(connection, held)
    if len(targets) < count:
        raise RefusedError(
            f"{len(targets)} addresses could be named in a decoy, {count} were asked for; they come from the inventory "
            "and from other incidents"
        )
    made, decisions = [], []
    for value in draw.sample(targets, count):
        draft = _draft(held, value, _varied(model, draw))
        proposal_id, decision = prepare_action(
            connection, tenant, draft, decoy_answer=ANSWER.value, planted_by=planted_by
        )
        made.append((proposal_id, value))
        decisions.append(decision)
    record_decisions(connection, tenant, decisions)
    return made


def _model(connection: Connection, held: StoredIncident, policy: Policy) -> NamedAddress:
    """The address on which the agent would act first: what a decoy says of itself is like what is said of this one."""
    facts = facts_from(held, has_target=True)
    if not facts.is_open or held.verdict is not Verdict.TRUE_POSITIVE:
        raise ConflictError(
            f"incident {held.id!r} is {held.status}, verdict {held.verdict or 'none'}; agents propose for open "
            "incidents that are believed to be attacks, and a decoy elsewhere would stand out"
        )
    if not is_proposed_at_all(held, ACTION_CLASS, facts, policy):
        raise ConflictError(f"under the policy in force no agent proposes {ACTION_CLASS!r} for incident {held.id!r}")
    outside = [one for one in named_addresses(connection, held) if is_outside(one.value) and not one.in_inventory]
    if not outside:
        raise ConflictError(f"the alerts of incident {held.id!r} name no address from outside; a decoy would stand out")
    return max(outside, key=lambda one: (one.severity, len(one.products), one.alerts, one.value))


def _varied(model: NamedAddress, draw: random.Random) -> NamedAddress:
    """Another count in each: two alike would point at each other. The agent proposes the most severe ones alone."""
    return replace(model, alerts=draw.randint(1, 2 * model.alerts))


def _draft(held: StoredIncident, value: str, like: NamedAddress) -> ActionDraft:
    return ActionDraft(
        incident_id=held.id,
        action_class=ACTION_CLASS,
        target_kind=EntityKind.IP.value,
        target=endorse_by_corroboration(Labelled(value, like.integrity), like.products),
        arguments={},
        tool=None,
        lease_s=None,
        proposer=Proposer(NAME, PrincipalKind.AGENT),
        # As they are: the incident does not name the target, and a ruling that holds it for gone would deny it unseen.
        facts=facts_from(held, has_target=False),
        purpose=purpose_of(like.alerts, len(like.products), like.severity),
    )


def _targets(connection: Connection, held: StoredIncident) -> list[str]:
    """Addresses that have nothing to do with the incident and were not proposed for it, in a fixed order."""
    ours = connection.scalars(
        select(asset.c.value)
        .where(asset.c.tenant == held.tenant, asset.c.kind == EntityKind.IP.value)
        .order_by(asset.c.value)
        .limit(_LOOKED_AT)
    ).all()
    elsewhere = connection.scalars(
        select(entity.c.value)
        .join(
            incident_entity,
            (incident_entity.c.tenant == entity.c.tenant) & (incident_entity.c.entity_id == entity.c.id),
        )
        .where(entity.c.tenant == held.tenant, entity.c.kind == EntityKind.IP.value)
        .distinct()
        .order_by(entity.c.value)
        .limit(_LOOKED_AT)
    ).all()
    named = {_address(value) for value in _named(connection, held)}
    found = {_address(value) for value in (*ours, *(value for value in elsewhere if is_outside(value)))}
    return sorted(str(one) for one in found - named if one is not None and _is_deniable(one))


def _named(connection: Connection, held: StoredIncident) -> set[str]:
    """Addresses that the incident names, and those that somebody proposed for it, decoys too."""
    entities: Sequence[str] = connection.scalars(
        select(entity.c.value)
        .join(
            incident_entity,
            (incident_entity.c.tenant == entity.c.tenant) & (incident_entity.c.entity_id == entity.c.id),
        )
        .where(entity.c.tenant == held.tenant, incident_entity.c.incident_id == held.id)
    ).all()
    drafts = connection.scalars(
        select(action_proposal.c.draft).where(
            action_proposal.c.tenant == held.tenant, action_proposal.c.incident_id == held.id
        )
    )
    return {*entities, *(str(draft["target"]["value"]) for draft in drafts)}


def _address(value: str) -> IPv4Address | IPv6Address | None:
    """What the text names, however it is spelt; None where it is no address."""
    try:
        return ip_address(value)
    except ValueError:
        return None


def _is_deniable(address: IPv4Address | IPv6Address) -> bool:
    """Not what every tool refuses without being told: it would end before anybody sees it."""
    return not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified)
