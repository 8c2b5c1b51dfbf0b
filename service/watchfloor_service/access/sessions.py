"""People's sessions: a secret in a cookie, of which the store keeps the hash.

A session ends after 30 minutes without a request and 12 hours after it began, whichever comes first, and at once when
its account is disabled.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.store.schema_identity import login_session

ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
IDLE_US: Final = 30 * 60 * MICROSECONDS
LIFE_US: Final = 12 * 3600 * MICROSECONDS
SEEN_EVERY_US: Final = 60 * MICROSECONDS
"""So often a session in use is written down as seen: the store is not written to for each request."""
KEPT_US: Final = 7 * 24 * 3600 * MICROSECONDS
"""Ended sessions are deleted so long after they would have expired; the ledger keeps that they were."""

_TEXT: Final = re.compile(rf"([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")
_CSRF: Final = b"watchfloor csrf token, version 1"


class Method(StrEnum):
    """How the person proved who they are."""

    PASSWORD = "password"  # noqa: S105 -- a word, not a secret
    OIDC = "oidc"


@dataclass(frozen=True, slots=True)
class Session:
    id: str
    principal: str
    tenant: str
    """In which it works unless a request names another of the person's."""
    method: Method
    created_us: int
    last_seen_us: int
    expires_us: int
    revoked_us: int | None

    def is_live(self, at_us: int) -> bool:
        return self.revoked_us is None and at_us < min(self.expires_us, self.last_seen_us + IDLE_US)


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """A new session, the only time that its secret exists here."""

    text: str = field(repr=False)
    """The cookie's value."""
    session: Session


def open_session(connection: Connection, principal: str, tenant: str, method: Method, at_us: int) -> IssuedSession:
    """Always a new secret: whatever cookie the browser had before is worth nothing afterwards."""
    session = Session(
        id=secrets.token_hex(ID_BYTES),
        principal=principal,
        tenant=tenant,
        method=method,
        created_us=at_us,
        last_seen_us=at_us,
        expires_us=at_us + LIFE_US,
        revoked_us=None,
    )
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    connection.execute(delete(login_session).where(login_session.c.expires_us < at_us - KEPT_US))
    connection.execute(
        insert(login_session).values(
            id=session.id,
            secret_sha256=_hash(secret),
            principal=principal,
            tenant=tenant,
            method=method.value,
            created_us=at_us,
            last_seen_us=at_us,
            expires_us=session.expires_us,
            revoked_us=None,
        )
    )
    return IssuedSession(f"{session.id}_{secret}", session)


def find_session(connection: Connection, text: str) -> Session | None:
    """The session that ``text`` is, which may have ended; None where the secret is not right, without saying why."""
    named = _TEXT.fullmatch(text)
    if named is None:
        return None
    row = connection.execute(select(login_session).where(login_session.c.id == named[1])).one_or_none()
    # An unknown id costs the same comparison as a known one.
    expected = bytes(row.secret_sha256) if row is not None else bytes(32)
    is_right = hmac.compare_digest(_hash(named[2]), expected)
    if row is None or not is_right:
        return None
    return _session(row)


def mark_seen(connection: Connection, session: Session, at_us: int) -> None:
    """The session is in use; never backwards, and never for one that has ended."""
    connection.execute(
        update(login_session)
        .where(
            login_session.c.id == session.id,
            login_session.c.revoked_us.is_(None),
            login_session.c.last_seen_us < at_us,
        )
        .values(last_seen_us=at_us)
    )


def end_session(connection: Connection, session_id: str, at_us: int) -> bool:
    """False where it has ended already."""
    ended = connection.execute(
        update(login_session)
        .where(login_session.c.id == session_id, login_session.c.revoked_us.is_(None))
        .values(revoked_us=at_us)
    )
    return ended.rowcount == 1


def move_session(connection: Connection, session_id: str, tenant: str) -> None:
    """Work in another tenant from now on; that it is one of the person's is for the caller to check."""
    connection.execute(update(login_session).where(login_session.c.id == session_id).values(tenant=tenant))


def csrf_token(text: str) -> str:
    """What a request that changes something must show besides the cookie: it can be had only by who reads an answer.

    Derived from the session's secret, so that it dies with the session and needs no table.
    """
    return hmac.new(text.encode(), _CSRF, hashlib.sha256).hexdigest()


# SQLAlchemy's rows are untyped; the column types of the schema hold.
def _session(row: Row[tuple[object, ...]]) -> Session:
    values = row._mapping
    return Session(
        id=values["id"],
        principal=values["principal"],
        tenant=values["tenant"],
        method=Method(values["method"]),
        created_us=values["created_us"],
        last_seen_us=values["last_seen_us"],
        expires_us=values["expires_us"],
        revoked_us=values["revoked_us"],
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
