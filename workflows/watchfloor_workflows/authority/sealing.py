"""From a draft and a look at its target to a sealed proposal with its ruling, in one transaction."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import lease
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_guardrails.action_ruling import ActionRuling
from watchfloor_guardrails.action_ruling_json import action_ruling_to_json
from watchfloor_guardrails.approval import ApprovalRequirement
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.gates import RulingDecision
from watchfloor_guardrails.limits import ActionLimits
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus
from watchfloor_guardrails.ruling import rule
from watchfloor_guardrails.sequence import Fact
from watchfloor_guardrails.view import render_view, view_digest
from watchfloor_workflows.action_messages import (
    ApprovalTerms,
    ObserveTargetResult,
    ProposalRef,
    SealProposalResult,
)
from watchfloor_workflows.authority.incident_view import blast_on, evidence_root, holds_untrusted_input
from watchfloor_workflows.authority.kill_switch import SwitchReading, read_switches
from watchfloor_workflows.authority.records import (
    StoredProposal,
    entry_about,
    opened,
    read_proposal,
    write_proposal,
)
from watchfloor_workflows.authority.run_facts import keep_facts
from watchfloor_workflows.authority.surroundings import Observed, scopes_of, surroundings
from watchfloor_workflows.policy import Policy

AFTER_DECISION_US: Final = 900 * MICROSECONDS
"""So long after the last moment for a decision a proposal may still be executed."""
_REQUIREMENT: TypeAdapter[ApprovalRequirement] = TypeAdapter(ApprovalRequirement)


def seal_proposal(store: Store, policy: Policy, ref: ProposalRef, observed: ObserveTargetResult) -> SealProposalResult:
    """Seal and rule. Safe to repeat: what is sealed already is answered again from what was kept.

    Raises `NotFoundError`.
    """
    with store.write() as connection:
        stored = read_proposal(connection, ref.tenant, ref.proposal_id, lock=True)
        if stored.status is not ProposalStatus.DRAFTED:
            return _again(connection, stored)
        if observed.problem is not None:
            return _end(connection, stored, ProposalStatus.REFUSED, observed.problem)
        limits = policy.in_force(ref.tenant, stored.draft.action_class)
        # The proposal is sealed on the same reading of the switches that it is ruled on with.
        scopes = scopes_of(ref.tenant, stored.draft.action_class, observed.tool, stored.draft.proposer.name)
        switches = read_switches(connection, scopes)
        proposal = _seal(connection, stored, policy, observed, None if limits is None else limits.limits, switches)
        return _rule(connection, stored, proposal, policy, observed, switches)


def requirement_to_json(requirement: ApprovalRequirement) -> str:
    return _REQUIREMENT.dump_json(requirement).decode()


def requirement_from_json(text: str) -> ApprovalRequirement:
    return _REQUIREMENT.validate_json(text)


def _seal(
    connection: Connection,
    stored: StoredProposal,
    policy: Policy,
    observed: ObserveTargetResult,
    limits: ActionLimits | None,
    switches: SwitchReading,
) -> ActionProposal:
    if holds_untrusted_input(connection, stored.tenant, stored.incident_id):
        keep_facts(connection, stored.tenant, stored.incident_id, (Fact.UNTRUSTED_INPUT,), stored.id, now_us())
    return proposal_of(connection, stored, policy, observed, limits, switches)


def proposal_of(
    connection: Connection,
    stored: StoredProposal,
    policy: Policy,
    observed: ObserveTargetResult,
    limits: ActionLimits | None,
    switches: SwitchReading,
) -> ActionProposal:
    """What a draft comes to with what was observed of its target. Writes nothing."""
    draft, tenant = stored.draft, stored.tenant
    known = CATALOGUE.get(draft.action_class)
    wait_s = 0 if limits is None else max(limits.approval_deadline_s, limits.veto_window_s or 0)
    return ActionProposal(
        tenant=tenant,
        incident_id=stored.incident_id,
        incident_revision=draft.facts.revision,
        action_class=draft.action_class,
        tool=observed.tool,
        arguments=draft.arguments,
        target_kind=draft.target_kind,
        target=draft.target,
        state_digest=observed.state_digest,
        evidence_root=evidence_root(connection, tenant, stored.incident_id),
        blast=blast_on(connection, tenant, draft.target_kind, str(draft.target.value)),
        undo_class=known.undo if known else None,
        lease_s=_lease_s(draft, limits),
        tool_pin=observed.tool_pin,
        policy_digest=policy.digest or "0" * 64,
        kill_epoch=switches.epoch,
        proposer=draft.proposer,
        nonce=secrets.token_hex(16),
        expires_us=now_us() + wait_s * MICROSECONDS + AFTER_DECISION_US,
    )


def _lease_s(draft: ActionDraft, limits: ActionLimits | None) -> int | None:
    known = CATALOGUE.get(draft.action_class)
    if known is None or not known.is_containment:
        return None
    if draft.lease_s is not None:
        return draft.lease_s
    standard = known.standard_lease_s
    return min(standard, known.max_lease_s or standard, limits.max_lease_s if limits else standard)


def _rule(
    connection: Connection,
    stored: StoredProposal,
    proposal: ActionProposal,
    policy: Policy,
    observed: ObserveTargetResult,
    switches: SwitchReading,
) -> SealProposalResult:
    start_us = now_us()
    seen = Observed(observed.state_digest, observed.tool_pin)
    context = surroundings(connection, stored, proposal, policy, seen, start_us, switches=switches)
    ruling = rule(proposal, context)
    # Each asking computes them anew.
    preimage, digest = proposal.preimage().decode(), proposal.digest
    view = render_view(proposal)
    terms = _terms(digest, ruling, start_us)
    status, reason = _status(ruling)
    sealed = entry_about(
        stored,
        "proposal",
        {
            "stage": "sealed",
            "digest": digest,
            "preimage": preimage,
            "view": view_digest(view),
            **({} if terms is not None else opened(stored)),
        },
        start_us=start_us,
        attributes={SpanAttribute.PROPOSAL_DIGEST: digest, SpanAttribute.TOOL_NAME: proposal.tool},
    )
    ruled = ruling_entry(stored, ruling, parent_id=sealed.id, start_us=start_us)
    decisions = [sealed, ruled]
    if terms is not None:
        decisions.append(
            entry_about(
                stored,
                "approval_request",
                {
                    "digest": digest,
                    "requirement": requirement_to_json(ruling.requirement) if ruling.requirement else None,
                    "is_veto": terms.is_veto,
                    "deadline_us": terms.deadline_us,
                },
                parent_id=ruled.id,
            )
        )
    record_decisions(connection, stored.tenant, decisions)
    write_proposal(
        connection,
        stored.tenant,
        stored.id,
        {
            "status": status.value,
            "digest": digest,
            "preimage": preimage,
            "view": view,
            "ruling": {**action_ruling_to_json(ruling), "terms": _terms_json(terms)},
            "deadline_us": None if terms is None else terms.deadline_us,
            "reason": reason or None,
        },
        decisions[-1],
    )
    return SealProposalResult(status, terms, reason, run_id=stored.draft.run_id)


def ruling_entry(
    stored: StoredProposal, ruling: ActionRuling, *, parent_id: str | None = None, start_us: int | None = None
) -> Decision:
    """The ledger's entry for a ruling on an action."""
    return entry_about(
        stored,
        "ruling",
        action_ruling_to_json(ruling),
        start_us=start_us,
        parent_id=parent_id,
        attributes={
            SpanAttribute.AUTONOMY_LEVEL: int(ruling.level),
            SpanAttribute.AUTONOMY_CONFIGURED: int(ruling.effective.configured),
            SpanAttribute.RULING: ruling.decision.value,
            SpanAttribute.RULING_CODES: [hit.rule for hit in ruling.hits if hit.outcome is ruling.decision],
            SpanAttribute.POLICY_DIGEST: ruling.policy_digest or "",
        },
    )


def _status(ruling: ActionRuling) -> tuple[ProposalStatus, str]:
    match ruling.decision:
        case RulingDecision.DENY:
            return ProposalStatus.DENIED, "; ".join(ruling.against)
        case RulingDecision.ASK:
            return ProposalStatus.WAITING, ""
        case RulingDecision.ALLOW:
            return (ProposalStatus.APPROVED if ruling.veto_s is None else ProposalStatus.WAITING), ""


def _terms(digest: str, ruling: ActionRuling, at_us: int) -> ApprovalTerms | None:
    requirement = ruling.requirement
    if requirement is None:
        return None
    wait_s = requirement.deadline_s if ruling.veto_s is None else ruling.veto_s
    return ApprovalTerms(
        digest=digest,
        requirement_json=requirement_to_json(requirement),
        is_veto=ruling.veto_s is not None,
        deadline_us=at_us + wait_s * MICROSECONDS,
        remind_after_s=requirement.remind_after_s,
        escalate_after_s=requirement.escalate_after_s,
        wait_s=wait_s,
    )


_TERMS: TypeAdapter[ApprovalTerms] = TypeAdapter(ApprovalTerms)


def _terms_json(terms: ApprovalTerms | None) -> object:
    return None if terms is None else _TERMS.dump_python(terms, mode="json")


def terms_of(stored: StoredProposal) -> ApprovalTerms | None:
    """What was kept of what its approval waits for."""
    content = (stored.ruling or {}).get("terms")
    return None if content is None else _TERMS.validate_python(content)


def _again(connection: Connection, stored: StoredProposal) -> SealProposalResult:
    """For a workflow that runs a second time: go on from where the proposal stands, and ask nobody twice."""
    terms = terms_of(stored)
    if stored.status is ProposalStatus.WAITING and terms is not None:
        left_s = max(1, (terms.deadline_us - now_us()) // MICROSECONDS)
        return SealProposalResult(
            stored.status, replace(terms, wait_s=min(terms.wait_s, left_s)), run_id=stored.draft.run_id
        )
    ends_us = None
    if stored.status is ProposalStatus.SUCCEEDED:
        ends_us = connection.execute(
            select(lease.c.ends_us).where(
                lease.c.tenant == stored.tenant, lease.c.proposal_id == stored.id, lease.c.state != "ended"
            )
        ).scalar_one_or_none()
    return SealProposalResult(stored.status, None, stored.reason or "", ends_us, stored.draft.run_id)


def _end(connection: Connection, stored: StoredProposal, status: ProposalStatus, reason: str) -> SealProposalResult:
    ended = entry_about(stored, "receipt", {"outcome": status.value, "reason": reason, **opened(stored)})
    record_decisions(connection, stored.tenant, [ended])
    write_proposal(connection, stored.tenant, stored.id, {"status": status.value, "reason": reason}, ended)
    return SealProposalResult(status, None, reason, run_id=stored.draft.run_id)
