"""One conversation with an LDAP server (RFC 4511), over TLS: bind, search, unbind; and modify, for those who act.

Imported where it is needed: it takes the extra ``ldap``.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from ldap3 import NONE, SIMPLE, SUBTREE, SYNC, Connection, Server, Tls
from ldap3.core.exceptions import LDAPExceptionError, LDAPStartTLSError
from ldap3.core.results import (
    RESULT_ADMIN_LIMIT_EXCEEDED,
    RESULT_INVALID_CREDENTIALS,
    RESULT_NO_SUCH_OBJECT,
    RESULT_SIZE_LIMIT_EXCEEDED,
    RESULT_SUCCESS,
    RESULT_TIME_LIMIT_EXCEEDED,
)
from ldap3.utils.conv import escape_filter_chars

from watchfloor_connectors.context.account_names import Condition
from watchfloor_connectors.context.answer_bounds import BoundedSocket, Bounds
from watchfloor_connectors.context.directory import Found
from watchfloor_core.errors import ConfigurationError, UnavailableError

_CUT: Final = (RESULT_SIZE_LIMIT_EXCEEDED, RESULT_ADMIN_LIMIT_EXCEEDED, RESULT_TIME_LIMIT_EXCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server, and as whom it is asked for what."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    """None: plain text, which is for this machine itself alone."""
    start_tls: bool
    """TLS begins with a request of its own, on the port for plain text; nothing else is sent before."""
    base_dn: str
    bind_dn: str
    timeout_s: float
    """For all that is asked in one session, from opening it on."""


class _CheckedTls(Tls):  # type: ignore[misc]  # the library has no types
    """TLS as Python checks it, the server's name included; the library's own check is of another time."""

    def __init__(self, context: ssl.SSLContext, bounds: Bounds) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._context = context
        self._bounds = bounds
        self.fault: Exception | None = None

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # the library calls it so
        plain = connection.socket.raw if isinstance(connection.socket, BoundedSocket) else connection.socket
        # The time for the whole handshake, and not for each read in it.
        plain.settimeout(self._bounds.left_s())
        try:
            encrypted = self._context.wrap_socket(
                plain, server_hostname=connection.server.host, do_handshake_on_connect=do_handshake
            )
        except TimeoutError:
            raise self._bounds.ended() from None
        except (OSError, ValueError) as error:
            self.fault = error
            raise
        connection.socket = BoundedSocket(encrypted, self._bounds)


class _TimedServer(Server):  # type: ignore[misc]  # the library has no types
    """A name can have many addresses, which are tried one after the other: all of them get the time of one."""

    def __init__(self, place: Place, tls: _CheckedTls | None, bounds: Bounds) -> None:
        self._bounds = bounds
        is_encrypted = tls is not None and not place.start_tls
        super().__init__(place.host, port=place.port, use_ssl=is_encrypted, tls=tls, get_info=NONE)

    @property
    def connect_timeout(self) -> float:
        return self._bounds.left_s()

    @connect_timeout.setter
    def connect_timeout(self, _: None) -> None:
        """The library sets what it was given."""


class LdapSession:
    """A bound connection; searches below the base."""

    def __init__(self, connection: Any, place: Place, bounds: Bounds) -> None:  # the library has no types
        self._connection = connection
        self._place = place
        self._bounds = bounds

    def search(
        self, any_of: Sequence[Condition], attributes: Sequence[str], limit: int, object_class: str | None = None
    ) -> Found:
        """Entries that hold any of the conditions, by DN. Raises `UnavailableError`."""
        self._bounds.begin_answer()
        with telling(self._place, self._bounds):
            self._connection.search(
                self._place.base_dn,
                filter_text(any_of, object_class),
                search_scope=SUBTREE,
                attributes=list(attributes),
                size_limit=limit,
                time_limit=seconds(self._place),
            )
        code = self._connection.result["result"]
        if code == RESULT_NO_SUCH_OBJECT:
            raise UnavailableError(f"it has no base_dn {self._place.base_dn!r}")
        if code != RESULT_SUCCESS and code not in _CUT:
            raise UnavailableError(f"it answers a search with {self._connection.result['description']}")
        entries = [
            (str(one["dn"]), {str(name).lower(): list(values) for name, values in one["raw_attributes"].items()})
            for one in self._connection.response or ()
            # Others are references to further servers, to which nothing is sent.
            if one.get("type") == "searchResEntry"
        ]
        return Found(sorted(entries, key=lambda one: one[0])[:limit], code in _CUT or len(entries) > limit)


def filter_text(any_of: Sequence[Condition], object_class: str | None = None) -> str:
    """RFC 4515. Whatever a value holds, it stays a value."""
    parts = "".join(f"({attribute}={escape_filter_chars(value)})" for attribute, value in any_of)
    return f"(|{parts})" if object_class is None else f"(&(objectClass={object_class})(|{parts}))"


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """By whom certificates have to be signed; None: the authorities of this machine. Raises `ConfigurationError`."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = "holds no certificates in PEM" if isinstance(error, ssl.SSLError) else f"cannot be read: {error}"
        raise ConfigurationError(f"ca_file {ca_file!r} {reason}") from None


@contextmanager
def ldap_session(place: Place, password: Callable[[], str]) -> Iterator[LdapSession]:
    """One that only reads. Raises `UnavailableError` where the server is away, is not the one that it should be, or
    refuses the account."""
    with bound(place, password, read_only=True) as (connection, bounds):
        yield LdapSession(connection, place, bounds)


@contextmanager
def bound(place: Place, password: Callable[[], str], *, read_only: bool) -> Iterator[tuple[Any, Bounds]]:
    """The library's connection, bound, and what it may take. Raises as `ldap_session`."""
    secret = password()
    if not secret:
        # RFC 4513, 5.1.2: a server takes it for nobody in particular, and lets it in.
        raise ConfigurationError("the password is empty; put that of bind_dn there")
    bounds = Bounds(place.timeout_s)
    tls = None if place.tls is None else _CheckedTls(place.tls, bounds)
    connection = Connection(
        _TimedServer(place, tls, bounds),
        user=place.bind_dn,
        password=secret,
        authentication=SIMPLE,
        client_strategy=SYNC,
        # A server could otherwise send the password on to any other by a reference.
        auto_referrals=False,
        # A server that has ever more values of an attribute would be asked for ever.
        auto_range=False,
        return_empty_attributes=False,
        read_only=read_only,
        check_names=False,
        auto_encode=False,
        auto_escape=False,
        receive_timeout=seconds(place),
    )
    try:
        with telling(place, bounds, tls):
            connection.open(read_server_info=False)
            if not isinstance(connection.socket, BoundedSocket):
                connection.socket = BoundedSocket(connection.socket, bounds)
            if place.start_tls and not connection.start_tls(read_server_info=False):
                raise LDAPStartTLSError
            is_bound = connection.bind(read_server_info=False)
        if not is_bound:
            raise _refused(place, connection.result or {})
        yield connection, bounds
    finally:
        _end(connection)


@contextmanager
def telling(place: Place, bounds: Bounds, tls: _CheckedTls | None = None) -> Iterator[None]:
    """What the library raises, as `UnavailableError` in words of our own: its texts can quote what was sent."""
    try:
        yield
    except (LDAPExceptionError, OSError) as error:
        at = f"{place.host}:{place.port}"
        if (broken := bounds.broken()) is not None:
            raise UnavailableError(f"{at} {broken}") from None
        if tls is not None and tls.fault is not None:
            detail = getattr(tls.fault, "verify_message", "") or type(tls.fault).__name__
            raise UnavailableError(f"{at} is not trusted, and gets no password: {detail}") from None
        if isinstance(error, LDAPStartTLSError):
            raise UnavailableError(f"{at} does not begin TLS, and gets no password") from None
        raise UnavailableError(f"{at} does not answer ({type(error).__name__})") from None


def _refused(place: Place, result: dict[str, Any]) -> UnavailableError:
    if result.get("result") == RESULT_INVALID_CREDENTIALS:
        return UnavailableError(f"it refuses bind_dn {place.bind_dn!r} with this password")
    return UnavailableError(f"it refuses bind_dn {place.bind_dn!r}: {result.get('description', 'no answer')}")


def _end(connection: Any) -> None:
    socket = connection.socket
    with suppress(Exception):
        connection.unbind()
    if socket is not None:
        # One that did not get as far as a session is left open by the library.
        socket.close()


def seconds(place: Place) -> int:
    """The library hands it to the system as a whole number."""
    return max(1, math.ceil(place.timeout_s))
