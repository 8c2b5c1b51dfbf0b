"""Disables and enables local accounts (shadow(5)) by the system's own ``usermod``.

Disabled means: the password is locked and the account is expired since 1970-01-02, which PAM's account check enforces
for every way of logging in, SSH keys too. What is running goes on; stop that by itself.

shadow(5) has no room for a note. What the account was like before, and the key of the action that changed it, are kept
in one small file per account in ``state_dir``, written before the account is touched. Without it the account is not
enabled: it was another hand that disabled it, and what to restore is not known.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from watchfloor_connectors.targets.base import (
    BadTargetError,
    ConfiguredTarget,
    NeverError,
    Slot,
    ToolOptions,
    plain_text,
)
from watchfloor_connectors.targets.files import absolute, locked, read_small, replace_file
from watchfloor_connectors.targets.programs import TimedOutError, run
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

EXPIRED: Final = "1"
"""1970-01-02. Day 0 is not to be used: it is read as "never" as well (shadow(5))."""
MAX_BYTES: Final = 64 * 1024 * 1024

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_DAY: Final = re.compile(r"[0-9]{0,7}")


class AccountOptions(ToolOptions):
    """Options of the kind ``posix_account``."""

    prefix: Annotated[str, AfterValidator(absolute)] | None = None
    """Work on the ``etc`` of this folder (``usermod --prefix``), e.g. of a container's image."""
    min_uid: int = Field(default=1000, ge=1)
    """Accounts below are the system's and are never touched."""
    state_dir: Annotated[str, AfterValidator(absolute)] | None = None
    """Where the tool remembers what accounts were like; None: ``targets/<tool>`` in the data directory."""
    never: tuple[str, ...] = ()
    """Names of accounts, e.g. of break-glass accounts and the one that Watchfloor runs as."""


class Note(BaseModel):
    """What an account was like before it was disabled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str
    uid: int
    key: str
    was_locked: bool
    expires: str
    """Field 8 of shadow(5): days since 1970-01-01, or nothing."""


class _Account(BaseModel):
    model_config = ConfigDict(frozen=True)

    uid: int
    is_locked: bool
    has_password: bool
    expires: str

    @property
    def is_disabled(self) -> bool:
        # An empty password cannot be locked in a way that could be undone; the expiry holds that account alone.
        return self.expires == EXPIRED and (self.is_locked or not self.has_password)


class PosixAccount(ConfiguredTarget[AccountOptions]):
    kind = "posix_account"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"disable user", "enable user"})
    options_type = AccountOptions
    restricting: ClassVar[frozenset[str]] = frozenset({"min_uid"})

    def __init__(self, slot: Slot, options: AccountOptions) -> None:
        self._etc = Path(options.prefix or "/") / "etc"
        self._notes = Path(options.state_dir or slot.data_dir / "targets" / slot.tool)
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        return (f"root: usermod(8) replaces {self._etc}/shadow and takes nothing less", f"write files in {self._notes}")

    def read_state(self, target: Target) -> TargetState:
        name = self._name(target)
        account = self._account(name)
        self._refuse_never(name, account, self._note(name))
        return self._state(account)

    def do(self, action: Action, key: str) -> None:
        name = self._name(action.target)
        try:
            self._notes.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._note_file(name), self.options.timeout_s):
                before, note = self._account(name), self._note(name)
                self._refuse_never(name, before, note)
                if action.action_class == "disable user":
                    self._disable(name, before, note, key)
                else:
                    self._enable(name, before, note)
        except TimedOutError:
            raise
        except (OSError, UnavailableError, NotFoundError) as error:
            raise NotDoneError(f"the account {name!r} was not changed: {error}") from error

    def _disable(self, name: str, before: _Account, note: Note | None, key: str) -> None:
        if before.is_disabled:
            if note is not None and note.key == key:
                return
            whose = f"by the proposal of digest {note.key}" if note is not None else "by another hand"
            raise NotDoneError(f"the account {name!r} is disabled already, {whose}")
        if not _DAY.fullmatch(before.expires):
            raise NotDoneError(f"the account {name!r} has the expiry {before.expires!r}, which could not be restored")
        kept = Note(user=name, uid=before.uid, key=key, was_locked=before.is_locked, expires=before.expires)
        replace_file(self._note_file(name), kept.model_dump_json().encode())
        locking = ["--lock"] if before.has_password else []
        self._usermod(name, before, [*locking, f"--expiredate={EXPIRED}"])

    def _enable(self, name: str, before: _Account, note: Note | None) -> None:
        if not before.is_disabled:
            raise NotDoneError(f"the account {name!r} is not disabled")
        if note is None:
            raise NotDoneError(f"the account {name!r} was disabled by another hand; it is left to that")
        if note.uid != before.uid:
            raise NotDoneError(f"the account {name!r} has uid {before.uid}; the one that was disabled had {note.uid}")
        unlocking = ["--unlock"] if before.has_password and not note.was_locked else []
        self._usermod(name, before, [*unlocking, f"--expiredate={note.expires}"])
        # From here on the note tells nothing any more; one that a crash leaves is overwritten by the next.
        with suppress(OSError):
            self._note_file(name).unlink()

    def _usermod(self, name: str, before: _Account, changes: list[str]) -> None:
        prefix = ["--prefix", self.options.prefix] if self.options.prefix else []
        try:
            done = run(["usermod", *prefix, *changes, "--", name], timeout_s=self.options.timeout_s)
            problem = None if done.code == 0 else f"usermod ended with {done.code} on {name!r}: {done.problem}"
        except TimedOutError as error:
            problem = f"{error} (another program may hold the lock of {self._etc}/passwd)"
        if problem is not None:
            # It has ended in any case, so what is found now stays.
            raise NotDoneError(problem) if self._is_still(name, before) else TimedOutError(problem)

    def _is_still(self, name: str, before: _Account) -> bool:
        try:
            return self._account(name) == before
        except (UnavailableError, NotFoundError):
            return False

    def read_back(self, action: Action, key: str) -> ReadBack:
        name = self._name(action.target)
        account, note = self._account(name), self._note(name)
        is_applied = account.is_disabled == (action.action_class == "disable user")
        text = f"the account {name!r} is {'disabled' if account.is_disabled else 'not disabled'}"
        if account.is_disabled and note is not None:
            text += ", by this action" if note.key == key else f", by the proposal of digest {note.key}"
        return ReadBack(Effect.APPLIED if is_applied else Effect.NOT_APPLIED, self._state(account), text)

    def _name(self, target: Target) -> str:
        """The account's name. Raises `BadTargetError`, and `NeverError` for one that may not be touched."""
        if target.kind is not TargetKind.USER:
            raise BadTargetError(f"a target of kind {target.kind!r} is no account")
        name = plain_text(target.value, "the name of an account")
        if not _NAME.fullmatch(name):
            raise BadTargetError(f"{quote_untrusted(name, 80)} is no name of a local account (useradd(8))")
        if name == "root":
            raise NeverError(f"the account {name!r} is never touched by {self.tool!r}")
        return name

    def _refuse_never(self, name: str, account: _Account, note: Note | None) -> None:
        """What was disabled before it was protected can be enabled all the same. Raises `NeverError`."""
        if note is not None and account.is_disabled:
            return
        if name in self.options.never:
            raise NeverError(f"the account {name!r} is never touched by {self.tool!r}")
        if account.uid < self.options.min_uid:
            raise NeverError(
                f"the account {name!r} has uid {account.uid}: below {self.options.min_uid} it is the system's"
            )

    def _account(self, name: str) -> _Account:
        passwd, shadow = self._entry("passwd", name, 7), self._entry("shadow", name, 9)
        if passwd is None or shadow is None:
            raise NotFoundError(f"there is no account {name!r} in {self._etc}/passwd and {self._etc}/shadow")
        if not passwd[2].isdecimal():
            raise UnavailableError(f"{self._etc}/passwd gives {name!r} the uid {passwd[2]!r}")
        uid, password = int(passwd[2]), shadow[1]
        return _Account(uid=uid, is_locked=password[:1] == "!", has_password=password != "", expires=shadow[7])

    def _entry(self, file: str, name: str, fields: int) -> list[str] | None:
        content = read_small(self._etc / file, MAX_BYTES)
        if content is None:
            raise UnavailableError(f"{self._etc}/{file} does not exist")
        found = [line.split(":") for line in content.decode("utf-8", "surrogateescape").splitlines()]
        mine = [entry for entry in found if entry[0] == name]
        if len(mine) > 1 or any(len(entry) != fields for entry in mine):
            raise UnavailableError(f"{self._etc}/{file} has more than one entry for {name!r}, or one that is malformed")
        return mine[0] if mine else None

    @staticmethod
    def _state(account: _Account) -> TargetState:
        return TargetState(account.model_dump())

    def _note_file(self, name: str) -> Path:
        return self._notes / f"{name}.json"

    def _note(self, name: str) -> Note | None:
        content = read_small(self._note_file(name), 4096)
        if content is None:
            return None
        try:
            return Note.model_validate_json(content)
        except ValidationError as error:
            raise UnavailableError(f"{self._note_file(name)} is not readable: mend or remove it") from error
