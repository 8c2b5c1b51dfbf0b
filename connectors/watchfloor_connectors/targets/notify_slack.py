"""Slack as a medium of messages, by chat.postMessage and conversations.history of https://docs.slack.dev/reference/methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, Field

from watchfloor_connectors.channels.slack import PASSING
from watchfloor_connectors.channels.slack_blocks import plain_message
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.http_api import Api
from watchfloor_connectors.targets.http_credentials import SecretHeader
from watchfloor_connectors.targets.notify_message import Message, Seen
from watchfloor_connectors.targets.notify_options import NotifyOptions, SlackPlace
from watchfloor_core.errors import UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.effect import NotDoneError

_EVENT: Final = "watchfloor_message"
_LOOKED_AT: Final = 100
"""Messages of a conversation, the newest first, in which one without an acknowledgement is looked for."""


class _SlackAnswer(BaseModel):
    ok: bool = False
    error: str = Field(default="", max_length=200)
    ts: str = Field(default="", pattern=r"^([0-9]{1,12}\.[0-9]{1,9})?$")


class _Metadata(BaseModel):
    event_type: str = ""
    event_payload: Mapping[str, object] = {}


class _SlackMessage(BaseModel):
    ts: str = ""
    metadata: _Metadata | None = None


class _SlackHistory(BaseModel):
    ok: bool = False
    error: str = Field(default="", max_length=200)
    messages: tuple[_SlackMessage, ...] = ()


class Slack:
    """https://docs.slack.dev/reference/methods/chat.postMessage and conversations.history."""

    def __init__(self, slot: Slot, options: NotifyOptions, place: SlackPlace) -> None:
        self.where = f"Slack conversation {place.conversation}"
        self._place = place
        token = SecretHeader(place.bot_token)
        denied = "check the bot token and its scope chat:write"
        self._api = Api(slot.tool, options, place.api_url, token, denied=denied)

    def tell(self, message: Message) -> str:
        asked = plain_message(message.headline, message.lines, self._place.conversation)
        # Only apps see it: by this the message is found again even where its acknowledgement was lost.
        asked["metadata"] = {"event_type": _EVENT, "event_payload": {"key": message.key}}
        with self._api.session() as session:
            answer = session.change("POST", "chat.postMessage", json=asked).parse(_SlackAnswer)
        if answer.ok and answer.ts:
            return answer.ts
        shown = quote_untrusted(answer.error, 80)
        if answer.ok or answer.error in PASSING:
            raise UnavailableError(f"Slack answers chat.postMessage with {shown}")
        raise NotDoneError(f"Slack refuses chat.postMessage: {shown}; check the app's scopes and that it is in there")

    def look(self, key: str, evidence: str) -> Seen | None:
        wanted: dict[str, object] = {"channel": self._place.conversation, "include_all_metadata": True}
        around = {"oldest": evidence, "latest": evidence, "inclusive": True, "limit": 1} if evidence else {}
        with self._api.session() as session:
            found = session.read(_SlackHistory, "conversations.history", json={**wanted, "limit": _LOOKED_AT, **around})
        if not found.ok and found.error == "missing_scope":
            return None
        if not found.ok:
            raise UnavailableError(f"Slack answers conversations.history with {quote_untrusted(found.error, 80)}")
        ours = [one.ts for one in found.messages if (evidence and one.ts == evidence) or _is_ours(one, key)]
        if ours:
            return Seen(True, f"the conversation shows the message {quote_untrusted(ours[0], 40)}")
        return Seen(
            False, f"the conversation does not show it among {'that time' if evidence else 'its newest messages'}"
        )


def _is_ours(message: _SlackMessage, key: str) -> bool:
    told = message.metadata
    return told is not None and told.event_type == _EVENT and told.event_payload.get("key") == key
