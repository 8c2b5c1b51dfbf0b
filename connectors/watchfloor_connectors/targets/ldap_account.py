"""Disables and enables accounts of an LDAP directory: Active Directory, or one with a password policy.

In Active Directory that is bit 2 of ``userAccountControl`` (MS-ADTS 2.2.16), elsewhere the lock without an end of
draft-behera-ldap-password-policy, 5.3.3: ``pwdAccountLockedTime: 000001010000Z``. The lock and the note of whose it is
are one modification, which is done whole or not at all, and only while the entry is as it was read.

What the account holds already goes on: Kerberos tickets, sessions, connections that are bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

from watchfloor_connectors.context.accounts import Layout
from watchfloor_connectors.context.config import ldap_url_fault
from watchfloor_connectors.targets.base import (
    ConfiguredTarget,
    NotReadyError,
    Slot,
)
from watchfloor_connectors.targets.ldap_entry import (
    DISABLED_BIT,
    FOR_EVER,
    Account,
    Accounts,
    LdapAccountOptions,
    control,
)
from watchfloor_connectors.targets.ldap_note import TIME, Note, with_note, without_note
from watchfloor_connectors.targets.secret import read_secret
from watchfloor_core.errors import ConfigurationError, NotFoundError, UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

if TYPE_CHECKING:
    from watchfloor_connectors.targets.ldap_session import Change, WritingSession


_ENFORCED: Final[Mapping[bool | None, str]] = {
    True: "",
    False: "; its password policy does not enforce that (pwdLockout)",
    None: "; whether that is enforced cannot be told, as its password policy does not show",
}


class LdapAccount(ConfiguredTarget[LdapAccountOptions]):
    kind = "ldap_account"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"disable user", "enable user"})
    options_type = LdapAccountOptions

    def __init__(self, slot: Slot, options: LdapAccountOptions) -> None:
        self._is_ad = options.layout is Layout.AD
        self._accounts = Accounts(slot.tool, options)
        super().__init__(slot, options)

    @classmethod
    def faults(cls, options: LdapAccountOptions, *, is_shared: bool) -> Iterator[str]:
        yield from super().faults(options, is_shared=is_shared)
        fault = ldap_url_fault(options.url, start_tls=options.start_tls)
        if fault is not None:
            yield f"url {fault}"
        if options.layout is Layout.POSIX and options.policy_dn is None:
            yield "policy_dn is missing; name the default password policy (ppolicy_default of OpenLDAP)"
        if find_spec("ldap3") is None:
            yield "LDAP is not installed: pip install 'watchfloor[ldap]'"

    def privileges(self) -> tuple[str, ...]:
        options = self.options
        read = "objectClass, objectSid, userPrincipalName" if self._is_ad else "objectClass, pwdPolicySubentry"
        rights = (
            f"as {options.bind_dn}, below {options.base_dn}: read {self._accounts.name_attribute}, {read}",
            f"write {self._accounts.lock_attribute} and {options.note_attribute} of accounts there (read them too)",
        )
        return (
            rights if self._is_ad else (*rights, f"read pwdLockout of {options.policy_dn} and of other policies in use")
        )

    def read_state(self, target: Target) -> TargetState:
        wanted = self._accounts.wanted(target)
        with self._session() as session:
            return self._state(self._accounts.find(session, wanted))

    def do(self, action: Action, key: str) -> None:
        wanted = self._accounts.wanted(action.target)
        with self._session() as session:
            try:
                account = self._accounts.find(session, wanted)
            except (UnavailableError, NotFoundError) as error:
                raise NotDoneError(f"nothing was changed: {error}") from error
            if action.action_class == "disable user":
                changes = self._disabling(account, key)
            else:
                changes = self._enabling(account)
            if changes:
                session.modify(account.dn, changes)

    def read_back(self, action: Action, key: str) -> ReadBack:
        wanted = self._accounts.wanted(action.target)
        with self._session() as session:
            account = self._accounts.find(session, wanted, reads_back=True)
        if action.action_class == "enable user":
            effect = Effect.NOT_APPLIED if account.is_disabled else Effect.APPLIED
        elif account.is_disabled and account.is_enforced is None:
            effect = Effect.UNKNOWN
        else:
            effect = Effect.APPLIED if account.is_disabled and account.is_enforced else Effect.NOT_APPLIED
        text = f"the account {account.dn!r} is {'disabled' if account.is_disabled else 'not disabled'}"
        if account.is_disabled:
            text += f", {_whose(account.note, key)}"
            text += _ENFORCED[account.is_enforced]
        return ReadBack(effect, self._state(account), text)

    def _disabling(self, account: Account, key: str) -> list[Change]:
        if account.is_disabled:
            if account.note is not None and account.note.key == key:
                return []
            raise NotDoneError(f"the account {account.dn!r} is disabled already, {_whose(account.note, key)}")
        if account.is_enforced is None:
            raise NotDoneError(f"the directory does not show the password policy of {account.dn!r}: mend policy_dn")
        if not account.is_enforced:
            raise NotDoneError(
                f"the password policy of {account.dn!r} does not lock accounts; set its pwdLockout to TRUE first"
            )
        # What is left of an earlier act, which another hand has ended, tells nothing any more.
        kept = without_note(account.notes)
        if self._is_ad:
            locked = str(control(account.lock) | DISABLED_BIT).encode()
            return [*self._set(account.lock, locked), *self._set_notes(account.notes, with_note(kept, Note(key)))]
        was = None if account.lock is None else account.lock.decode("ascii", "replace")
        if was is not None and not TIME.fullmatch(was):
            raise NotDoneError(
                f"{account.dn!r} is locked since {quote_untrusted(was, 40)}, which could not be restored"
            )
        note = Note(key, was)
        return [*self._set(account.lock, FOR_EVER), *self._set_notes(account.notes, with_note(kept, note))]

    def _enabling(self, account: Account) -> list[Change]:
        if not account.is_disabled:
            raise NotDoneError(f"the account {account.dn!r} is not disabled")
        if account.note is None:
            raise NotDoneError(f"the account {account.dn!r} was disabled by another hand; it is left to that")
        if self._is_ad:
            before: bytes | None = str(control(account.lock) & ~DISABLED_BIT).encode()
        else:
            before = None if account.note.was is None else account.note.was.encode()
        return [*self._set(account.lock, before), *self._set_notes(account.notes, without_note(account.notes))]

    def _set(self, old: bytes | None, new: bytes | None) -> list[Change]:
        """The old value has to stand there still: what another hand wrote meanwhile is not overwritten."""
        gone: list[Change] = [] if old is None else [("delete", self._accounts.lock_attribute, old)]
        return gone if new is None else [*gone, ("add", self._accounts.lock_attribute, new)]

    def _set_notes(self, old: tuple[bytes, ...], new: tuple[bytes, ...]) -> list[Change]:
        name = self.options.note_attribute
        gone: list[Change] = [("delete", name, one) for one in old if one not in new]
        return [*gone, *(("add", name, one) for one in new if one not in old)]

    def _state(self, account: Account) -> TargetState:
        key = None if account.note is None else account.note.key
        return TargetState(
            {"dn": account.dn, "is_disabled": account.is_disabled, "is_enforced": account.is_enforced, "key": key}
        )

    @contextmanager
    def _session(self) -> Iterator[WritingSession]:
        from watchfloor_connectors.context.directory_session import Place, trusting
        from watchfloor_connectors.targets.ldap_session import writing_session

        options, parts = self.options, urlsplit(self.options.url)
        is_encrypted = parts.scheme == "ldaps" or options.start_tls
        try:
            tls = trusting(options.ca) if is_encrypted else None
            place = Place(
                host=parts.hostname or "",
                port=parts.port or (636 if parts.scheme == "ldaps" else 389),
                tls=tls,
                start_tls=options.start_tls,
                base_dn=options.base_dn,
                bind_dn=options.bind_dn,
                timeout_s=options.timeout_s,
            )
            with writing_session(place, lambda: read_secret(options.password).get_secret_value()) as session:
                yield session
        except ConfigurationError as error:
            raise NotReadyError(str(error)) from error


def _whose(note: Note | None, key: str) -> str:
    if note is None:
        return "by another hand"
    return "by this action" if note.key == key else f"by the proposal of digest {note.key}; end that first"
