"""``POST /v1/channels/…``: what people say in Slack and Teams, and votes from signed webhooks.

Each message proves itself by a signature over its very bytes, is taken once, and says who by a name of the channel's
own, which only the operator's map turns into a principal. In a chat one can say no, or be told where to sign a yes;
there is no GET, and no button or line that approves.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar, assert_never

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import SecretBytes
from starlette.background import BackgroundTask

from watchfloor_connectors.channels import signatures, slack_inbound, teams, teams_inbound, webhook
from watchfloor_connectors.channels.settings import SlackSettings
from watchfloor_connectors.channels.signatures import Proof
from watchfloor_connectors.channels.slack import SlackChannel
from watchfloor_connectors.channels.slack_blocks import outcome_dialog, reason_fault
from watchfloor_connectors.channels.text import review_advice, review_url
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import NotFoundError, RecordError, RefusedError, WatchfloorError
from watchfloor_service.api.authentication import client_of
from watchfloor_service.api.http_json import json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.routes.tracing import traced
from watchfloor_service.channels.parts import ChannelParts, channel_parts_of
from watchfloor_service.channels.people import ChannelKind, ChannelPerson, Message, identify, proposal_digest
from watchfloor_service.channels.votes import denial, signed_approval, spoken_error, spoken_result
from watchfloor_service.intake.webhook_file import Webhook
from watchfloor_service.intake.webhooks import spend_signature

_LOG = logging.getLogger(__name__)

router = APIRouter()

Parsed = TypeVar("Parsed")

_STRANGERS_FAULTS: Final = (
    ProblemKind.UNAUTHENTICATED,
    ProblemKind.BODY_TIMEOUT,
    ProblemKind.MALFORMED_BODY,
    ProblemKind.TOO_LARGE,
)
_STILL_WORKING: Final = "It takes longer than this chat waits. Look whether it was recorded: {command}"


@router.post("/v1/channels/slack/{tenant}")
async def slack(tenant: str, request: Request) -> Response:
    """Slack's interactivity request URL. Answers at once, as Slack asks; the rest follows by its own addresses."""
    parts = channel_parts_of(request)
    configured = {one.name: one for one in parts.channels.slack(tenant)}
    secrets = {name: one.signing_secret for name, one in configured.items()}
    headers = request.headers

    def prove(body: bytes) -> Proof | None:
        signature, stamp = headers.get(signatures.SLACK_SIGNATURE), headers.get(signatures.SLACK_TIMESTAMP)
        return signatures.verify_slack(secrets, signature, stamp, body, _now_s())

    proof, said = await _receive(
        request, ChannelKind.SLACK, tenant, prove, slack_inbound.parse_interaction, slack_inbound.MAX_BODY_BYTES
    )
    signed_by = [configured[name] for name in sorted(proof.channels)]
    # Who is of another workspace, and shares a conversation with us, is nobody's user here.
    ours = [one for one in signed_by if said.who.teams == {one.team}]
    users = {user: principal for one in ours for user, principal in one.users.items()}
    message = Message(tenant, ChannelKind.SLACK, said.who.user, said.reference.proposal)
    asked = _SlackAnswers(request, parts, (ours or signed_by)[0])
    try:
        if said.reference.tenant != tenant:
            raise NotFoundError(f"no proposal {said.reference.proposal!r} waits in this tenant")
        person = await run_in_threadpool(identify, parts_of(request).store, parts, users, message)
    except (RefusedError, NotFoundError) as refusal:
        return asked.refused(said, spoken_error(refusal))
    match said:
        case slack_inbound.PressReview():
            return asked.reviewed(said)
        case slack_inbound.PressDeny():
            return asked.asked_why(said)
        case slack_inbound.SubmitDeny():
            return await asked.denied(said, message, person, proof)
        case unknown:
            assert_never(unknown)


@router.post("/v1/channels/teams/{tenant}")
async def teams_message(tenant: str, request: Request) -> Response:
    """The callback of an outgoing webhook in Teams: a line in, the answer to it out."""
    parts = channel_parts_of(request)
    configured = {one.name: one for one in parts.channels.teams(tenant)}
    keys = {name: one.security_token for name, one in configured.items() if one.security_token is not None}

    def prove(body: bytes) -> Proof | None:
        return signatures.verify_teams(keys, request.headers.get("authorization"), body)

    def parse(body: bytes) -> teams_inbound.TeamsMessage:
        return teams_inbound.parse_message(body, _now_s())

    proof, said = await _receive(request, ChannelKind.TEAMS, tenant, prove, parse, teams_inbound.MAX_BODY_BYTES)
    command = said.command
    if command is None:
        return json_answer(teams.reply(teams_inbound.USAGE))
    users = _users(proof, {name: one.users for name, one in configured.items()})
    message = Message(tenant, ChannelKind.TEAMS, said.user, command.proposal_id)
    store = parts_of(request).store
    try:
        person = await run_in_threadpool(identify, store, parts, users, message)
        if isinstance(command, teams_inbound.TeamsReview):
            return json_answer(teams.reply(review_advice(command.proposal_id, parts.channels.public_url)))
        digest = await run_in_threadpool(proposal_digest, store, tenant, command.proposal_id)
    except (RefusedError, NotFoundError) as refusal:
        return json_answer(teams.reply(spoken_error(refusal)))
    vote = denial(message, person, digest, command.reason, proof.mac.hex())

    async def deny() -> str:
        with traced(request, tenant, person.principal):
            return (await spoken_result(parts_of(request).approvals, command.proposal_id, vote))[1]

    answer = await parts.late.within_patience(deny(), lambda text: _LOG.info("a late answer in Teams: %s", text))
    return json_answer(teams.reply(answer or _still_working(command.proposal_id)))


@router.post("/v1/channels/webhook/{tenant}")
async def webhook_vote(tenant: str, request: Request) -> Response:
    """A vote from a signed webhook: 200 with where the approval stands, or a problem that says why not."""
    parts = channel_parts_of(request)
    configured = {one.name: one for one in parts.channels.webhooks(tenant)}
    secrets = {name: one.inbound_secret for name, one in configured.items() if one.inbound_secret is not None}

    def prove(body: bytes) -> Proof | None:
        return signatures.verify_webhook(secrets, request.headers.get(signatures.WEBHOOK_SIGNATURE), body, _now_s())

    proof, said = await _receive(
        request, ChannelKind.WEBHOOK, tenant, prove, webhook.parse_vote, webhook.MAX_BODY_BYTES
    )
    if said.tenant != tenant:
        raise ProblemError(ProblemKind.INVALID_REQUEST, "the body is for another tenant than the address")
    users = _users(proof, {name: one.users for name, one in configured.items()})
    message = Message(tenant, ChannelKind.WEBHOOK, said.subject, said.proposal_id)
    person = await run_in_threadpool(identify, parts_of(request).store, parts, users, message)
    match said.decision:
        case "deny":
            vote = denial(message, person, said.digest, said.comment, said.id)
        case "approve":
            vote = signed_approval(message, person, said.digest, said.comment, said.id, said.key_id, said.assertion)
        case unknown:
            assert_never(unknown)
    with traced(request, tenant, person.principal):
        result = await parts_of(request).approvals.vote(tenant, said.proposal_id, vote)
    return json_answer(
        {
            "proposal_id": said.proposal_id,
            "outcome": result.outcome.value,
            "approvals": result.approvals,
            "quorum": result.quorum,
        }
    )


@dataclass(frozen=True, slots=True)
class _SlackAnswers:
    """What somebody in Slack gets to see."""

    request: Request
    parts: ChannelParts
    settings: SlackSettings

    @property
    def channel(self) -> SlackChannel:
        return SlackChannel(self.settings, self.parts.channels.public_url)

    def refused(self, said: slack_inbound.Interaction, text: str) -> Response:
        if isinstance(said, slack_inbound.SubmitDeny):
            return json_answer(reason_fault(text))
        return _then(partial(self.channel.answer_privately, said.response_url, text))

    def reviewed(self, said: slack_inbound.PressReview) -> Response:
        proposal, public_url = said.reference.proposal, self.parts.channels.public_url
        text, link = review_advice(proposal, public_url), review_url(public_url, proposal)
        return _then(partial(self.channel.answer_privately, said.response_url, text, link))

    def asked_why(self, said: slack_inbound.PressDeny) -> Response:
        return _then(partial(self.channel.open_deny_dialog, said.trigger_id, said.reference))

    async def denied(
        self, said: slack_inbound.SubmitDeny, message: Message, person: ChannelPerson, proof: Proof
    ) -> Response:
        proposal = said.reference.proposal
        vote = denial(message, person, said.reference.digest, said.reason, proof.mac.hex())
        taken = False

        async def deny() -> str:
            nonlocal taken
            with traced(self.request, message.tenant, person.principal):
                taken, text = await spoken_result(parts_of(self.request).approvals, proposal, vote)
            return text

        def tell_later(text: str) -> None:
            _quietly(partial(self.channel.show_outcome, said.view_id, text))

        text = await self.parts.late.within_patience(deny(), tell_later)
        if text is not None and not taken:
            return json_answer(reason_fault(text))
        shown = outcome_dialog(text or _still_working(proposal))
        return json_answer({"response_action": "update", "view": shown})


async def _receive(
    request: Request,
    kind: ChannelKind,
    tenant: str,
    prove: Callable[[bytes], Proof | None],
    parse: Callable[[bytes], Parsed],
    limit: int,
) -> tuple[Proof, Parsed]:
    """The message in a request's body, once: proven, then read, then spent.

    Read before it is spent, as the time of some stands inside: out of its time it stays refused even when nobody
    remembers that it was spent. Spent before anything is done about it: what fails then is to be said anew, and signed
    anew.
    """
    parts = parts_of(request)
    client = client_of(request)
    credential = hashlib.sha256(f"channel {kind} {tenant}".encode("utf-8", "surrogatepass")).digest()
    parts.authenticator.admit(client, credential)
    is_proven = False
    try:
        async with parts.strangers_bodies.receive(request, limit) as body:
            proof = prove(body)
            if proof is None:
                raise ProblemError(
                    ProblemKind.UNAUTHENTICATED, "the body is not signed with this channel's secret, or not just now"
                )
            is_proven = True
            parts.authenticator.succeeded(credential)
            parsed = _parsed(parse, body)
        await run_in_threadpool(_spend, request, kind, tenant, proof)
    except ProblemError as problem:
        if not is_proven and problem.kind in _STRANGERS_FAULTS:
            parts.authenticator.failed(client)
        raise
    return proof, parsed


def _parsed(parse: Callable[[bytes], Parsed], body: bytes) -> Parsed:
    try:
        return parse(body)
    except RecordError as error:
        raise ProblemError(ProblemKind.INVALID_REQUEST, error.reason) from None


def _spend(request: Request, kind: ChannelKind, tenant: str, proof: Proof) -> None:
    # Remembered beside the signatures of webhooks for alerts; the colon keeps the names apart.
    used = Webhook(f"channel:{kind.value}", tenant, connector="", secret=SecretBytes(b""))
    with parts_of(request).store.write() as connection:
        spend_signature(connection, used, proof.mac)


def _users(proof: Proof, users: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The people of the channels that signed, and of no other."""
    return {user: principal for name in sorted(proof.channels) for user, principal in users[name].items()}


def _then(call: Callable[[], None]) -> Response:
    """An empty answer now, and the call after it."""
    return Response(status_code=200, background=BackgroundTask(_quietly, call))


def _quietly(call: Callable[[], None]) -> None:
    try:
        call()
    except WatchfloorError as error:
        _LOG.warning("somebody in a chat could not be answered: %s", error)


def _still_working(proposal_id: str) -> str:
    return _STILL_WORKING.format(command=f"watchfloor approvals show {proposal_id}")


def _now_s() -> int:
    return now_us() // MICROSECONDS
