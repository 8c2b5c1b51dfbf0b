"""Tells people something in a channel: Slack, Teams, mail, or a webhook of one's own.

A message cannot be taken back, and most media show nothing of it afterwards. What counts as its effect is that the
other side acknowledged it; what that proves differs by medium, and is said with it.
"""

from __future__ import annotations

import re
from typing import ClassVar, Final

from watchfloor_connectors.channels.text import defang
from watchfloor_connectors.targets.base import BadTargetError, ConfiguredTarget, NeverError, Slot, plain_text
from watchfloor_connectors.targets.http_api import RESTRICTING
from watchfloor_connectors.targets.notify_media import medium
from watchfloor_connectors.targets.notify_message import Medium, Message
from watchfloor_connectors.targets.notify_options import (
    MailPlace,
    NotifyOptions,
    SlackPlace,
    TeamsPlace,
    WebhookPlace,
)
from watchfloor_connectors.targets.notify_receipts import MAX_EVIDENCE, Receipt, Receipts
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

MAX_MESSAGE: Final = 1_000
"""Characters of ``text``, of which the worst become ten each."""
MAX_LINES: Final = 20
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_ACKNOWLEDGED: Final = {
    SlackPlace: "Slack acknowledged the message {}",
    TeamsPlace: "the Workflow took it ({}); whether it posted it in Teams cannot be seen from here",
    WebhookPlace: "the receiver took it ({}); what it did with it cannot be seen from here",
    MailPlace: "the mail server took it for all recipients ({}); whether it reached a mailbox cannot be seen from here",
}


class Notify(ConfiguredTarget[NotifyOptions]):
    kind = "notify"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"notify channel"})
    options_type = NotifyOptions
    restricting: ClassVar[frozenset[str]] = RESTRICTING
    arguments: ClassVar[frozenset[str]] = frozenset({"text"})

    def __init__(self, slot: Slot, options: NotifyOptions) -> None:
        self._places = {one.name: one for one in options.channels}
        self._media: dict[str, Medium] = {one.name: medium(slot, options, one) for one in options.channels}
        self._receipts = Receipts(slot.data_dir / "targets" / slot.tool / slot.tenant)
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        needed = {
            SlackPlace: "Slack: an app of its own with chat:write, in the conversation; channels:history or "
            "groups:history to see the message again",
            TeamsPlace: "Teams: the address of a Workflow that posts in one channel",
            WebhookPlace: "webhook: a secret that signs, shared with the receiver",
            MailPlace: "mail: to submit mails of the sender's address",
        }
        used = {type(one) for one in self.options.channels}
        return (*(text for place, text in needed.items() if place in used), f"write files in {self._receipts.folder}")

    def read_state(self, target: Target) -> TargetState:
        name = self._name(target)
        return TargetState({"channel": name, "where": self._media[name].where})

    def do(self, action: Action, key: str) -> None:
        self.do_about(action, key, "")

    def do_about(self, action: Action, key: str, incident_id: str) -> None:
        name = self._name(action.target)
        message = self._message(action, key, incident_id)
        before = self._receipts.read(key)
        if before is not None and before.phase == "acknowledged":
            return
        if before is not None and before.phase == "sending":
            raise UnavailableError("the message may have been sent already; it is not sent twice")
        self._receipts.write(Receipt(key=key, channel=name, phase="sending"))
        try:
            evidence = self._media[name].tell(message)
        except NotDoneError:
            self._receipts.write(Receipt(key=key, channel=name, phase="refused"))
            raise
        self._receipts.write(Receipt(key=key, channel=name, phase="acknowledged", evidence=evidence[:MAX_EVIDENCE]))

    def read_back(self, action: Action, key: str) -> ReadBack:
        name = self._name(action.target)
        state, receipt = self.read_state(action.target), self._receipts.read(key)
        if receipt is None or receipt.phase == "refused":
            said = "the other side refused the message" if receipt else "no message was sent under this key"
            return ReadBack(Effect.NOT_APPLIED, state, f"{said} to {name!r}")
        seen, problem = None, ""
        try:
            seen = self._media[name].look(key, receipt.evidence)
        except UnavailableError as error:
            problem = f"; it could not be looked for: {error}"
        if receipt.phase == "sending":
            is_there = seen is not None and seen.is_there
            begun = "sending began and was not acknowledged"
            # One that is not shown yet may still come.
            effect = Effect.APPLIED if is_there else Effect.UNKNOWN
            return ReadBack(effect, state, f"{begun}{f'; {seen.text}' if seen else problem}")
        told = _ACKNOWLEDGED[type(self._places[name])].format(receipt.evidence)
        if seen is None:
            again = "; the app may not read it again (channels:history)" if self._is_slack(name) and not problem else ""
            return ReadBack(Effect.APPLIED, state, f"{told}{again}{problem}")
        effect = Effect.APPLIED if seen.is_there else Effect.NOT_APPLIED
        return ReadBack(effect, state, f"{told}; {seen.text}")

    def _is_slack(self, name: str) -> bool:
        return isinstance(self._places[name], SlackPlace)

    def _name(self, target: Target) -> str:
        """The channel's name. Raises `BadTargetError`, `NotFoundError`, and `NeverError`."""
        if target.kind is not TargetKind.CHANNEL:
            raise BadTargetError(f"a target of kind {target.kind!r} is no channel")
        name = plain_text(target.value, "the name of a channel")
        if not _NAME.fullmatch(name):
            raise BadTargetError(f"{quote_untrusted(name, 80)} is no name of a channel (a-z, 0-9, '_', '-')")
        if name not in self._places:
            raise NotFoundError(f"{self.tool!r} has no channel {name!r}; it has: {', '.join(sorted(self._places))}")
        if name in self.options.never:
            raise NeverError(f"the channel {name!r} is not told by {self.tool!r}")
        return name

    def _message(self, action: Action, key: str, incident_id: str) -> Message:
        text = action.arguments.get("text")
        if not isinstance(text, str) or not text.strip():
            raise NotDoneError("the argument 'text' is missing: what people are to be told")
        lines = text.split("\n")
        if len(text) > MAX_MESSAGE or len(lines) > MAX_LINES:
            found = f"'text' has {len(text)} characters in {len(lines)} lines"
            raise NotDoneError(f"{found}; at most {MAX_MESSAGE:,} in {MAX_LINES} lines are sent")
        about = defang(incident_id) if incident_id else "none"
        facts = (f"Incident: {about}", f"Tenant: {defang(self.slot.tenant)}", f"Proposal: digest {key[:12]}…", "")
        # Whatever the text says, it cannot look like a line of ours.
        quoted = tuple(f"> {defang(line, MAX_MESSAGE)}" for line in lines)
        return Message(key, self.slot.tenant, incident_id, text, "Message from Watchfloor", (*facts, *quoted))
