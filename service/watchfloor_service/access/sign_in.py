"""From a proof to a session: the password's, or the identity provider's word."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import update

from watchfloor_core.clock import now_us
from watchfloor_core.errors import RefusedError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_identity import account
from watchfloor_service.access.accounts import Account, AccountChanges, changing_accounts, require_account
from watchfloor_service.access.lockout import begin_attempt
from watchfloor_service.access.passwords import Match, Passwords
from watchfloor_service.access.sessions import IssuedSession, Method, open_session


@dataclass(frozen=True, slots=True)
class SignedIn:
    account: Account
    issued: IssuedSession


def sign_in_by_password(
    store: Store,
    passwords: Passwords,
    principal: str,
    password: str,
    *,
    tenant: str | None,
    home: str,
    now: int | None = None,
) -> SignedIn | None:
    """A session in ``tenant``; None for any wrong name or password, for a locked and for a disabled account.

    ``home`` is the tenant taken where none is named and the person has a role there. Raises `RefusedError` where the
    password is right and the person has no role in the tenant.
    """
    moment = now_us() if now is None else now
    attempt = begin_attempt(store, principal, moment)
    # An unknown name and a locked account cost the same as a wrong password, and say the same.
    match = passwords.compare(None if attempt is None else attempt.password_hash, password)
    if attempt is None or match is Match.WRONG:
        return None
    renewed = passwords.hash(password) if match is Match.RIGHT_BUT_WEAK else attempt.password_hash
    with changing_accounts(store, home, principal, now=moment) as changes:
        # Only against the password that was compared: somebody may have set another one, or disabled the account.
        forgiven = changes.connection.execute(
            update(account)
            .where(
                account.c.principal == principal,
                account.c.password_hash == attempt.password_hash,
                account.c.disabled_us.is_(None),
            )
            .values(failed_count=0, locked_until_us=None, password_hash=renewed)
        )
        return open_for(changes, principal, Method.PASSWORD, tenant=tenant, home=home) if forgiven.rowcount else None


def open_for(changes: AccountChanges, principal: str, method: Method, *, tenant: str | None, home: str) -> SignedIn:
    """A session of somebody who proved who they are. Raises `RefusedError` without a role in the tenant."""
    found = require_account(changes.connection, principal)
    if not found.roles:
        raise RefusedError(f"{principal!r} has no role in any tenant; an administrator grants one")
    chosen = tenant or (home if home in found.roles else min(found.roles))
    if chosen not in found.roles:
        raise RefusedError(f"{principal!r} has no role in tenant {chosen[:64]!r}")
    issued = open_session(changes.connection, principal, chosen, method, changes.at_us)
    changes.record("signed_in", principal, tenant=chosen, method=method.value, session=issued.session.id)
    return SignedIn(found, issued)
