"""A sign-in by the identity provider, from the redirect there to the session.

What is kept between the two halves is used up by the first callback that names it, and belongs to the browser that
began: somebody else's callback address, opened in a victim's browser, signs nobody in.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import delete, func, insert, select

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import ConflictError, UnavailableError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_identity import oidc_identity, oidc_login
from watchfloor_service.access.accounts import OIDC, AccountChanges, RoleSource, changing_accounts, load_account
from watchfloor_service.access.oidc_provider import OidcProvider, SignInRefusedError
from watchfloor_service.access.oidc_settings import MappedRole
from watchfloor_service.access.sessions import Method
from watchfloor_service.access.sign_in import SignedIn, open_for

LIFE_US: Final = 10 * 60 * MICROSECONDS
MOST_WAITING: Final = 10_000
"""Sign-ins under way; whoever begins many cannot fill the store."""
MAX_PARAMETER: Final = 4_096


@dataclass(frozen=True, slots=True)
class Begun:
    """The first half: what the browser gets."""

    url: str
    """Of the provider."""
    browser: str = field(repr=False)
    """For a cookie, which has to come back with the callback."""


def begin(store: Store, provider: OidcProvider, now: int | None = None) -> Begun:
    """Raises `UnavailableError` where the provider does not answer or too many sign-ins are under way."""
    moment = now_us() if now is None else now
    state, browser, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(4))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    url = provider.authorization_url(state, nonce, challenge)
    with store.write() as connection:
        connection.execute(delete(oidc_login).where(oidc_login.c.expires_us <= moment))
        waiting = connection.execute(select(func.count()).select_from(oidc_login)).scalar_one()
        if waiting >= MOST_WAITING:
            raise UnavailableError("too many sign-ins are under way; try again in some minutes")
        connection.execute(
            insert(oidc_login).values(
                state_sha256=_hash(state),
                browser_sha256=_hash(browser),
                nonce=nonce,
                verifier=verifier,
                created_us=moment,
                expires_us=moment + LIFE_US,
            )
        )
    return Begun(url, browser)


def finish(
    store: Store,
    provider: OidcProvider,
    *,
    state: str,
    code: str,
    browser: str | None,
    issuer: str | None,
    home: str,
    now: int | None = None,
) -> SignedIn:
    """The second half. ``issuer`` is the callback's ``iss`` (RFC 9207), where it has one.

    Raises `SignInRefusedError` where anything does not hold, `RefusedError` where the person is known and has no role,
    `UnavailableError` where the provider does not answer: the sign-in is used up in each case.
    """
    moment = now_us() if now is None else now
    nonce, verifier = _use_up(store, state, browser, moment)
    if issuer is not None and issuer != provider.settings.issuer:
        raise SignInRefusedError("the answer is another provider's")
    claims = provider.claims_for_code(code[:MAX_PARAMETER], verifier, nonce)
    with changing_accounts(store, home, f"{OIDC}provider", now=moment) as changes:
        principal = _principal(changes, provider, claims)
        _take_over_roles(changes, principal, provider.settings.roles_of(claims))
        found = load_account(changes.connection, principal)
        is_let_in = found is not None and found.is_enabled and bool(found.roles)
        if is_let_in:
            return open_for(changes, principal, Method.OIDC, tenant=None, home=home)
    # After the transaction: roles that the provider took back stay taken back.
    raise SignInRefusedError(f"{principal!r} is disabled or has no role")


def _use_up(store: Store, state: str, browser: str | None, moment: int) -> tuple[str, str]:
    with store.write() as connection:
        row = connection.execute(
            delete(oidc_login)
            .where(oidc_login.c.state_sha256 == _hash(state))
            .returning(oidc_login.c.browser_sha256, oidc_login.c.nonce, oidc_login.c.verifier, oidc_login.c.expires_us)
        ).one_or_none()
    if row is None or moment >= row.expires_us:
        raise SignInRefusedError("no sign-in is waiting for this answer")
    if browser is None or not secrets.compare_digest(bytes(row.browser_sha256), _hash(browser)):
        raise SignInRefusedError("the answer came to another browser than the one that began")
    return row.nonce, row.verifier


def _principal(changes: AccountChanges, provider: OidcProvider, claims: Mapping[str, object]) -> str:
    """Whoever (issuer, subject) is here; somebody new is let in by a mapped group only."""
    issuer, subject = provider.settings.issuer, str(claims["sub"])
    known: str | None = changes.connection.execute(
        select(oidc_identity.c.principal).where(oidc_identity.c.issuer == issuer, oidc_identity.c.subject == subject)
    ).scalar_one_or_none()
    if known is not None:
        return known
    if not provider.settings.roles_of(claims):
        raise SignInRefusedError("this identity has no account and is in no mapped group")
    # From what identifies the person, so that the name cannot be chosen by them or be given to somebody else later.
    principal = OIDC + hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:32]
    name = claims.get("name")
    shown = "".join(c for c in name if c.isprintable()).strip() if isinstance(name, str) else ""
    changes.admit(principal, shown or principal)
    link_identity(changes, principal, issuer, subject)
    return principal


def link_identity(changes: AccountChanges, principal: str, issuer: str, subject: str) -> None:
    """From now on this subject of the provider is that account. Raises `ConflictError` where it is one already."""
    taken = select(oidc_identity.c.principal).where(
        oidc_identity.c.issuer == issuer, oidc_identity.c.subject == subject
    )
    whose = changes.connection.execute(taken).scalar_one_or_none()
    if whose is not None:
        raise ConflictError(f"this identity is account {whose!r} already")
    changes.connection.execute(
        insert(oidc_identity).values(issuer=issuer, subject=subject, principal=principal, linked_us=changes.at_us)
    )
    changes.record("identity_linked", principal, issuer=issuer, subject=subject)


def _take_over_roles(changes: AccountChanges, principal: str, mapped: frozenset[MappedRole]) -> None:
    """Roles that came from the provider become those of its latest word; those granted here stay as they are."""
    now_held = {(one.tenant, one.role) for one in mapped}
    before = changes.roles_from(principal, RoleSource.OIDC)
    for tenant, role in sorted(before - now_held):
        changes.revoke(principal, tenant, role, RoleSource.OIDC)
    for tenant, role in sorted(now_held - before):
        changes.grant(principal, tenant, role, RoleSource.OIDC)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "replace")).digest()
