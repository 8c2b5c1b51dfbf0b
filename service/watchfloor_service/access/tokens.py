"""API tokens: who calls, for which tenant, and what the caller may do.

A token reads ``wf_<id>_<secret>``. The secret is 32 random bytes, so a single SHA-256 of it is all that is kept:
there is nothing to guess that a slow hash would protect.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Row, func, insert, select, update

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import ConfigurationError, NotFoundError, Problem
from watchfloor_core.store.schema import api_token
from watchfloor_core.store.schema_identity import account

# Both are guardrails' words; whoever handles tokens finds them here.
from watchfloor_guardrails.decision import PrincipalKind as PrincipalKind
from watchfloor_guardrails.roles import Scope as Scope
from watchfloor_guardrails.roles import holdable

PREFIX: Final = "wf"
ID_BYTES: Final = 8
SECRET_BYTES: Final = 32
DEFAULT_DAYS: Final = 90
MAX_DAYS: Final = 365
DAY_US: Final = 86_400 * MICROSECONDS

_TEXT: Final = re.compile(rf"{PREFIX}_([0-9a-f]{{{2 * ID_BYTES}}})_([A-Za-z0-9_-]{{43}})")
PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,63}")
"""Short enough for ``http:<principal>`` to be a source id, and free of anything a terminal or log could act on."""
TENANT: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
LOCAL: Final = "local:"
"""Principals that begin so are users of this machine; only the operator token carries one."""

_SCOPES: Final = frozenset(scope.value for scope in Scope)
_KINDS: Final = frozenset(kind.value for kind in PrincipalKind)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as the store knows it: without its secret."""

    id: str
    tenant: str
    principal: str
    kind: PrincipalKind
    scopes: frozenset[Scope]
    created_us: int
    expires_us: int
    revoked_us: int | None

    def is_live(self, at_us: int) -> bool:
        return self.revoked_us is None and at_us < self.expires_us


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A new token, the only time that its text exists."""

    text: str = field(repr=False)
    token: Token


def create_token(
    connection: Connection,
    tenant: str,
    principal: str,
    kind: PrincipalKind,
    scopes: Collection[Scope],
    *,
    days: int = DEFAULT_DAYS,
    now: int | None = None,
) -> IssuedToken:
    """Write a token that lives for ``days`` and return its text.

    Raises `ConfigurationError` with everything that is wrong with the request.
    """
    problems = [*_problems(tenant, principal, kind, scopes, days), *_clashes(connection, principal, kind)]
    if problems:
        raise ConfigurationError([Problem(problem) for problem in problems])
    created = now_us() if now is None else now
    token = Token(
        id=secrets.token_hex(ID_BYTES),
        tenant=tenant,
        principal=principal,
        kind=kind,
        scopes=frozenset(scopes),
        created_us=created,
        expires_us=created + days * DAY_US,
        revoked_us=None,
    )
    secret = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    connection.execute(
        insert(api_token).values(
            id=token.id,
            tenant=tenant,
            principal=principal,
            kind=kind.value,
            scopes=sorted(token.scopes),
            secret_sha256=_hash(secret),
            created_us=token.created_us,
            expires_us=token.expires_us,
            revoked_us=None,
        )
    )
    return IssuedToken(f"{PREFIX}_{token.id}_{secret}", token)


def _problems(
    tenant: str, principal: str, kind: PrincipalKind, scopes: Collection[Scope], days: int
) -> Collection[str]:
    found: list[str] = []
    if not TENANT.fullmatch(tenant):
        found.append(
            f"tenant {tenant!r} is not a tenant's name; expected lower-case letters, digits, . _ - (64 at most)"
        )
    if not PRINCIPAL.fullmatch(principal):
        found.append(f"principal {principal!r} is not a name; expected letters, digits and . _ @ : + - (64 at most)")
    if not scopes:
        found.append(f"a token without a scope allows nothing; give one or more of {', '.join(Scope)}")
    beyond = sorted(frozenset(scopes) - holdable(kind))
    if beyond:
        found.append(f"only a person decides: kind {kind.value!r} can never hold scope {', '.join(beyond)}")
    if not 1 <= days <= MAX_DAYS:
        found.append(f"a token lives for 1 to {MAX_DAYS} days, not {days}")
    return found


def _clashes(connection: Connection, principal: str, kind: PrincipalKind) -> Collection[str]:
    """One name stands for one person: not for a program as well, and not in another spelling."""
    names = select(account.c.principal).where(func.lower(account.c.principal) == principal.lower())
    found = connection.execute(names).scalars().first()
    if found is None:
        return []
    if kind is not PrincipalKind.PERSON:
        return [f"principal {principal!r} is a person's account; give the {kind.value} a name of its own"]
    return [] if found == principal else [f"principal {principal!r} is account {found!r}; spell it as the account"]


def verify_token(connection: Connection, text: str, *, now: int | None = None) -> Token | None:
    """The live token that ``text`` is; None for any other text, without saying why."""
    named = _TEXT.fullmatch(text)
    if named is None:
        return None
    row = connection.execute(select(api_token).where(api_token.c.id == named[1])).one_or_none()
    # An unknown id costs the same comparison as a known one.
    expected = bytes(row.secret_sha256) if row is not None else bytes(32)
    is_right = hmac.compare_digest(_hash(named[2]), expected)
    if row is None or not is_right:
        return None
    token = _token(row)
    return token if token.is_live(now_us() if now is None else now) else None


def token_id(text: str) -> str | None:
    """The id that a token's text names, whether or not it is right."""
    named = _TEXT.fullmatch(text)
    return None if named is None else named[1]


def load_token(connection: Connection, identifier: str) -> Token | None:
    """The token with this id, dead ones too."""
    row = connection.execute(select(api_token).where(api_token.c.id == identifier)).one_or_none()
    return None if row is None else _token(row)


def revoke_token(connection: Connection, tenant: str, identifier: str, *, now: int | None = None) -> Token:
    """End a token's life now; revoking it again changes nothing. Raises `NotFoundError`."""
    moment = now_us() if now is None else now
    ours = (api_token.c.id == identifier) & (api_token.c.tenant == tenant)
    connection.execute(update(api_token).where(ours, api_token.c.revoked_us.is_(None)).values(revoked_us=moment))
    row = connection.execute(select(api_token).where(ours)).one_or_none()
    if row is None:
        raise NotFoundError(f"tenant {tenant!r} has no token {identifier!r}; `watchfloor token list` shows them")
    return _token(row)


def list_tokens(connection: Connection, tenant: str) -> list[Token]:
    """All tokens of a tenant, the newest first."""
    rows = connection.execute(
        select(api_token).where(api_token.c.tenant == tenant).order_by(api_token.c.created_us.desc(), api_token.c.id)
    )
    return [_token(row) for row in rows]


# SQLAlchemy's rows are untyped; the column types of the schema hold.
def _token(row: Row[tuple[object, ...]]) -> Token:
    values = row._mapping
    is_known = values["kind"] in _KINDS
    # A kind that this version does not know is taken for the least trusted one, and may do nothing.
    kind = PrincipalKind(values["kind"]) if is_known else PrincipalKind.AGENT
    # Neither does a scope that this version does not know allow anything, nor one that such a principal cannot hold:
    # the row is no authority.
    named = frozenset(Scope(name) for name in values["scopes"] if name in _SCOPES)
    return Token(
        id=values["id"],
        tenant=values["tenant"],
        principal=values["principal"],
        kind=kind,
        scopes=named & holdable(kind) if is_known else frozenset(),
        created_us=values["created_us"],
        expires_us=values["expires_us"],
        revoked_us=values["revoked_us"],
    )


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
