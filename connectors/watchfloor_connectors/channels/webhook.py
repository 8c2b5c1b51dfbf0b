"""A signed webhook of one's own: notices out, votes in, for a bot, a SOAR or a pager that nobody here has heard of."""

from __future__ import annotations

import time
from typing import Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from watchfloor_connectors.channels.http import post, require_success
from watchfloor_connectors.channels.settings import WebhookSettings
from watchfloor_connectors.channels.signatures import WEBHOOK_SIGNATURE, webhook_header
from watchfloor_connectors.channels.text import review_command, review_url
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.notice import ApprovalNotice
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import escape_untrusted

FORMAT: Final = 1
MAX_BODY_BYTES: Final = 64 * 1024
MAX_MISTAKES: Final = 10
MAX_NOTICE_TEXT: Final = 2_000


class WebhookChannel:
    """One receiver of notices."""

    def __init__(self, settings: WebhookSettings, public_url: str) -> None:
        self.name = settings.name
        self._settings = settings
        self._public_url = public_url

    def notify(self, notice: ApprovalNotice) -> None:
        """POST the notice, signed now."""
        url, secret = self._settings.url, self._settings.secret
        if url is None or secret is None:
            raise ConfigurationError(f"channel {self.name!r} only listens; give it url and secret")
        body = orjson.dumps(content(notice, self._public_url), option=orjson.OPT_SORT_KEYS)
        header = webhook_header(secret.get_secret_value(), body, int(time.time()))
        require_success(post(url, body, {WEBHOOK_SIGNATURE: header}, name=self.name), name=self.name)


def content(notice: ApprovalNotice, public_url: str) -> dict[str, Json]:
    """The notice as JSON. Texts are as in the notice, not defanged: who shows them escapes them for where."""
    return {
        "v": FORMAT,
        "type": "approval_notice",
        "kind": notice.kind.value,
        "tenant": notice.tenant,
        "incident_id": notice.incident_id,
        "proposal_id": notice.proposal_id,
        "digest": notice.digest,
        "action_class": notice.action_class,
        "target": escape_untrusted(notice.target[:MAX_NOTICE_TEXT]),
        "roles": list(notice.roles),
        "deadline_us": notice.deadline_us,
        "text": escape_untrusted(notice.text[:MAX_NOTICE_TEXT]),
        "review_url": review_url(public_url, notice.proposal_id),
        "review_command": review_command(notice.proposal_id),
    }


class WebhookVote(BaseModel):
    """What a signed webhook may say. There is no field for a principal: the subject is looked up in ``users``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    v: Literal[1]
    type: Literal["approval_vote"]
    tenant: str = Field(max_length=64)
    proposal_id: str = Field(pattern=r"^act-[0-9a-f]{16}$")
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    decision: Literal["approve", "deny"]
    subject: str = Field(min_length=1, max_length=128)
    """How the sender names the person."""
    id: str = Field(pattern=r"^[\x21-\x7e]{1,64}$")
    """The sender's own; the same vote sent again under the same id is recorded once."""
    comment: str = Field(default="", max_length=4_000)
    key_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    assertion: dict[str, JsonValue] | None = None
    """How the person signed the statement; a yes needs it."""


def parse_vote(body: bytes) -> WebhookVote:
    """The vote in a proven body. Raises `RecordError` with every mistake, without the values sent."""
    try:
        return WebhookVote.model_validate_json(body)
    except ValidationError as error:
        mistakes = [
            f"{escape_untrusted('.'.join(str(part) for part in mistake['loc'])[:60])}: {mistake['msg']}"
            for mistake in error.errors(include_url=False, include_input=False)[:MAX_MISTAKES]
        ]
        raise RecordError("the body is no vote: " + "; ".join(mistakes)) from None
