"""What every kind that writes tickets has in common: one open ticket for each incident, made once, cancelled by us.

Vendors' searches run behind what was written. So the id of a ticket is noted as soon as the vendor gives it, each
ticket is read by its id, and one whose making was not acknowledged is unknown until it shows.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeVar

from watchfloor_connectors.channels.text import defang
from watchfloor_connectors.targets.base import BadTargetError, ConfiguredTarget, NeverError, Slot, plain_text
from watchfloor_connectors.targets.http_api import RESTRICTING, SYSTEM_CLOCK, Api, ApiOptions, Clock, Session
from watchfloor_connectors.targets.http_credentials import TokenAsker
from watchfloor_connectors.targets.notes import Note, Notes
from watchfloor_connectors.targets.secret import read_secret
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

MAX_TITLE: Final = 120
MAX_BODY: Final = 2_000
"""Characters of ``title`` and ``text`` as they are given."""
MAX_FOUND: Final = 20
"""Tickets about one incident that are looked at."""
_WAIT_S: Final = 1.0
"""For another executor that is at the same incident."""
INCIDENT: Final = re.compile(r"inc-[0-9a-f]{16}")

OptionsT = TypeVar("OptionsT", bound=ApiOptions)


@dataclass(frozen=True, slots=True)
class Ticket:
    """What the vendor says of one."""

    id: str
    """The vendor's, which never changes."""
    number: str
    """What people call it."""
    key: str | None
    """Of the action that made it, as the vendor has kept it."""
    is_open: bool
    is_cancelled: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What a new ticket says; nothing in it is a link or a mention."""

    incident_id: str
    key: str
    title: str
    facts: tuple[str, ...]
    """Lines of ours."""
    body: tuple[str, ...]
    """Lines of whoever asked for it."""


@dataclass(frozen=True, slots=True)
class Found:
    """The tickets about an incident."""

    tickets: tuple[Ticket, ...]
    is_hidden: bool
    """The one that was noted does not show: it was deleted, or the account may not see it any more."""

    @property
    def still_open(self) -> list[Ticket]:
        return [one for one in self.tickets if one.is_open]


class BasicSecret:
    """RFC 7617, with a password or token that is read anew for each request."""

    def __init__(self, user: str, secret: str) -> None:
        self._user, self._secret = user, secret

    def headers(self, session: TokenAsker) -> Mapping[str, str]:  # noqa: ARG002 - it needs no request
        shown = f"{self._user}:{read_secret(self._secret).get_secret_value()}"
        return {"Authorization": f"Basic {b64encode(shown.encode()).decode()}"}

    def forget(self) -> bool:
        return False


class TicketTool(ConfiguredTarget[OptionsT]):
    """Subclasses make ``_api`` and say how their vendor searches, reads, makes and cancels."""

    classes: ClassVar[frozenset[str]] = frozenset({"create ticket", "cancel ticket"})
    arguments: ClassVar[frozenset[str]] = frozenset({"title", "text"})
    restricting: ClassVar[frozenset[str]] = RESTRICTING

    def __init__(self, slot: Slot, options: OptionsT, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(slot, options)
        self._notes = Notes(slot, None, _WAIT_S)
        self._api = self.api(clock)

    @abstractmethod
    def api(self, clock: Clock) -> Api: ...

    @abstractmethod
    def search(self, session: Session, incident_id: str) -> list[str]:
        """Ids of at most `MAX_FOUND` tickets that bear the incident's mark; the newest may be missing."""

    @abstractmethod
    def get(self, session: Session, ticket_id: str) -> Ticket:
        """Raises `NotFoundError` where there is none any more."""

    @abstractmethod
    def make(self, session: Session, entry: Entry) -> str:
        """Gives its id."""

    @abstractmethod
    def cancel(self, session: Session, ticket: Ticket, key: str) -> None:
        """Only what people did not close is cancelled."""

    def read_state(self, target: Target) -> TargetState:
        incident_id = self._incident(target)
        with self._api.session() as session:
            found = self._tickets(session, incident_id, self._notes.read(incident_id))
            return _state(self._allowed(incident_id, found))

    def do(self, action: Action, key: str) -> None:
        incident_id = self._incident(action.target)
        # Before anything is asked, so that a text that cannot be sent costs nothing.
        entry = self._entry(action, incident_id, key) if action.action_class == "create ticket" else None
        with self._notes.alone(incident_id), self._api.session() as session:
            note = self._notes.read(incident_id)
            found = self._allowed(incident_id, self._tickets(session, incident_id, note))
            if entry is not None:
                self._make(session, entry, note, found)
            else:
                self._cancel(session, incident_id, found, key)

    def read_back(self, action: Action, key: str) -> ReadBack:
        incident_id = self._incident(action.target)
        note = self._notes.read(incident_id)
        is_begun = note is not None and not note.id
        is_making = action.action_class == "create ticket"
        with self._api.session() as session:
            found = session.until(
                lambda: self._tickets(session, incident_id, note),
                lambda one: not is_begun or any(ticket.key == key for ticket in one.tickets),
            )
        state = _state(found)
        mine = [one for one in found.tickets if one.key == key and not one.is_cancelled] if is_making else []
        if mine:
            text = f"the ticket {_shown(mine[0])} about {incident_id} is there, by this action"
            return ReadBack(Effect.APPLIED, state, text, mine[0].number)
        concerns_us = note is not None and (not is_making or note.key == key)
        if concerns_us and (is_begun or found.is_hidden):
            begun = "a ticket was asked for and not acknowledged, and does not show; it may still come"
            hidden = "the ticket that was made does not show any more: it was deleted, or is hidden from the account"
            return ReadBack(Effect.UNKNOWN, state, begun if is_begun else hidden)
        listed = ", ".join(map(_shown, found.still_open)) or "none"
        is_applied = not is_making and not found.still_open
        text = f"open tickets of Watchfloor about {incident_id}: {listed}"
        return ReadBack(Effect.APPLIED if is_applied else Effect.NOT_APPLIED, state, text)

    def _make(self, session: Session, entry: Entry, note: Note | None, found: Found) -> None:
        if any(one.key == entry.key and not one.is_cancelled for one in found.tickets):
            return
        for one in found.still_open:
            whose = f"by the proposal of digest {one.key}" if one.key else "by another hand"
            raise NotDoneError(f"there is the ticket {_shown(one)} about {entry.incident_id} already, {whose}")
        if note is not None and not note.id and note.key == entry.key:
            raise UnavailableError("the ticket was asked for already and may still come; it is not made twice")
        self._notes.write(Note(target=entry.incident_id, id="", key=entry.key))
        try:
            ticket_id = self.make(session, entry)
        except NotDoneError:
            self._notes.remove(entry.incident_id)
            raise
        self._notes.write(Note(target=entry.incident_id, id=ticket_id, key=entry.key))

    def _cancel(self, session: Session, incident_id: str, found: Found, key: str) -> None:
        if not found.still_open:
            raise NotDoneError(f"there is no open ticket of Watchfloor about {incident_id}")
        for one in found.still_open:
            self.cancel(session, one, key)

    def _tickets(self, session: Session, incident_id: str, note: Note | None) -> Found:
        """Those about the incident that are ours, as they are now."""
        known = [note.id] if note is not None and note.id else []
        ids = dict.fromkeys([*known, *self.search(session, incident_id)])
        if len(ids) > MAX_FOUND:
            raise UnavailableError(f"there are more than {MAX_FOUND} tickets about {incident_id}; look at them")
        tickets: list[Ticket] = []
        is_hidden = False
        for one in ids:
            try:
                ticket = self.get(session, one)
            except NotFoundError:
                is_hidden = is_hidden or one in known
                continue
            if ticket.key is None and note is not None and note.id == one:
                # The vendor has dropped our mark; we know it by its id.
                ticket = replace(ticket, key=note.key)
            tickets.append(ticket)
        return Found(tuple(tickets), is_hidden)

    def _allowed(self, incident_id: str, found: Found) -> Found:
        """Raises `NeverError` for a protected incident, unless an open ticket is ours: that can be taken back."""
        if incident_id in self.options.never and not found.still_open:
            raise NeverError(f"no ticket is made about {incident_id} by {self.tool!r}")
        return found

    def _incident(self, target: Target) -> str:
        if target.kind is not TargetKind.TICKET:
            raise BadTargetError(f"a target of kind {target.kind!r} is no ticket")
        text = plain_text(target.value, "the id of an incident")
        if not INCIDENT.fullmatch(text):
            raise BadTargetError(f"{quote_untrusted(text, 80)} is no id of an incident, such as inc-0123456789abcdef")
        return text

    def _entry(self, action: Action, incident_id: str, key: str) -> Entry:
        given: dict[str, str] = {}
        for name, most in (("title", MAX_TITLE), ("text", MAX_BODY)):
            value = action.arguments.get(name)
            if not isinstance(value, str) or not value.strip():
                raise NotDoneError(f"the argument {name!r} is missing; a ticket says what it is about")
            if len(value) > most:
                raise NotDoneError(f"{name!r} has {len(value):,} characters; at most {most:,} are sent")
            given[name] = value
        facts = (f"Incident: {incident_id}", f"Tenant: {defang(self.slot.tenant)}", f"Proposal: digest {key}")
        body = tuple(defang(line, MAX_BODY) for line in given["text"].split("\n"))
        return Entry(incident_id, key, defang(given["title"], MAX_TITLE), facts, body)


def cut(text: str, limit: int) -> str:
    """At most ``limit`` characters, with a sign where something is missing."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _shown(ticket: Ticket) -> str:
    return quote_untrusted(ticket.number, 60)


def _state(found: Found) -> TargetState:
    # Closed ones stay for ever and change nothing of what may be done.
    still = sorted((one.id, one.key or "") for one in found.still_open)
    content: list[JsonValue] = [{"id": ticket_id, "key": key or None} for ticket_id, key in still]
    return TargetState({"open": content})
