"""Accounts of an identity provider that has no room for a key: which of them Watchfloor holds stands in notes.

Ending sessions leaves nothing at an account either. What the provider last said of that, before and after, tells it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from watchfloor_connectors.targets.base import NeverError, NotReadyError
from watchfloor_connectors.targets.http_api import Session
from watchfloor_connectors.targets.notes import Note, Notes
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

CLASSES: Final = frozenset({"disable user", "enable user", "stop session"})


@dataclass(frozen=True, slots=True)
class Account:
    """One account, as its provider sees it."""

    id: str
    """Never used again, whatever becomes of the name."""
    is_disabled: bool
    status: str
    """The provider's own word for it."""


class HeldAccounts:
    """What one tool does to accounts, whoever the provider is."""

    def __init__(self, tool: str, notes: Notes, never: Iterable[str]) -> None:
        """``never``: ids and names, in either case."""
        self._tool = tool
        self._notes = notes
        self._never = frozenset(one.lower() for one in never)

    def check_touchable(self, account: Account, target: Target, *names: str) -> None:
        """Raises `NeverError` where what was asked for, the id or one of ``names`` is one of ``never``, but not for
        an account that we hold: that can always be taken back."""
        told = {one.lower() for one in (target.value, account.id, *names)}
        if told & self._never and self.holder(account) is None:
            raise NeverError(f"the account {target.value!r} is never touched by {self._tool!r}")

    def holder(self, account: Account) -> str | None:
        """The key of the action that disabled it; None where it is not disabled, or was by another hand."""
        note = self._notes.read(_user(account)) if account.is_disabled else None
        return None if note is None or note.details else note.key

    def state(self, account: Account) -> TargetState:
        return TargetState({"id": account.id, "status": account.status, "held_by": self.holder(account)})

    def disable(self, account: Account, key: str, change: Callable[[], object]) -> None:
        """The note is written first: whoever finds the account disabled afterwards knows by whom."""
        with self._notes.alone(_user(account)):
            if account.is_disabled:
                holder = self.holder(account)
                if holder == key:
                    return
                whose = f"by the proposal of digest {holder}; end that first" if holder else "by another hand"
                raise NotDoneError(f"the account is disabled already, {whose}")
            self._notes.write(Note(target=_user(account), id=account.id, key=key))
            try:
                change()
            except NotDoneError:
                self._notes.remove(_user(account))
                raise

    def enable(self, account: Account, key: str, change: Callable[[], object]) -> None:
        with self._notes.alone(_user(account)):
            holder = self.holder(account)
            if not account.is_disabled:
                raise NotDoneError("the account is not disabled")
            if holder is None:
                raise NotDoneError(
                    "the account was disabled by another hand, or on another machine; it is left to that"
                )
            change()
            # Not removed: a provider may still say for a while that the account is disabled.
            with suppress(NotReadyError):
                self._notes.write(Note(target=_user(account), id=account.id, key=holder, details=(f"ended by {key}",)))

    def found(self, action_class: str, key: str, session: Session, look: Callable[[], Account]) -> ReadBack:
        """What reading back shows of ``disable user`` and ``enable user``, once the provider shows it everywhere."""
        is_off = action_class == "disable user"

        def effect_of(account: Account) -> Effect:
            note = self._notes.read(_user(account))
            if account.is_disabled == is_off and (not is_off or self.holder(account) == key):
                return Effect.APPLIED
            asked = note is not None and ((note.key == key and not note.details) or f"ended by {key}" in note.details)
            return Effect.UNKNOWN if asked and account.is_disabled != is_off else Effect.NOT_APPLIED

        account = session.until(look, lambda one: effect_of(one) is not Effect.UNKNOWN)
        holder = self.holder(account)
        whose = ""
        if account.is_disabled:
            whose = f", by the proposal of digest {holder}" if holder else ", by another hand"
        effect = effect_of(account)
        if effect is Effect.UNKNOWN:
            whose = ", though the provider was asked for the contrary and has not refused"
        return ReadBack(effect, self.state(account), f"the account {account.id} is {account.status}{whose}")

    def end_sessions(self, account: Account, key: str, last: str, change: Callable[[], object]) -> None:
        """``last``: what the provider says now of when sessions were last ended."""
        with self._notes.alone(_session(key)):
            if self._notes.read(_session(key)) is not None:
                return
            self._notes.write(Note(target=_session(key), id=account.id, key=key, details=(last,)))
            try:
                change()
            except NotDoneError:
                self._notes.remove(_session(key))
                raise

    def found_ended(self, account: Account, key: str, session: Session, look: Callable[[], str]) -> tuple[Effect, str]:
        """What reading back shows of ``stop session``, once the provider shows it, and what it said last.

        ``look``: asks when sessions were last ended, as for ``last`` of `end_sessions`.
        """

        def seen() -> tuple[Effect, str]:
            last = look()
            return self._effect(account, key, last), last

        return session.until(seen, lambda found: found[0] is not Effect.UNKNOWN)

    def _effect(self, account: Account, key: str, last: str) -> Effect:
        """By what the provider says now. UNKNOWN where it was told to, and says nothing new yet."""
        note = self._notes.read(_session(key))
        if note is None or note.id != account.id:
            return Effect.NOT_APPLIED
        return Effect.APPLIED if last != note.details[0] else Effect.UNKNOWN


def _user(account: Account) -> str:
    return f"user {account.id}"


def _session(key: str) -> str:
    return f"stop session {key}"
