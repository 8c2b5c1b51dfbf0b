"""Proposals that wait for people, for tests: drafted, sealed and ruled on by the real parts, with no tool behind."""

from __future__ import annotations

from watchfloor_core.alert import Integrity
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.proposal import Proposer
from watchfloor_workflows.action_messages import ObserveTargetResult, ProposalRef, SealProposalResult
from watchfloor_workflows.authority.drafting import draft_action
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.sealing import seal_proposal
from watchfloor_workflows.policy import PolicyFile

AGENT = Proposer("response-agent", PrincipalKind.AGENT)
OBSERVED = ObserveTargetResult("edge-firewall", "a" * 64, "b" * 64)


def plant_draft(
    store: Store,
    tenant: str,
    incident_id: str,
    *,
    target: str = "198.51.100.1",
    action_class: str = "deny ip",
    kind: str = "ip",
    proposer: Proposer = AGENT,
) -> str:
    """A proposal whose target nobody has looked at yet; returns its id."""
    with store.write() as connection:
        facts = facts_of(connection, tenant, incident_id, kind, target)
        if facts is None:
            raise LookupError(incident_id)
        draft = ActionDraft(
            incident_id=incident_id,
            action_class=action_class,
            target_kind=kind,
            target=Labelled(target, Integrity.EXTERNAL),
            arguments={},
            tool=None,
            lease_s=None,
            proposer=proposer,
            facts=facts,
            purpose="it scans our hosts",
        )
        return draft_action(connection, tenant, draft)


def seal(store: Store, settings: Settings, tenant: str, proposal_id: str) -> SealProposalResult:
    """Look at its target, as an executor would, and rule."""
    return seal_proposal(store, PolicyFile(settings, store).current(), ProposalRef(tenant, proposal_id), OBSERVED)


def plant_waiting(store: Store, settings: Settings, tenant: str, incident_id: str, target: str = "198.51.100.1") -> str:
    """A proposal of an agent that waits for a person; returns its id."""
    proposal_id = plant_draft(store, tenant, incident_id, target=target)
    seal(store, settings, tenant, proposal_id)
    return proposal_id
