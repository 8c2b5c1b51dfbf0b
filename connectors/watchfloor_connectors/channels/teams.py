"""Teams: tells by a Workflow's webhook with an Adaptive Card, and hears by an outgoing webhook.

Both are made by a team's owner, without an app registration, and what comes in is signed over its very bytes; a bot's
JSON Web Token would prove Microsoft's service but not the body. The price: a card from a webhook can open addresses
but not send decisions, so a denial is a line that mentions the webhook (see `teams_inbound`).

Foreign text stands in ``TextRun`` elements only, in which Markdown is not read
(https://adaptivecards.io/explorer/TextRun.html).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson

from watchfloor_connectors.channels.http import post, require_success
from watchfloor_connectors.channels.settings import TeamsSettings
from watchfloor_connectors.channels.text import NoticeText, notice_text
from watchfloor_core.notice import ApprovalNotice
from watchfloor_core.ports import Json

CARD: Final = "application/vnd.microsoft.card.adaptive"
SCHEMA: Final = "http://adaptivecards.io/schemas/adaptive-card.json"
VERSION: Final = "1.4"
MAX_MESSAGE_BYTES: Final = 28 * 1024
"""What Teams takes."""


class TeamsChannel:
    """One channel of one team."""

    def __init__(self, settings: TeamsSettings, public_url: str) -> None:
        self.name = settings.name
        self._settings = settings
        self._public_url = public_url

    def notify(self, notice: ApprovalNotice) -> None:
        """Post the card. The Workflow answers 202 before it has posted: what fails there, fails unseen."""
        body = orjson.dumps(message(notice, self._public_url, can_deny=self._settings.security_token is not None))
        require_success(post(self._settings.workflow_url.get_secret_value(), body, {}, name=self.name), name=self.name)


def message(notice: ApprovalNotice, public_url: str, *, can_deny: bool) -> dict[str, Json]:
    """What the Workflow "Post to a channel when a webhook request is received" takes."""
    said = notice_text(notice, public_url)
    return _with_card(card(said, notice.proposal_id, can_deny=can_deny))


def card(said: NoticeText, proposal_id: str, *, can_deny: bool) -> dict[str, Json]:
    """The Adaptive Card of a notice."""
    body: list[Json] = [
        {"type": "TextBlock", "text": said.headline, "weight": "Bolder", "size": "Medium", "wrap": True},
        *(_runs((f"{label}: ", True), (value, False)) for label, value in said.facts),
        _runs(("In a terminal: ", True), (said.review_command, False)),
    ]
    if said.is_waiting and can_deny:
        body.append(_runs(("To deny, mention this webhook and write: ", True), (f"deny {proposal_id} <why>", False)))
    return {
        "$schema": SCHEMA,
        "type": "AdaptiveCard",
        "version": VERSION,
        "body": body,
        # Opens the console, where a decision takes a signature.
        "actions": [{"type": "Action.OpenUrl", "title": "Review and sign", "url": said.review_url}],
    }


def announcement(headline: str, lines: Sequence[str]) -> dict[str, Json]:
    """The same for lines that were defanged before; the headline holds nothing foreign."""
    title: Json = {"type": "TextBlock", "text": headline, "weight": "Bolder", "size": "Medium", "wrap": True}
    body = [title, *(_runs((line, False)) for line in lines if line)]
    return _with_card({"$schema": SCHEMA, "type": "AdaptiveCard", "version": VERSION, "body": body})


def reply(text: str) -> dict[str, Json]:
    """The answer to a mention; stands in the same thread."""
    lines: list[Json] = [_runs((line, False)) for line in text.splitlines() if line]
    return _with_card({"$schema": SCHEMA, "type": "AdaptiveCard", "version": VERSION, "body": lines})


def _with_card(content: dict[str, Json]) -> dict[str, Json]:
    return {"type": "message", "attachments": [{"contentType": CARD, "contentUrl": None, "content": content}]}


def _runs(*runs: tuple[str, bool]) -> dict[str, Json]:
    inlines: Sequence[Json] = [
        {"type": "TextRun", "text": text, **({"weight": "Bolder"} if is_bold else {})} for text, is_bold in runs
    ]
    return {"type": "RichTextBlock", "inlines": list(inlines)}
