"""One-time links: whoever holds one sets the account's password, once and within a day.

Looking at a link changes nothing, for mail gateways and chat programs open what they see. Only its hash is kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from typing import Final

from sqlalchemy import Connection, insert, select, update

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.errors import ConfigurationError, ConflictError, Problem, RefusedError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_identity import account, login_link
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.accounts import (
    AccountChanges,
    changing_accounts,
    has_accounts,
    load_account,
    require_account,
)
from watchfloor_service.access.passwords import Passwords, faults

SECRET_BYTES: Final = 32
LIFE_US: Final = 24 * 3600 * MICROSECONDS
PATH: Final = "/v1/first-login"
FIRST_ACCOUNT: Final = "admin"

_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_DEAD: Final = "this link is not, or no longer, good; `watchfloor account login-link PRINCIPAL` makes a new one"


def link_address(base_url: str, token: str) -> str:
    """What a person opens. The token stands in the query, which no log line holds."""
    return f"{base_url}{PATH}?token={token}"


def make_link(changes: AccountChanges, principal: str) -> str:
    """The token of a new link; earlier ones of the account end. Raises `NotFoundError` or `ConfigurationError`."""
    if not require_account(changes.connection, principal).is_enabled:
        raise ConfigurationError(f"account {principal!r} is disabled; `watchfloor account enable {principal}` first")
    changes.end_links(principal)
    token = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
    changes.connection.execute(
        insert(login_link).values(
            token_sha256=_hash(token),
            principal=principal,
            created_us=changes.at_us,
            expires_us=changes.at_us + LIFE_US,
            used_us=None,
        )
    )
    changes.record("link_made", principal)
    return token


def first_link(store: Store, tenant: str, by: str) -> str | None:
    """Where there is no account yet: the token of a link for the first one, ``admin``, who is admin and lead."""
    with store.read() as connection:
        if has_accounts(connection):
            return None
    try:
        with changing_accounts(store, tenant, by) as changes:
            changes.create(FIRST_ACCOUNT, "First administrator")
            for role in (Role.ADMIN, Role.LEAD):
                changes.grant(FIRST_ACCOUNT, tenant, role)
            return make_link(changes, FIRST_ACCOUNT)
    except ConflictError:
        # Another start was first, and has printed its link.
        return None


def principal_of_link(connection: Connection, token: str, at_us: int) -> str | None:
    """Whose link this is, while it is good; uses nothing up."""
    if not _TEXT.fullmatch(token):
        return None
    principal: str | None = connection.execute(
        select(login_link.c.principal).where(
            login_link.c.token_sha256 == _hash(token),
            login_link.c.used_us.is_(None),
            login_link.c.expires_us > at_us,
        )
    ).scalar_one_or_none()
    found = None if principal is None else load_account(connection, principal)
    return None if found is None or not found.is_enabled else found.principal


def use_link(store: Store, passwords: Passwords, token: str, password: str, tenant: str, now: int) -> str:
    """Set the password of the link's account; returns its principal.

    Of several at the same time one succeeds. The account's sessions end and its lock opens. Raises `RefusedError` for
    a link that is not good, `ConfigurationError` with all that is wrong with the password; the link then stays good.
    """
    with store.read() as connection:
        principal = principal_of_link(connection, token, now)
    if principal is None:
        raise RefusedError(_DEAD)
    wrong = faults(password, principal)
    if wrong:
        raise ConfigurationError([Problem(fault) for fault in wrong])
    # Before the transaction: a hash takes a tenth of a second.
    hashed = passwords.hash(password)
    with changing_accounts(store, tenant, principal, now=now) as changes:
        used = changes.connection.execute(
            update(login_link)
            .where(
                login_link.c.token_sha256 == _hash(token),
                login_link.c.used_us.is_(None),
                login_link.c.expires_us > now,
            )
            .values(used_us=now)
        )
        is_set = (
            used.rowcount == 1
            and changes.connection.execute(
                update(account)
                .where(account.c.principal == principal, account.c.disabled_us.is_(None))
                .values(password_hash=hashed, failed_count=0, locked_until_us=None)
            ).rowcount
            == 1
        )
        if not is_set:
            raise RefusedError(_DEAD)
        changes.end_links(principal)
        changes.end_sessions(principal)
        changes.record("password_set", principal)
    return principal


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
