"""Which entry of a directory an account's name means, and what it says of being disabled."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field

from watchfloor_connectors.context.account_names import folded
from watchfloor_connectors.context.accounts import USER_ATTRIBUTE, Layout, Raw
from watchfloor_connectors.targets.base import BadTargetError, NeverError, ToolOptions, plain_text
from watchfloor_connectors.targets.files import absolute
from watchfloor_connectors.targets.ldap_note import Note, note_in
from watchfloor_connectors.targets.secret import SecretReference
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import TargetKind

if TYPE_CHECKING:
    from watchfloor_connectors.targets.ldap_session import WritingSession

Attribute = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")]
Name = Annotated[str, Field(min_length=1, max_length=1_000)]

FOR_EVER: Final = b"000001010000Z"
DISABLED_BIT: Final = 0x2
LOCK: Final = {Layout.AD: "userAccountControl", Layout.POSIX: "pwdAccountLockedTime"}
"""The attribute that disables."""
_NAME: Final = re.compile(r"(?:([\w.-]{1,255})\\)?([\w][\w.$-]{0,63})(?:@([\w.-]{1,255}))?")
_BUILT_IN: Final = {500: "the built-in administrator", 502: "krbtgt, which signs all tickets"}
"""By the end of their SID (MS-DTYP 2.4.2.4)."""


class LdapAccountOptions(ToolOptions):
    """Options of the kind ``ldap_account``."""

    url: str
    """``ldaps://host[:port]``, or ``ldap://`` with `start_tls`; plain LDAP to this machine itself alone."""
    start_tls: bool = False
    ca: Annotated[str, AfterValidator(absolute)] | None = None
    """A file of certificates in PEM that sign the server's; None: those that this machine trusts."""
    layout: Layout
    base_dn: Name
    """Accounts are looked for below."""
    bind_dn: Name
    """As whom the directory is changed; an account of its own, with the rights of `privileges` alone."""
    password: SecretReference
    user_attribute: Attribute | None = None
    """That holds the name by which people log on; None for the layout's own."""
    note_attribute: Attribute = "description"
    """Where the key is left. The account's owner must not be able to write it, as who can may pass a lock for ours."""
    policy_dn: Name | None = None
    """Layout ``posix``: the server's default password policy, without which nobody can tell whether a lock holds."""
    domains: tuple[str, ...] = ()
    """Windows domains before a backslash, and DNS domains after an ``@``, whose accounts the directory has."""
    timeout_s: float = Field(default=4.0, gt=0, le=5)
    never: tuple[str, ...] = ()
    """Names or DNs: break-glass accounts and what services run as. The bind account is always among them."""


@dataclass(frozen=True, slots=True)
class Account:
    dn: str
    lock: bytes | None
    """The value of the attribute that disables, as it stands."""
    notes: tuple[bytes, ...]
    """All values of the attribute that holds the note."""
    note: Note | None
    is_disabled: bool
    is_enforced: bool | None
    """The server refuses an account that is locked; None where its policy does not show."""


class Accounts:
    """The accounts of one directory, as far as a tool of these options may touch them."""

    def __init__(self, tool: str, options: LdapAccountOptions) -> None:
        self.lock_attribute: Final = LOCK[options.layout]
        self.name_attribute: Final = options.user_attribute or USER_ATTRIBUTE[options.layout]
        self._tool = tool
        self._options = options
        self._is_ad = options.layout is Layout.AD
        self._never = {_spelled(one) for one in options.never} | set(_names_of(options.bind_dn))
        self._domains = {folded(one) for one in options.domains}

    def wanted(self, target: Target) -> list[tuple[str, str]]:
        """Attributes and values, any of which makes an entry the account. Raises `BadTargetError`."""
        if target.kind is not TargetKind.USER:
            raise BadTargetError(f"a target of kind {target.kind!r} is no account")
        text = plain_text(target.value, "the name of an account")
        match = _NAME.fullmatch(text)
        if match is None:
            raise BadTargetError(
                f"{quote_untrusted(text, 80)} is no name of an account (name, DOMAIN\\name, name@domain)"
            )
        prefix, name, realm = match.groups()
        for domain in (prefix, realm):
            if domain is not None and folded(domain) not in self._domains:
                raise BadTargetError(
                    f"{quote_untrusted(domain, 80)} is no domain of {self._tool!r}; list it in 'domains'"
                )
        if realm is not None and self._is_ad:
            return [("userPrincipalName", f"{name}@{realm}")]
        return [(self.name_attribute, name)]

    def find(self, session: WritingSession, wanted: list[tuple[str, str]], *, reads_back: bool = False) -> Account:
        """Raises `NeverError` for one that may not be touched, but where it is read back what was done to it."""
        options = self._options
        attributes = [
            self.name_attribute, "userPrincipalName", "objectClass", "objectSid", "pwdPolicySubentry",
            self.lock_attribute, options.note_attribute,
        ]  # fmt: skip
        found = session.search(wanted, attributes, 10, "user" if self._is_ad else None)
        # A server takes more for equal than case: ``ánn`` for ``ann``. That would be somebody else's account.
        meant = [(dn, raw) for dn, raw in found.entries if any(_has(raw, name, value) for name, value in wanted)]
        if found.is_cut or len(meant) > 1:
            raise UnavailableError(f"the directory has several accounts of that name below {options.base_dn!r}")
        if not meant:
            raise NotFoundError(f"the directory has no account {wanted[0][1]!r} below {options.base_dn!r}")
        ((dn, raw),) = meant
        account = self._read(session, dn, raw)
        if reads_back:
            return account
        told = [*raw.get(self.name_attribute.lower(), ()), *raw.get("userprincipalname", ())]
        names = {_spelled(dn), *(_spelled(_text(one)) for one in told)}
        rid = int.from_bytes(next(iter(raw.get("objectsid", ())), b"")[-4:], "little")
        if self._is_ad and (rid in _BUILT_IN or b"computer" in {one.lower() for one in raw.get("objectclass", ())}):
            raise NeverError(f"{dn!r} is {_BUILT_IN.get(rid, 'a computer, and no account of a person or service')}")
        # What we have disabled ourselves is enabled again, whatever was protected since.
        if names & self._never and not (account.is_disabled and account.note is not None):
            raise NeverError(f"the account {dn!r} is never touched by {self._tool!r}")
        return account

    def _read(self, session: WritingSession, dn: str, raw: Raw) -> Account:
        locks = raw.get(self.lock_attribute.lower(), ())
        lock = locks[0] if locks else None
        notes = tuple(raw.get(self._options.note_attribute.lower(), ()))
        if self._is_ad:
            return Account(dn, lock, notes, note_in(notes), bool(control(lock) & DISABLED_BIT), True)
        policy = next((_text(one) for one in raw.get("pwdpolicysubentry", ())), self._options.policy_dn or "")
        is_enforced: bool | None = None
        # Whoever takes a lock back needs no policy for it.
        with suppress(NotFoundError):
            is_enforced = _locks(session.entry(policy, ["pwdLockout"]))
        return Account(dn, lock, notes, note_in(notes), lock == FOR_EVER, is_enforced)


def control(value: bytes | None) -> int:
    """The bits of ``userAccountControl``. Raises `UnavailableError`."""
    try:
        return int(_text(value or b""))
    except ValueError:
        raise UnavailableError(
            "the entry has no readable userAccountControl; the bind account has to read it"
        ) from None


def _spelled(name: str) -> str:
    """One spelling of a name or DN, as far as case and blanks go."""
    return re.sub(r"\s*([,=])\s*", r"\1", folded(name.strip()))


def _names_of(bind_dn: str) -> Iterator[str]:
    """Active Directory takes ``DOMAIN\\name`` and ``name@domain`` in place of a DN."""
    yield _spelled(bind_dn)
    if "=" not in bind_dn:
        yield _spelled(bind_dn.rpartition("\\")[2].partition("@")[0])


def _locks(policy: Raw) -> bool:
    return [one.upper() for one in policy.get("pwdlockout", ())] == [b"TRUE"]


def _has(raw: Raw, attribute: str, value: str) -> bool:
    return folded(value) in {folded(_text(one)) for one in raw.get(attribute.lower(), ())}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
