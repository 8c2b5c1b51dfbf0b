"""What the gate would say of each action of a playbook now, before anything of it is proposed.

The rulings are those of `watchfloor_guardrails.ruling.rule` itself, on policy, switches, budgets and certificates of
this moment. A target is not looked at: it counts as it will be found. Writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError
from watchfloor_guardrails.action_ruling import ActionRuling
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.effect import ActionTarget, tool_pin
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus, Proposer
from watchfloor_guardrails.ruling import rule
from watchfloor_playbooks.running.work import ActionWork
from watchfloor_workflows.action_messages import ObserveTargetResult
from watchfloor_workflows.authority.executing import Tools
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.kill_switch import read_switches
from watchfloor_workflows.authority.records import StoredProposal
from watchfloor_workflows.authority.sealing import proposal_of
from watchfloor_workflows.authority.surroundings import Observed, scopes_of, surroundings
from watchfloor_workflows.policy import Policy

_NOT_LOOKED_AT: Final = "0" * 64
_NO_ID: Final = "act-0000000000000000"


@dataclass(frozen=True, slots=True)
class Preview:
    """The action as it would be sealed now, and what would be ruled on it."""

    proposal: ActionProposal
    ruling: ActionRuling


def preview(
    connection: Connection,
    tenant: str,
    incident_id: str,
    action: ActionWork,
    proposer: Proposer,
    policy: Policy,
    tools: Tools,
) -> Preview:
    """Raises `NotFoundError` where the incident, the action class or a tool for it is not there."""
    known = CATALOGUE.get(action.action_class)
    if known is None:
        raise NotFoundError(f"{action.action_class!r} is no action class")
    facts = facts_of(connection, tenant, incident_id, known.target.value, str(action.target.value))
    if facts is None:
        raise NotFoundError(f"no incident {incident_id!r} in tenant {tenant!r}; `watchfloor incident list` shows them")
    tool, now = _tool(tools, tenant, action), now_us()
    draft = ActionDraft(
        incident_id=incident_id,
        action_class=action.action_class,
        target_kind=known.target.value,
        target=action.target,
        arguments=action.arguments,
        tool=tool.tool,
        lease_s=action.lease_s,
        proposer=proposer,
        facts=facts,
        purpose=action.purpose,
        max_level=action.max_level,
        named_by=action.named_by,
    )
    stored = _unwritten(tenant, draft, now)
    limits = policy.in_force(tenant, action.action_class)
    pin = tool_pin(tool)
    switches = read_switches(connection, scopes_of(tenant, action.action_class, tool.tool, proposer.name))
    seen = ObserveTargetResult(tool.tool, pin, _NOT_LOOKED_AT)
    proposal = proposal_of(connection, stored, policy, seen, None if limits is None else limits.limits, switches)
    observed = Observed(_NOT_LOOKED_AT, pin)
    context = surroundings(connection, stored, proposal, policy, observed, now, switches=switches)
    return Preview(proposal, rule(proposal, context))


def _tool(tools: Tools, tenant: str, action: ActionWork) -> ActionTarget:
    if action.tool is not None:
        found = tools.of(tenant, action.tool)
        if action.action_class not in found.action_classes:
            raise NotFoundError(f"tool {found.tool!r} does not do {action.action_class!r}")
        return found
    default = tools.for_class(tenant, action.action_class)
    if default is None:
        raise NotFoundError(f"no tool of tenant {tenant!r} does {action.action_class!r}; configure one in targets.yaml")
    return default


def _unwritten(tenant: str, draft: ActionDraft, now: int) -> StoredProposal:
    return StoredProposal(
        tenant=tenant,
        id=_NO_ID,
        incident_id=draft.incident_id,
        draft=draft,
        status=ProposalStatus.DRAFTED,
        digest=None,
        proposal=None,
        view=None,
        ruling=None,
        decoy_answer=None,
        opening=None,
        reason=None,
        decision_id=None,
        created_us=now,
        deadline_us=None,
        updated_us=now,
    )
