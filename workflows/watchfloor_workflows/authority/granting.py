"""Issuing a grant: rule again, check people's signatures again, and sign what comes of it."""

from __future__ import annotations

import secrets
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.dsse import Signer
from watchfloor_core.errors import RefusedError
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema_authority import action_grant
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_guardrails.action_ruling import ActionRuling
from watchfloor_guardrails.assertion import RelyingParty
from watchfloor_guardrails.grant import Authority, authorise, seal_grant
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus
from watchfloor_guardrails.ruling import rule
from watchfloor_workflows.action_messages import IssueGrantResult, ProposalRef
from watchfloor_workflows.authority.records import StoredProposal, entry_about, read_proposal, write_proposal
from watchfloor_workflows.authority.sealing import ruling_entry, terms_of
from watchfloor_workflows.authority.surroundings import Observed, surroundings
from watchfloor_workflows.authority.voting import approval_record
from watchfloor_workflows.policy import Policy

_ISSUE: Final = insert(action_grant).execution_options(**UNAWAITED)
_LIVE: Final = (
    select(action_grant.c.id)
    .where(
        action_grant.c.tenant == bindparam("tenant"),
        action_grant.c.proposal_id == bindparam("proposal_id"),
        action_grant.c.expires_us > bindparam("now_us"),
    )
    .order_by(action_grant.c.issued_us.desc())
    .limit(1)
)


def issue_grant(
    store: Store,
    policy: Policy,
    ref: ProposalRef,
    signer: Signer,
    *,
    audience: str,
    party: RelyingParty | None,
) -> IssueGrantResult:
    """A grant for an approved proposal, or why there is none. Safe to repeat: a live grant is given again.

    A veto window that has passed without an objection ends here. Raises `NotFoundError`.
    """
    with store.write() as connection:
        stored = read_proposal(connection, ref.tenant, ref.proposal_id, lock=True)
        live = _live_grant(connection, stored)
        if live is not None:
            return IssueGrantResult(live)
        if stored.status not in (ProposalStatus.APPROVED, ProposalStatus.WAITING):
            return IssueGrantResult(None, stored.reason or f"the proposal is {stored.status}")
        proposal, now = stored.sealed(), now_us()
        # The executor looks at the target itself, right before it acts; here it counts as it was.
        seen = Observed(proposal.state_digest, proposal.tool_pin)
        ruling = rule(proposal, surroundings(connection, stored, proposal, policy, seen, now))
        try:
            authority = find_authority(connection, stored, proposal, ruling, party, now)
        except RefusedError as error:
            return _refused(connection, stored, ruling, str(error))
        in_use = policy.in_force(ref.tenant, proposal.action_class)
        ttl_s = 300 if in_use is None else in_use.limits.grant_ttl_s
        return _issue(connection, stored, proposal, ruling, authority, signer, audience, now, ttl_s * MICROSECONDS)


def find_authority(
    connection: Connection,
    stored: StoredProposal,
    proposal: ActionProposal,
    ruling: ActionRuling,
    party: RelyingParty | None,
    now: int,
) -> Authority:
    """What the action rests on now. Raises `RefusedError` where it rests on nothing."""
    terms = terms_of(stored)
    return authorise(
        proposal,
        ruling,
        approval_record(connection, stored),
        is_decoy=stored.is_decoy,
        veto_ends_us=terms.deadline_us if terms is not None and terms.is_veto else None,
        now_us=now,
        party=party,
    )


def _live_grant(connection: Connection, stored: StoredProposal) -> str | None:
    asked = {"tenant": stored.tenant, "proposal_id": stored.id, "now_us": now_us()}
    found: str | None = connection.execute(_LIVE, asked).scalar_one_or_none()
    return found


def _issue(
    connection: Connection,
    stored: StoredProposal,
    proposal: ActionProposal,
    ruling: ActionRuling,
    authority: Authority,
    signer: Signer,
    audience: str,
    now: int,
    ttl_us: int,
) -> IssueGrantResult:
    grant, envelope = seal_grant(
        authority,
        proposal,
        signer,
        grant_id=secrets.token_hex(16),
        proposal_id=stored.id,
        audience=audience,
        now_us=now,
        ttl_us=ttl_us,
    )
    ruled = ruling_entry(stored, ruling, start_us=now)
    granted = entry_about(
        stored,
        "grant",
        {
            "grant": grant.grant_id,
            "digest": grant.digest,
            "audience": audience,
            "authority": authority.kind.value,
            "people": list(authority.people),
            "expires_us": grant.expires_us,
            "key": signer.key_id,
        },
        parent_id=ruled.id,
        attributes={SpanAttribute.GRANT_ID: grant.grant_id},
    )
    record_decisions(connection, stored.tenant, [ruled, granted])
    row = {
        "tenant": stored.tenant,
        "id": grant.grant_id,
        "proposal_id": stored.id,
        "envelope": envelope,
        "issued_us": grant.issued_us,
        "expires_us": grant.expires_us,
    }
    connection.execute(_ISSUE, row)
    write_proposal(connection, stored.tenant, stored.id, {"status": ProposalStatus.APPROVED.value}, granted)
    return IssueGrantResult(grant.grant_id)


def _refused(connection: Connection, stored: StoredProposal, ruling: ActionRuling, reason: str) -> IssueGrantResult:
    ruled = ruling_entry(stored, ruling)
    refused = entry_about(
        stored, "receipt", {"outcome": ProposalStatus.REFUSED.value, "reason": reason}, parent_id=ruled.id
    )
    record_decisions(connection, stored.tenant, [ruled, refused])
    values = {"status": ProposalStatus.REFUSED.value, "reason": reason}
    write_proposal(connection, stored.tenant, stored.id, values, refused)
    return IssueGrantResult(None, reason)
