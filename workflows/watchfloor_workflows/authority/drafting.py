"""Taking in what somebody wants done: a draft becomes a row and, by the outbox, a workflow of its own."""

from __future__ import annotations

import re
import secrets
from typing import Final

from sqlalchemy import Connection, insert, select

from watchfloor_core.canonical import MAX_INTEGER
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, NotFoundError, Problem
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.schema_authority import action_outbox, action_proposal
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.action import MAX_TEXT
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.commitment import NONCE_DIGITS, Opening
from watchfloor_guardrails.draft import MAX_PURPOSE, ActionDraft, draft_to_json
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows.standing import last_entry_id, read_incident

AGENT_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,95}")
"""As `watchfloor_guardrails.switches` takes it: whoever cannot be stopped proposes nothing."""


def draft_action(
    connection: Connection,
    tenant: str,
    draft: ActionDraft,
    *,
    decoy_answer: str | None = None,
    planted_by: str | None = None,
    proposal_id: str | None = None,
) -> str:
    """Take in a draft and have a workflow started for it; returns the proposal's id, a random one if none is given.

    With ``decoy_answer`` it is a decoy, by ``planted_by``; nothing tells before it has ended, and it is never granted.

    Raises `ConfigurationError` with all that is wrong with it, and `NotFoundError` where the incident, or what is to be
    undone, is not of this tenant.
    """
    proposal_id, decision = prepare_action(
        connection, tenant, draft, decoy_answer=decoy_answer, planted_by=planted_by, proposal_id=proposal_id
    )
    record_decisions(connection, tenant, [decision])
    return proposal_id


def prepare_action(
    connection: Connection,
    tenant: str,
    draft: ActionDraft,
    *,
    decoy_answer: str | None = None,
    planted_by: str | None = None,
    proposal_id: str | None = None,
    starts_itself: bool = True,
) -> tuple[str, Decision]:
    """As `draft_action`, for a caller who records the decision together with its own.

    Without ``starts_itself`` the caller starts the workflow.
    """
    problems = faults_of(draft)
    if problems:
        raise ConfigurationError([Problem(problem) for problem in problems])
    held = read_incident(connection, tenant, draft.incident_id)
    if draft.undo_of is not None:
        _require_ours(connection, tenant, draft)
    proposal_id = proposal_id or f"act-{secrets.token_hex(8)}"
    opening = Opening(secrets.token_hex(NONCE_DIGITS // 2), decoy_answer, planted_by)
    now = now_us()
    decision = Decision(
        chain=held.id,
        kind="proposal",
        body={
            "proposal": proposal_id,
            "stage": "drafted",
            "action_class": draft.action_class,
            "target": {"kind": draft.target_kind, "value": str(draft.target.value)},
            "tool": draft.tool,
            "proposer": draft.proposer.name,
            "proposer_kind": draft.proposer.kind.value,
            "requester": draft.proposer.requester,
            "undo_of": draft.undo_of,
            "purpose": draft.purpose,
            "commitment": opening.commitment(tenant, proposal_id),
        },
        name=SpanName.PROPOSAL,
        start_us=now,
        end_us=now,
        parent_id=last_entry_id(connection, tenant, held.id, "escalation", "queue", "verdict", "human_verdict"),
        attributes={
            SpanAttribute.TENANT: tenant,
            SpanAttribute.PROPOSAL_ID: proposal_id,
            SpanAttribute.ACTION_CLASS: draft.action_class,
            SpanAttribute.PROPOSER: draft.proposer.name,
        },
    )
    connection.execute(
        insert(action_proposal).values(
            tenant=tenant,
            id=proposal_id,
            incident_id=held.id,
            incident_revision=draft.facts.revision,
            draft={**draft_to_json(draft), "opening": opening.as_json()},
            status=ProposalStatus.DRAFTED.value,
            undo_of=draft.undo_of,
            decoy_answer=decoy_answer,
            decision_id=decision.id,
            created_us=now,
            updated_us=now,
        )
    )
    if starts_itself:
        announce(connection, tenant, proposal_id, "start", "")
    return proposal_id, decision


def announce(connection: Connection, tenant: str, proposal_id: str, kind: str, reason: str) -> None:
    """Have Temporal told, at least once: ``start`` or ``void``."""
    connection.execute(
        insert(action_outbox).values(
            tenant=tenant, proposal_id=proposal_id, kind=kind, reason=reason, created_us=now_us()
        )
    )


def faults_of(draft: ActionDraft) -> list[str]:
    """What is wrong with a draft before anything is looked at."""
    found: list[str] = []
    known = CATALOGUE.get(draft.action_class)
    if known is None:
        found.append(f"action class {draft.action_class[:60]!r} is not one of {', '.join(CATALOGUE)}")
    else:
        if draft.target_kind != known.target:
            found.append(f"{known.name!r} acts on {known.target}, not on {draft.target_kind[:40]!r}")
        if draft.lease_s is not None and not known.is_containment:
            found.append(f"{known.name!r} holds nothing back, so it takes no time limit")
        if draft.lease_s is not None and not 1 <= draft.lease_s <= (known.max_lease_s or 0):
            found.append(f"the time limit is {draft.lease_s} s; 1 to {known.max_lease_s} are allowed")
    for name, one in (("target", draft.target), *draft.arguments.items()):
        if isinstance(one.value, str) and not _is_storable(one.value):
            found.append(f"{name[:40]!r} is empty, longer than {MAX_TEXT:,} characters or holds what no database keeps")
        if isinstance(one.value, int) and abs(one.value) > MAX_INTEGER:
            found.append(f"{name[:40]!r} is beyond the exact integers of JSON (2^53-1); give it as a text")
    if not AGENT_NAME.fullmatch(draft.proposer.name):
        found.append(f"the proposer's name {draft.proposer.name[:60]!r} cannot be named in a kill switch")
    if len(draft.purpose) > MAX_PURPOSE or "\0" in draft.purpose:
        found.append(f"the purpose is longer than {MAX_PURPOSE:,} characters or holds a NUL")
    return found


def _is_storable(text: str) -> bool:
    is_text = "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
    return 0 < len(text) <= MAX_TEXT and is_text


def _require_ours(connection: Connection, tenant: str, draft: ActionDraft) -> None:
    found = connection.execute(
        select(action_proposal.c.id).where(
            action_proposal.c.tenant == tenant,
            action_proposal.c.id == draft.undo_of,
            action_proposal.c.incident_id == draft.incident_id,
        )
    ).first()
    if found is None:
        raise NotFoundError(f"no proposal {draft.undo_of!r} of incident {draft.incident_id!r} in this tenant")
