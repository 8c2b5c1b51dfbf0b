"""The grant: the signed, single-use permit to execute one proposal, minutes long.

::

    payload = canonical JSON of {v, id, tenant, proposal, digest, audience, kill_epoch, authority, people,
                                 issued_us, expires_us}
    envelope = DSSE (Ed25519) of type application/vnd.watchfloor.grant+json

The chain is closed by types: a grant is sealed from an `Authority`, which only `authorise` makes, from a ruling and,
where that asks, from people's signatures; an effect takes an `EffectPermit`, which only `permit_effect` makes, from a
grant that was opened and an authority that was found again at the moment of execution.
"""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from enum import StrEnum
from typing import Final, NoReturn, final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from watchfloor_core.canonical import canonical, parse_canonical
from watchfloor_core.dsse import Signer, sign, verify
from watchfloor_core.errors import RefusedError
from watchfloor_guardrails.action_ruling import ActionRuling
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.assertion import RelyingParty
from watchfloor_guardrails.effect import _AUTHORITY as _EFFECT
from watchfloor_guardrails.effect import EffectPermit
from watchfloor_guardrails.gates import RulingDecision
from watchfloor_guardrails.proposal import ActionProposal
from watchfloor_guardrails.verified_approval import ApprovalRecord, approvers

PAYLOAD_TYPE: Final = "application/vnd.watchfloor.grant+json"
MAX_TTL_US: Final = 300 * 1_000_000
"""No grant lives longer, whatever the limits say."""
CLOCK_SKEW_US: Final = 5 * 1_000_000
"""A grant may be issued so far in the executor's future: clocks of two machines differ."""

_MINT: Final = object()


class AuthorityKind(StrEnum):
    """What an action rests on."""

    PEOPLE = "people"
    """Signed approvals."""
    LEVEL = "level"
    """The certified level of autonomy in force."""
    STATED_UNDO = "stated_undo"
    """The undo stated in an executed proposal."""


@final
@dataclass(frozen=True, slots=True)
class Authority:
    """Why one proposal may be executed, found at one moment. It does not leave its process."""

    kind: AuthorityKind
    digest: str
    people: tuple[str, ...]
    """Who approved, sorted; empty for the other kinds."""
    mint: InitVar[object]

    def __post_init__(self, mint: object) -> None:
        if mint is not _MINT:
            raise TypeError("an authority comes from authorise(), which takes a ruling")

    def __init_subclass__(cls) -> None:
        raise TypeError("an authority has no subclasses: one could leave the check out")

    def __reduce__(self) -> NoReturn:
        raise TypeError("an authority does not leave its process; rule again where it is needed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What an envelope says."""

    grant_id: str
    tenant: str
    proposal_id: str
    digest: str
    audience: str
    """The one executor that may use it, by its queue."""
    kill_epoch: int
    authority: AuthorityKind
    people: tuple[str, ...]
    issued_us: int
    expires_us: int

    def check_moment(self, now_us: int) -> None:
        """Raises `RefusedError` outside of the minutes that it lives."""
        if not self.issued_us - CLOCK_SKEW_US <= now_us < self.expires_us:
            raise RefusedError("the grant is not valid at this moment; it lives for minutes and is not renewed")


def authorise(
    proposal: ActionProposal,
    ruling: ActionRuling,
    approval: ApprovalRecord | None,
    *,
    is_decoy: bool,
    veto_ends_us: int | None,
    now_us: int,
    party: RelyingParty | None = None,
) -> Authority:
    """The authority for this proposal under a ruling of this moment. Raises `RefusedError` with the reason.

    ``approval`` is what people have signed, if anyone was asked; ``veto_ends_us`` the end of the window in which they
    may object, once it was opened.
    """
    if is_decoy:
        raise RefusedError("a decoy is never executed")
    if not ruling.digest or ruling.digest != proposal.digest:
        raise RefusedError("the ruling is about another proposal; rule again")
    match ruling.decision:
        case RulingDecision.DENY:
            raise RefusedError("; ".join(ruling.against) or "denied")
        case RulingDecision.ASK:
            if approval is None or ruling.requirement is None:
                raise RefusedError("nobody has approved: " + "; ".join(ruling.against))
            people = approvers(proposal, approval, ruling.requirement, party, now_us)
            return Authority(AuthorityKind.PEOPLE, ruling.digest, people, _MINT)
        case RulingDecision.ALLOW:
            return _without_people(ruling, approval, veto_ends_us, now_us)


def _without_people(
    ruling: ActionRuling, approval: ApprovalRecord | None, veto_ends_us: int | None, now_us: int
) -> Authority:
    votes = () if approval is None else approval.votes
    objections = [one.vote.principal for one in votes if one.vote.decision is VoteDecision.DENY]
    if objections:
        raise RefusedError(f"denied by {', '.join(map(repr, objections))}")
    if ruling.is_stated_undo:
        return Authority(AuthorityKind.STATED_UNDO, ruling.digest, (), _MINT)
    if ruling.veto_s is not None and (veto_ends_us is None or now_us < veto_ends_us):
        raise RefusedError("people may still object; wait for the end of the veto window")
    return Authority(AuthorityKind.LEVEL, ruling.digest, (), _MINT)


def seal_grant(
    authority: Authority,
    proposal: ActionProposal,
    signer: Signer,
    *,
    grant_id: str,
    proposal_id: str,
    audience: str,
    now_us: int,
    ttl_us: int,
) -> tuple[Grant, str]:
    """The grant and its envelope. Raises `RefusedError` where the authority is for another proposal."""
    if authority.digest != proposal.digest:
        raise RefusedError("the authority is for another proposal")
    grant = Grant(
        grant_id=grant_id,
        tenant=proposal.tenant,
        proposal_id=proposal_id,
        digest=authority.digest,
        audience=audience,
        kill_epoch=proposal.kill_epoch,
        authority=authority.kind,
        people=authority.people,
        issued_us=now_us,
        expires_us=min(now_us + min(max(ttl_us, 1), MAX_TTL_US), proposal.expires_us),
    )
    payload = canonical(
        {
            "v": 1,
            "id": grant.grant_id,
            "tenant": grant.tenant,
            "proposal": grant.proposal_id,
            "digest": grant.digest,
            "audience": grant.audience,
            "kill_epoch": grant.kill_epoch,
            "authority": grant.authority.value,
            "people": list(grant.people),
            "issued_us": grant.issued_us,
            "expires_us": grant.expires_us,
        }
    )
    return grant, sign(PAYLOAD_TYPE, payload, signer)


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    v: int
    id: str
    tenant: str
    proposal: str
    digest: str
    audience: str
    kill_epoch: int
    authority: str
    people: list[str]
    issued_us: int
    expires_us: int


def open_grant(envelope: str, issuers: dict[str, Ed25519PublicKey], *, audience: str, now_us: int) -> Grant:
    """What a grant says, once its signature, audience and time hold. Raises `RefusedError`."""
    payload, _ = verify(envelope, PAYLOAD_TYPE, issuers)
    try:
        model = _Payload.model_validate(parse_canonical(payload))
        kind = AuthorityKind(model.authority)
    except (ValidationError, ValueError) as error:
        raise RefusedError(f"not a grant: {error}") from error
    if model.v != 1:
        raise RefusedError(f"the grant is of format {model.v}, expected 1")
    if model.audience != audience:
        raise RefusedError(f"the grant is for {model.audience!r}, this is {audience!r}")
    if model.expires_us - model.issued_us > MAX_TTL_US:
        raise RefusedError("the grant lives longer than any may")
    grant = Grant(
        grant_id=model.id,
        tenant=model.tenant,
        proposal_id=model.proposal,
        digest=model.digest,
        audience=model.audience,
        kill_epoch=model.kill_epoch,
        authority=kind,
        people=tuple(model.people),
        issued_us=model.issued_us,
        expires_us=model.expires_us,
    )
    grant.check_moment(now_us)
    return grant


def permit_effect(grant: Grant, authority: Authority, proposal: ActionProposal) -> EffectPermit:
    """The permit to act, for a grant that was opened and an authority that was found again. Raises `RefusedError`."""
    digest = proposal.digest
    if grant.digest != digest or authority.digest != digest or grant.tenant != proposal.tenant:
        raise RefusedError("grant, authority and proposal are not about the same action")
    if grant.kill_epoch != proposal.kill_epoch:
        raise RefusedError("the grant is of another kill epoch than the proposal")
    return EffectPermit(proposal.action, digest, _EFFECT, proposal.incident_id)
