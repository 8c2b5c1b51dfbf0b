"""Ends what waits for people and can no longer be executed, because the policy or a kill switch has changed, and
proposes anew under what holds now what an agent or a playbook had proposed.

Nobody should be asked to sign what the ruling before the act would refuse, and a containment that is still wanted must
not be lost because somebody threw a switch and let it go again. A person's own proposal is theirs to make anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.incident_facts import material_change
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows.authority.drafting import prepare_action
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.kill_switch import read_switches
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.surroundings import scopes_of
from watchfloor_workflows.authority.voting import void_proposal
from watchfloor_workflows.playbooks.records import wait_instead
from watchfloor_workflows.policy import Policy

MOST: Final = 200
"""Proposals that one look goes through."""


def renew(store: Store, policy: Policy) -> int:
    """End what is outdated and propose anew what no person had proposed; returns how many ended. Safe beside others."""
    table = action_proposal.c
    with store.read() as connection:
        waiting = connection.execute(
            select(table.tenant, table.id)
            .where(table.status == ProposalStatus.WAITING.value)
            .order_by(table.created_us)
            .limit(MOST)
        ).all()
        # Looked at without a lock first: as a rule there is nothing to do.
        outdated = [(row.tenant, row.id) for row in waiting if _why(connection, row.tenant, row.id, policy)]
    return sum(_renew(store, policy, tenant, proposal_id) for tenant, proposal_id in outdated)


def _renew(store: Store, policy: Policy, tenant: str, proposal_id: str) -> bool:
    with store.write() as connection:
        stored = read_proposal(connection, tenant, proposal_id, lock=True)
        reason = _why_of(connection, stored, policy)
        if reason is None:
            return False
        decisions = [void_proposal(connection, stored, reason)]
        draft = stored.draft
        now = facts_of(connection, tenant, stored.incident_id, draft.target_kind, str(draft.target.value))
        is_wanted = now is not None and material_change(draft.facts, now, draft.action_class) is None
        # What a playbook had proposed is waited for by its run, whoever started that.
        is_ours = draft.proposer.kind is PrincipalKind.AGENT or draft.run_id is not None
        if is_wanted and now is not None and is_ours and not stored.is_decoy:
            fresh_id, decision = prepare_action(connection, tenant, replace(draft, facts=now))
            decisions.append(decision)
            if draft.run_id is not None:
                wait_instead(connection, tenant, draft.run_id, proposal_id, fresh_id)
        record_decisions(connection, tenant, decisions)
    return True


def _why(connection: Connection, tenant: str, proposal_id: str, policy: Policy) -> str | None:
    return _why_of(connection, read_proposal(connection, tenant, proposal_id), policy)


def _why_of(connection: Connection, stored: StoredProposal, policy: Policy) -> str | None:
    """Why it cannot be executed any more; None where it can, and while a switch is engaged: that may be let go."""
    proposal = stored.proposal
    if stored.status is not ProposalStatus.WAITING or proposal is None:
        return None
    scopes = scopes_of(stored.tenant, proposal.action_class, proposal.tool, proposal.proposer.name)
    switches = read_switches(connection, scopes)
    if switches.engaged:
        return None
    if switches.epoch != proposal.kill_epoch:
        return "a kill switch was thrown and let go since"
    if policy.digest is not None and policy.digest != proposal.policy_digest:
        return "the policy has changed since"
    return None
