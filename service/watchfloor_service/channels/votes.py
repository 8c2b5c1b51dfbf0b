"""From what a person said on a channel to a vote, and from what became of it to words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import assert_never

import orjson
from pydantic import JsonValue

from watchfloor_core.errors import ConflictError, NotFoundError, RefusedError, WatchfloorError
from watchfloor_core.identity import digest16
from watchfloor_guardrails.approval import ApprovalOutcome, VoteDecision
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_service.api.approval_desk import ApprovalDesk
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.channels.people import ChannelPerson, Message
from watchfloor_workflows.action_messages import VoteInput, VoteResult

_LOG = logging.getLogger(__name__)


def denial(message: Message, person: ChannelPerson, digest: str, reason: str, nonce: str) -> VoteInput:
    """A no. It loosens nothing, so that the channel's word for who says it is enough."""
    return _vote(message, person, VoteDecision.DENY, digest, reason, nonce, None, None)


def signed_approval(
    message: Message,
    person: ChannelPerson,
    digest: str,
    comment: str,
    nonce: str,
    key_id: str | None,
    assertion: Mapping[str, JsonValue] | None,
) -> VoteInput:
    """A yes, which the person signed; whether they did is for the desk to check. Raises `RefusedError` without one."""
    if key_id is None or assertion is None:
        raise RefusedError(
            "a yes is the person's own signature over the digest; send key_id and assertion, or let them sign in the "
            "console or with the command line"
        )
    signed = orjson.dumps(assertion, option=orjson.OPT_SORT_KEYS).decode()
    return _vote(message, person, VoteDecision.APPROVE, digest, comment, nonce, key_id, signed)


def _vote(
    message: Message,
    person: ChannelPerson,
    decision: VoteDecision,
    digest: str,
    comment: str,
    nonce: str,
    key_id: str | None,
    assertion_json: str | None,
) -> VoteInput:
    return VoteInput(
        principal=person.principal,
        # Accounts are people's; services and agents have none.
        principal_kind=PrincipalKind.PERSON,
        roles=person.roles,
        tenant=message.tenant,
        decision=decision,
        digest=digest,
        comment=comment,
        channel=message.kind.value,
        key_id=key_id,
        assertion_json=assertion_json,
        update_id=digest16("channel vote", message.tenant, person.principal, message.proposal_id, nonce).hex(),
    )


async def spoken_result(desk: ApprovalDesk, proposal_id: str, vote: VoteInput) -> tuple[bool, str]:
    """Whether the vote was taken, and what to tell the person. Never raises for what the desk may answer."""
    try:
        result = await desk.vote(vote.tenant, proposal_id, vote)
    except WatchfloorError as error:
        return False, spoken_error(error)
    return True, spoken_outcome(result)


def spoken_outcome(result: VoteResult) -> str:
    """One line for a person."""
    match result.outcome:
        case ApprovalOutcome.DENIED:
            return "Denied. It will not be done; your reason is in the ledger."
        case ApprovalOutcome.PENDING:
            return f"Recorded: {result.approvals} of {result.quorum} approvals."
        case ApprovalOutcome.APPROVED:
            return "Recorded. It is approved."
        case ApprovalOutcome.EXPIRED:
            return "Too late: its deadline has passed, and it will not be done."
        case ApprovalOutcome.VOIDED:
            return "It no longer holds: what it rested on has changed, and it will not be done."
        case unknown:
            assert_never(unknown)


def spoken_error(error: WatchfloorError) -> str:
    """What a person is told; what is an operator's to mend goes to the log."""
    match error:
        case ProblemError() if error.kind is not ProblemKind.UNAVAILABLE:
            return f"Not recorded: {error.detail}"
        case RefusedError() | NotFoundError() | ConflictError():
            return f"Not recorded: {error}"
        case _:
            _LOG.warning("a decision from a channel could not be delivered: %s", error)
            return (
                "It could not be recorded now: a part that is needed does not answer. Try again; saying it twice "
                "counts once."
            )
