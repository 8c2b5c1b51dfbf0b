"""What people do in Slack, out of a body that has been proven authentic.

https://docs.slack.dev/reference/interaction-payloads: a form with one field, ``payload``, that holds JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from watchfloor_connectors.channels.slack_blocks import DENY, DENY_DIALOG, REASON, REASON_BLOCK, REVIEW, Reference
from watchfloor_core.errors import RecordError

MAX_BODY_BYTES: Final = 256 * 1024
"""An interaction repeats the whole message that it is about."""


@dataclass(frozen=True, slots=True)
class SlackUser:
    teams: frozenset[str]
    """Every workspace that the interaction names: that of the conversation and that of the person."""
    user: str


@dataclass(frozen=True, slots=True)
class PressReview:
    who: SlackUser
    reference: Reference
    response_url: str


@dataclass(frozen=True, slots=True)
class PressDeny:
    who: SlackUser
    reference: Reference
    response_url: str
    trigger_id: str
    """Good for one dialog within three seconds."""


@dataclass(frozen=True, slots=True)
class SubmitDeny:
    who: SlackUser
    reference: Reference
    reason: str
    view_id: str


Interaction: TypeAlias = PressReview | PressDeny | SubmitDeny


# Slack adds fields as it likes. What is not read here decides nothing, whatever its name.
class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class _Team(_Model):
    id: str


class _User(_Model):
    id: str = Field(min_length=1, max_length=64)
    team_id: str | None = None


class _Action(_Model):
    action_id: str
    value: str = ""


class _Actions(_Model):
    type: Literal["block_actions"]
    team: _Team
    user: _User
    actions: list[_Action] = Field(min_length=1, max_length=1)
    response_url: str = ""
    trigger_id: str = Field(max_length=200)


class _Input(_Model):
    value: str | None = None


class _State(_Model):
    values: dict[str, dict[str, _Input]]


class _View(_Model):
    id: str = Field(max_length=64)
    callback_id: str
    private_metadata: str
    state: _State


class _Submission(_Model):
    type: Literal["view_submission"]
    team: _Team
    user: _User
    view: _View


_PAYLOAD: Final[TypeAdapter[_Actions | _Submission]] = TypeAdapter(_Actions | _Submission)


def parse_interaction(body: bytes) -> Interaction:
    """The interaction in a proven body. Raises `RecordError` where it is none that we offer."""
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=4)
    except ValueError:
        raise RecordError("the body is no form as Slack sends it") from None
    payloads = [value for name, value in fields if name == "payload"]
    if len(payloads) != 1:
        raise RecordError("the form has not exactly one field payload")
    try:
        payload = _PAYLOAD.validate_json(payloads[0])
    except ValidationError:
        raise RecordError("the interaction is none of those that Watchfloor offers") from None
    teams = {payload.team.id} | ({payload.user.team_id} if payload.user.team_id is not None else set())
    who = SlackUser(frozenset(teams), payload.user.id)
    if isinstance(payload, _Submission):
        return _submission(payload, who)
    action = payload.actions[0]
    match action.action_id:
        case str(name) if name == REVIEW:
            return PressReview(who, Reference.parse(action.value), payload.response_url)
        case str(name) if name == DENY:
            return PressDeny(who, Reference.parse(action.value), payload.response_url, payload.trigger_id)
    raise RecordError("the button is none of ours; a yes is a signature and has no button")


def _submission(payload: _Submission, who: SlackUser) -> SubmitDeny:
    if payload.view.callback_id != DENY_DIALOG:
        raise RecordError("the dialog is none of ours")
    given = payload.view.state.values.get(REASON_BLOCK, {}).get(REASON)
    reason = given.value if given is not None and given.value is not None else ""
    return SubmitDeny(who, Reference.parse(payload.view.private_metadata), reason, payload.view.id)
