"""The approval of one proposal as a file of its own: what was proposed, who signed what with which key.

It is checked from the file alone, years later: the digest is computed anew from the preimage, and every signature is
checked over it and over the view as it was shown, which must be what this version renders from the same preimage. That
a public key was a person's then is what the ledger says, in the ``approver_key`` entries of its chain ``control``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection

from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RecordError, RefusedError
from watchfloor_guardrails.approval import ApprovalRequirement, Vote, VoteDecision, is_enough, states
from watchfloor_guardrails.assertion import ApproverKey, KeyKind, RelyingParty, verify_assertion
from watchfloor_guardrails.enrolment import key_id_of
from watchfloor_guardrails.proposal import ActionProposal, parse_preimage
from watchfloor_guardrails.verified_approval import VoteRecord
from watchfloor_guardrails.view import render_view, view_digest
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.authority.sealing import terms_of
from watchfloor_workflows.authority.voting import read_votes

FORMAT: Final = "watchfloor-approval-record"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class CheckedVote:
    """One person's decision, and whether what they signed bears it out."""

    principal: str
    decision: str
    decided_us: int
    key_id: str | None
    origin: str | None
    """Where a passkey was used."""
    fault: str | None
    """Why it does not count; None where it holds."""


@dataclass(frozen=True, slots=True)
class CheckedRecord:
    proposal_id: str
    digest: str
    view: str
    """As it was shown and signed."""
    is_view_ours: bool
    """This version renders the same from what the digest covers."""
    votes: list[CheckedVote]
    quorum: int
    is_approved: bool
    """Enough permitted people signed for this very proposal, in time, and nobody said no."""

    @property
    def holds(self) -> bool:
        """Nothing in it contradicts itself, and what was shown is what the digest covers."""
        return self.is_view_ours and all(vote.fault is None for vote in self.votes)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _KeyModel(_Model):
    id: str
    principal: str
    kind: KeyKind
    public_key: str
    credential_id: str | None
    created_us: int
    revoked_us: int | None


class _VoteModel(_Model):
    principal: str
    decision: VoteDecision
    roles: list[str]
    decided_us: int
    statement: str
    assertion: dict[str, str] | None
    key: _KeyModel | None


class _RecordModel(_Model):
    format: Literal["watchfloor-approval-record"]
    v: Literal[1]
    tenant: str
    proposal: str
    preimage: str
    view: str
    requirement: ApprovalRequirement
    deadline_us: int
    votes: list[_VoteModel]


def approval_record(connection: Connection, tenant: str, proposal_id: str) -> dict[str, JsonValue]:
    """The record of a proposal that people were asked about. Raises `NotFoundError`, and `RefusedError` for others."""
    stored = read_proposal(connection, tenant, proposal_id)
    terms = terms_of(stored)
    if terms is None or stored.deadline_us is None:
        raise RefusedError(f"proposal {proposal_id!r} is {stored.status}; nobody was asked about it")
    return {
        "format": FORMAT,
        "v": VERSION,
        "tenant": tenant,
        "proposal": stored.id,
        "preimage": stored.sealed().preimage().decode(),
        "view": stored.view,
        "requirement": json.loads(terms.requirement_json),
        "deadline_us": stored.deadline_us,
        "votes": [_vote_json(vote) for vote in read_votes(connection, stored)],
    }


def check_record(text: str | bytes) -> CheckedRecord:
    """Check a record from its text alone. Raises `RecordError` where it is none."""
    try:
        model = _RecordModel.model_validate_json(text)
    except ValidationError as error:
        mistake = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in mistake["loc"])
        raise RecordError(f"not a record of an approval: {mistake['msg']}", path=place or None) from error
    proposal = parse_preimage(model.preimage.encode("utf-8", "surrogatepass"))
    if proposal.tenant != model.tenant:
        raise RecordError(f"the record is of tenant {model.tenant!r:.80}, its proposal of {proposal.tenant!r:.80}")
    checked = [_checked(vote, proposal, model.proposal, model.view) for vote in model.votes]
    counting = [_vote(vote) for vote, found in zip(model.votes, checked, strict=True) if found.fault is None]
    return CheckedRecord(
        proposal_id=model.proposal,
        digest=proposal.digest,
        view=model.view,
        is_view_ours=model.view == render_view(proposal),
        votes=checked,
        quorum=model.requirement.quorum,
        is_approved=is_enough(model.requirement, counting, model.deadline_us),
    )


def party_of(assertion: Mapping[str, JsonValue]) -> RelyingParty | None:
    """For what a passkey's answer was made, by its own words: who reads them judges whether that is us.

    The authenticator signed both the origin and the hash of the host name; the two must fit each other.
    """
    try:
        client_data = json.loads(base64.b64decode(str(assertion["client_data"]), validate=True))
        hashed = base64.b64decode(str(assertion["authenticator_data"]), validate=True)[:32]
        origin = str(client_data["origin"])
        host = urlsplit(origin).hostname or ""
    except (KeyError, ValueError, TypeError, binascii.Error):
        return None
    fitting = (name for name in _domains(host) if hashlib.sha256(name.encode()).digest() == hashed)
    named = next(fitting, None)
    return None if named is None else RelyingParty(named, (origin,))


def _domains(host: str) -> Iterator[str]:
    labels = host.split(".")
    for first in range(len(labels)):
        yield ".".join(labels[first:])


def _checked(vote: _VoteModel, proposal: ActionProposal, proposal_id: str, view: str) -> CheckedVote:
    party = None if vote.assertion is None else party_of(vote.assertion)
    try:
        _require(vote, proposal, proposal_id, view, party)
        fault = None
    except RefusedError as error:
        fault = str(error)
    return CheckedVote(
        principal=vote.principal,
        decision=vote.decision.value,
        decided_us=vote.decided_us,
        key_id=None if vote.key is None else vote.key.id,
        origin=None if party is None else party.origins[0],
        fault=fault,
    )


def _require(
    vote: _VoteModel, proposal: ActionProposal, proposal_id: str, view: str, party: RelyingParty | None
) -> None:
    if vote.decision is VoteDecision.DENY:
        # A no is not signed: it loosens nothing.
        return
    if vote.key is None or vote.assertion is None or vote.key.principal != vote.principal:
        raise RefusedError("it bears no signature of a key of theirs")
    said = vote.statement.encode("utf-8", "surrogatepass")
    is_ours = states(
        said,
        tenant=proposal.tenant,
        proposal_id=proposal_id,
        digest=proposal.digest,
        view_digest=view_digest(view),
        principal=vote.principal,
    )
    if not is_ours:
        raise RefusedError("what was signed is not an approval of this proposal")
    verify_assertion(said, vote.assertion, _key(vote.key), vote.decided_us, party)


def _vote(vote: _VoteModel) -> Vote:
    return Vote(vote.principal, vote.decision, tuple(vote.roles), vote.decided_us)


def _key(model: _KeyModel) -> ApproverKey:
    try:
        public_key = base64.b64decode(model.public_key, validate=True)
        credential_id = None if model.credential_id is None else base64.b64decode(model.credential_id, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RefusedError("the key in the record is no base64") from error
    if model.id != key_id_of(model.kind, public_key, credential_id):
        raise RefusedError(f"the key in the record is not the one that {model.id!r:.80} names")
    return ApproverKey(
        model.id, model.principal, model.kind, public_key, credential_id, model.created_us, model.revoked_us
    )


def _vote_json(record: VoteRecord) -> dict[str, JsonValue]:
    vote, key = record.vote, record.key
    return {
        "principal": vote.principal,
        "decision": vote.decision.value,
        "roles": list(vote.roles),
        "decided_us": vote.decided_us,
        "statement": record.statement.decode(),
        "assertion": None if record.assertion is None else dict(record.assertion),
        "key": None if key is None else _key_json(key),
    }


def _key_json(key: ApproverKey) -> dict[str, JsonValue]:
    return {
        "id": key.key_id,
        "principal": key.principal,
        "kind": key.kind.value,
        "public_key": base64.b64encode(key.public_key).decode(),
        "credential_id": None if key.credential_id is None else base64.b64encode(key.credential_id).decode(),
        "created_us": key.created_us,
        "revoked_us": key.revoked_us,
    }
