"""Slack: tells by the Web API, and answers to what people press (https://docs.slack.dev/reference/methods)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import orjson

from watchfloor_connectors.channels.http import Answer, BusyError, is_within, post, require_success
from watchfloor_connectors.channels.settings import SlackSettings
from watchfloor_connectors.channels.slack_blocks import Reference, deny_dialog, message, outcome_dialog, private_answer
from watchfloor_core.errors import ConfigurationError, RefusedError, UnavailableError
from watchfloor_core.notice import ApprovalNotice
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import quote_untrusted

PASSING: Final = frozenset(
    {
        "internal_error",
        "fatal_error",
        "service_unavailable",
        "request_timeout",
        "team_added_to_org",
        "ekm_access_denied",
    }
)
"""Errors that may be gone the next time."""
_DEFAULT_WAIT_S: Final = 30


class SlackChannel:
    """One conversation of one workspace."""

    def __init__(self, settings: SlackSettings, public_url: str) -> None:
        self.name = settings.name
        self._settings = settings
        self._public_url = public_url

    def notify(self, notice: ApprovalNotice) -> None:
        """Post the notice, with buttons while there is something to decide."""
        self._call("chat.postMessage", message(notice, self._public_url, self._settings.conversation))

    def open_deny_dialog(self, trigger_id: str, reference: Reference) -> None:
        """Ask the person who pressed for the reason."""
        self._call("views.open", {"trigger_id": trigger_id, "view": deny_dialog(reference)})

    def show_outcome(self, view_id: str, text: str) -> None:
        """Put a later answer into a dialog that is still open."""
        self._call("views.update", {"view_id": view_id, "view": outcome_dialog(text)})

    def answer_privately(self, response_url: str, text: str, link: str | None = None) -> None:
        """Answer the one person who pressed. Raises `RefusedError` where the address is not one of Slack's."""
        if not is_within(response_url, self._settings.hooks_url):
            raise RefusedError(f"the response_url is not below {self._settings.hooks_url!r}; nothing was sent")
        body = orjson.dumps(private_answer(text, link))
        require_success(post(response_url, body, {}, name=self.name), name=self.name)

    def _call(self, method: str, arguments: Mapping[str, Json]) -> None:
        url = f"{self._settings.api_url.rstrip('/')}/{method}"
        headers = {
            "Authorization": f"Bearer {self._settings.bot_token.get_secret_value()}",
            "Content-Type": "application/json; charset=utf-8",
        }
        answer = post(url, orjson.dumps(arguments), headers, name=self.name)
        require_success(answer, name=self.name)
        self._require_ok(answer, method)

    def _require_ok(self, answer: Answer, method: str) -> None:
        """Slack answers 200 and says in the body whether it did it."""
        try:
            said = orjson.loads(answer.body)
        except orjson.JSONDecodeError as error:
            raise UnavailableError(f"channel {self.name!r}: {method} answered no JSON") from error
        if isinstance(said, dict) and said.get("ok") is True:
            return
        error_code = said.get("error") if isinstance(said, dict) else None
        if error_code in ("ratelimited", "rate_limited"):
            raise BusyError(f"channel {self.name!r}: {method} is rate-limited", _DEFAULT_WAIT_S)
        shown = quote_untrusted(str(error_code), 80)
        if error_code in PASSING:
            raise UnavailableError(f"channel {self.name!r}: {method} failed with {shown}")
        raise ConfigurationError(
            f"channel {self.name!r}: {method} failed with {shown}; check the bot token, its scopes, and that the app "
            f"is in conversation {self._settings.conversation}"
        )
