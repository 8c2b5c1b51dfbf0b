"""How people are told by each medium, and what each lets one know afterwards.

========  ===========================================================  =========================================
medium    the other side acknowledges by                               and later shows
========  ===========================================================  =========================================
Slack     ``ok`` and the message's ``ts`` (``chat.postMessage``)       the message (``conversations.history``)
Teams     202 of the Workflow, before it has posted                    nothing
webhook   any 2xx of the receiver                                      nothing
mail      250 to the whole text, mostly with a queue id (RFC 5321)     nothing
========  ===========================================================  =========================================
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

from watchfloor_connectors.channels.http import url_fault
from watchfloor_connectors.channels.mail import InDoubtError, MailChannel, plain_mail
from watchfloor_connectors.channels.settings import MailSettings
from watchfloor_connectors.channels.signatures import WEBHOOK_SIGNATURE, webhook_header
from watchfloor_connectors.channels.teams import announcement
from watchfloor_connectors.targets.base import NotReadyError, Slot
from watchfloor_connectors.targets.http_api import Api
from watchfloor_connectors.targets.http_credentials import TokenAsker
from watchfloor_connectors.targets.notify_message import Medium, Message, Seen
from watchfloor_connectors.targets.notify_options import MailPlace, NotifyOptions, SlackPlace, TeamsPlace, WebhookPlace
from watchfloor_connectors.targets.notify_slack import Slack
from watchfloor_connectors.targets.secret import read_secret
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_guardrails.effect import NotDoneError


class _Nothing:
    """No credentials beside what the request itself holds."""

    def headers(self, session: TokenAsker) -> Mapping[str, str]:  # noqa: ARG002 - it needs no request
        return {}

    def forget(self) -> bool:
        return False


class Teams:
    """The Workflow "Post to a channel when a webhook request is received"."""

    where = "Teams channel of a Workflow"

    def __init__(self, slot: Slot, options: NotifyOptions, place: TeamsPlace) -> None:
        self._slot, self._options, self._place = slot, options, place

    def tell(self, message: Message) -> str:
        url = read_secret(self._place.workflow_url).get_secret_value()
        if url_fault(url) is not None:
            raise NotReadyError(f"the secret of workflow_url of channel {self._place.name!r} is no https address")
        parts = urlsplit(url)
        denied = "check the address of the Workflow and whether it was removed"
        api = Api(self._slot.tool, self._options, f"{parts.scheme}://{parts.netloc}", _Nothing(), denied=denied)
        path = parts.path.lstrip("/") + (f"?{parts.query}" if parts.query else "")
        with api.session() as session:
            answer = session.change("POST", path, json=announcement(message.headline, message.lines))
        return f"status {answer.status}"

    def look(self, key: str, evidence: str) -> Seen | None:  # noqa: ARG002 - it shows nothing
        return None


class Webhook:
    """A receiver that takes what is signed."""

    def __init__(self, slot: Slot, options: NotifyOptions, place: WebhookPlace) -> None:
        parts = urlsplit(place.url)
        self.where = f"webhook {parts.scheme}://{parts.netloc}"
        self._place, self._path = place, parts.path.lstrip("/")
        denied = "check the receiver, and that it knows the secret"
        self._api = Api(slot.tool, options, f"{parts.scheme}://{parts.netloc}", _Nothing(), denied=denied)

    def tell(self, message: Message) -> str:
        secret = read_secret(self._place.secret).get_secret_value().encode()
        if len(secret) < _MIN_SECRET:
            raise NotReadyError(f"the secret of channel {self._place.name!r} has fewer than {_MIN_SECRET} bytes")
        content = webhook_content(message, self._place.name)
        header = webhook_header(secret, orjson.dumps(content), int(time.time()))
        with self._api.session() as session:
            answer = session.change("POST", self._path, json=content, headers={WEBHOOK_SIGNATURE: header})
        return f"status {answer.status}"

    def look(self, key: str, evidence: str) -> Seen | None:  # noqa: ARG002 - it shows nothing
        return None


_MIN_SECRET: Final = 32


def webhook_content(message: Message, channel: str) -> dict[str, object]:
    """The message as JSON. The text is not defanged: who shows it escapes it for where. ``id`` is the key."""
    return {
        "v": 1,
        "type": "message",
        "id": message.key,
        "tenant": message.tenant,
        "incident_id": message.incident_id,
        "channel": channel,
        "text": "\n".join(map(escape_untrusted, message.text.split("\n"))),
    }


class Mail:
    """SMTP with STARTTLS. A mail that was taken may still bounce, or be thrown away unseen."""

    def __init__(self, slot: Slot, options: NotifyOptions, place: MailPlace) -> None:
        self.where = f"mail to {', '.join(place.recipients)}"
        self._slot, self._options, self._place = slot, options, place

    def tell(self, message: Message) -> str:
        place = self._place
        password = None if place.password is None else read_secret(place.password)
        settings = self._settings(password)
        message_id = f"<wf.{message.key}@{place.sender.rpartition('@')[2]}>"
        content = "\n".join([message.headline, "", *message.lines, "", "Replies are not read."]) + "\n"
        mail = plain_mail(settings, message.headline, content, message_id)
        try:
            said = MailChannel(settings, "").send(mail, limit_s=self._options.timeout_s, all_or_none=True)
        except InDoubtError:
            raise
        except (ConfigurationError, UnavailableError) as error:
            raise NotDoneError(f"no mail was taken: {error}") from error
        return f"250 {quote_untrusted(said, 200)}"

    def look(self, key: str, evidence: str) -> Seen | None:  # noqa: ARG002 - it shows nothing
        return None

    def _settings(self, password: SecretStr | None) -> MailSettings:
        place = self._place
        return MailSettings(
            name=place.name,
            tenant=self._slot.tenant,
            roles=(),
            users={},
            host=place.host,
            port=place.port,
            sender=place.sender,
            recipients=place.recipients,
            username=place.username,
            password=password,
            ca_file=self._options.ca,
        )


def medium(slot: Slot, options: NotifyOptions, place: SlackPlace | TeamsPlace | WebhookPlace | MailPlace) -> Medium:
    match place:
        case SlackPlace():
            return Slack(slot, options, place)
        case TeamsPlace():
            return Teams(slot, options, place)
        case WebhookPlace():
            return Webhook(slot, options, place)
        case MailPlace():
            return Mail(slot, options, place)
