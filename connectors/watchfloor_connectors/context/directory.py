"""An LDAP directory (RFC 4511) as a source of context: what the organisation knows of an account.

It is asked, not copied: accounts change by the hour, and the directory is the organisation's own, so that a question
about a case does not leave it. Names come from alerts, and an attacker may have written them: each goes into the filter
escaped (RFC 4515). Only attributes that tell who somebody is are read, never one that holds a secret.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from watchfloor_connectors.context.directory_fields import ATTRIBUTES, GROUP_ATTRIBUTE, account_fields, first_text
from watchfloor_core.alert import EntityKind
from watchfloor_core.context import ContextKind, Fact, Facts, LookUp
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.logs.query import EntityRef
from watchfloor_core.logs.source import Coverage, Health

logger = logging.getLogger(__name__)

AT_ONCE: Final = 40
"""Names in one search."""
MAX_ENTRIES: Final = 200
"""Of one search; the server is asked for no more."""
MAX_GROUPS: Final = 2_000
_NAMES: Final[Mapping[str, Mapping[EntityKind, tuple[str, ...]]]] = {
    "ad": {EntityKind.USER: ("sAMAccountName", "userPrincipalName"), EntityKind.MAILBOX: ("mail",)},
    "posix": {EntityKind.USER: ("uid",), EntityKind.MAILBOX: ("mail",)},
}
"""By layout: the attributes that hold what alerts call an account."""
_IS_ACCOUNT: Final = {"ad": "(&(objectCategory=person)(objectClass=user))", "posix": "(objectClass=posixAccount)"}


@dataclass(frozen=True, slots=True)
class Directory:
    """How to reach a directory, and as whom."""

    url: str
    """``ldaps://host`` or ``ldap://host``, with a port if it is no standard one."""
    base_dn: str
    bind_dn: str
    password: Callable[[], str]
    """Read for each question, so that a secret can be rotated."""
    layout: str
    """``ad`` (Active Directory) or ``posix`` (RFC 2307)."""
    start_tls: bool = False
    ca_file: str | None = None
    privileged_groups: frozenset[str] = frozenset()
    """Names (``cn``) in lower case."""
    timeout_s: int = 10
    """Of connecting, and of each answer; ldap3 takes whole seconds alone."""


class DirectorySource:
    """A `ContextSource`. Each question has a connection of its own; thread-safe."""

    kind = ContextKind.DIRECTORY

    def __init__(self, name: str, directory: Directory) -> None:
        self.name = name
        self._directory = directory

    def look_up(self, question: LookUp) -> Facts:
        asked = [one for one in question.entities if one.kind in _NAMES[self._directory.layout] and one.value]
        try:
            facts, is_cut = self._ask(asked) if asked else ((), False)
        except (ConfigurationError, UnavailableError) as error:
            return self._dark(str(error))
        except ImportError:
            return self._dark("ldap3 is not installed; install watchfloor[ldap]")
        except Exception as error:  # noqa: BLE001  # ldap3 raises its own, the socket's and TLS's
            # Its class alone: what a server answers may quote what was asked.
            return self._dark(f"the directory cannot be asked: {type(error).__name__}")
        return Facts(facts, Coverage(self.name, Health.WHOLE), is_cut)

    def _dark(self, reason: str) -> Facts:
        logger.warning("source of context %s: %s", self.name, reason)
        return Facts((), Coverage(self.name, Health.DARK, reason))

    def _ask(self, asked: Sequence[EntityRef]) -> tuple[tuple[Fact, ...], bool]:
        connection = _bound(self._directory)
        found: list[Fact] = []
        is_cut = False
        try:
            for start in range(0, len(asked), AT_ONCE):
                some = asked[start : start + AT_ONCE]
                entries = _search(connection, self._directory, self._filter(some), ATTRIBUTES, MAX_ENTRIES)
                is_cut = is_cut or len(entries) >= MAX_ENTRIES
                groups = self._groups(connection, entries)
                for one in some:
                    found += [self._fact(one, entry, groups) for entry in entries if self._is_named(entry, one)]
        finally:
            _close(connection)
        return tuple(found), is_cut

    def _filter(self, entities: Iterable[EntityRef]) -> str:
        names = "".join(f"({attribute}={_escaped(one.value)})" for one in entities for attribute in self._names(one))
        return f"(&{_IS_ACCOUNT[self._directory.layout]}(|{names}))"

    def _names(self, entity: EntityRef) -> tuple[str, ...]:
        return _NAMES[self._directory.layout][entity.kind]

    def _is_named(self, entry: _Entry, entity: EntityRef) -> bool:
        """The server compares as its schema says; here it is compared as alerts spell names."""
        wanted = entity.value.lower()
        return any(value.lower() == wanted for name in self._names(entity) for value in entry.texts(name))

    def _fact(self, entity: EntityRef, entry: _Entry, groups: Mapping[str, Sequence[str]]) -> Fact:
        fields = account_fields(
            entry.dn,
            entry.attributes,
            layout=self._directory.layout,
            groups=groups.get(entry.dn, ()),
            privileged=self._directory.privileged_groups,
        )
        return Fact(entity=entity, fields=fields)

    def _groups(self, connection: Any, entries: Sequence[_Entry]) -> dict[str, list[str]]:
        """Names of the groups of each entry, by its DN. What the entries do not say of themselves is asked for."""
        found = {one.dn: sorted(set(_names_of(one.texts(GROUP_ATTRIBUTE)))) for one in entries}
        if self._directory.layout == "ad" or not entries or any(found.values()):
            return found
        clauses = []
        for one in entries:
            clauses += [f"(member={_escaped(one.dn)})", f"(uniqueMember={_escaped(one.dn)})"]
            clauses += [f"(memberUid={_escaped(uid)})" for uid in one.texts("uid")]
        wanted = f"(|{''.join(clauses)})"
        attributes = ("cn", "member", "uniqueMember", "memberUid")
        for group in _search(connection, self._directory, wanted, attributes, MAX_GROUPS):
            name = first_text(group.attributes, "cn")
            members = {one.lower() for key in ("member", "uniqueMember") for one in group.texts(key)}
            uids = set(group.texts("memberUid"))
            for one in entries:
                if name and (one.dn.lower() in members or uids & set(one.texts("uid"))):
                    found[one.dn].append(name)
        return {dn: sorted(set(names)) for dn, names in found.items()}


@dataclass(frozen=True, slots=True)
class _Entry:
    dn: str
    attributes: Mapping[str, Sequence[bytes]]
    """As the server gives them, by their names in lower case."""

    def texts(self, name: str) -> list[str]:
        return [one.decode("utf-8", "replace") for one in self.attributes.get(name.lower(), ())]


def _names_of(dns: Iterable[str]) -> Iterator[str]:
    """The names of groups from their DNs."""
    from ldap3.utils.dn import parse_dn  # type: ignore[import-untyped]  # as all of the package

    for dn in dns:
        try:
            yield parse_dn(dn)[0][1]
        except Exception:  # noqa: BLE001  # no DN: shown as it is
            yield dn


def _escaped(value: str) -> str:
    from ldap3.utils.conv import escape_filter_chars  # type: ignore[import-untyped]

    return str(escape_filter_chars(value))


def _bound(directory: Directory) -> Any:  # Any: ldap3 has no types
    """A connection that the server has accepted. Raises `UnavailableError`, and what ldap3 raises."""
    import ldap3  # type: ignore[import-untyped]

    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=directory.ca_file, version=ssl.PROTOCOL_TLS_CLIENT)
    server = ldap3.Server(
        directory.url, tls=tls, connect_timeout=directory.timeout_s, get_info=ldap3.NONE, allowed_referral_hosts=[]
    )
    connection = ldap3.Connection(
        server,
        user=directory.bind_dn,
        password=directory.password(),
        client_strategy=ldap3.SAFE_SYNC,
        receive_timeout=directory.timeout_s,
        # A referral would send the question, and the password, to whoever the server names.
        auto_referrals=False,
        read_only=True,
        raise_exceptions=False,
    )
    try:
        connection.open(read_server_info=False)
        if directory.start_tls:
            connection.start_tls(read_server_info=False)
            if not connection.tls_started:
                # Before the bind, which holds the password.
                raise UnavailableError("the directory does not go on encrypted (StartTLS)")
        status, result, *_ = connection.bind()
    except BaseException:
        _close(connection)
        raise
    if not status:
        _close(connection)
        raise UnavailableError(f"the directory refuses the bind: {result.get('description', 'no reason given')}")
    return connection


def _close(connection: Any) -> None:
    """Say goodbye where somebody is there, and leave no socket open in any case."""
    socket = connection.socket
    with suppress(Exception):
        connection.unbind()
    if socket is not None:
        with suppress(OSError):
            socket.close()


def _search(connection: Any, directory: Directory, wanted: str, attributes: Sequence[str], most: int) -> list[_Entry]:
    import ldap3

    status, result, response, _ = connection.search(
        directory.base_dn,
        wanted,
        search_scope=ldap3.SUBTREE,
        attributes=list(attributes),
        size_limit=most,
        time_limit=directory.timeout_s,
    )
    # 4: sizeLimitExceeded; what came is there.
    if not status and result.get("result") not in (0, 4):
        raise UnavailableError(f"the directory refuses the search: {result.get('description', 'no reason given')}")
    return [
        _Entry(one["dn"], {name.lower(): values for name, values in one["raw_attributes"].items()})
        for one in response or ()
        if one.get("type") == "searchResEntry"
    ]
