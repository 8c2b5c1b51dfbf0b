"""The tables of people: accounts, their roles and sessions, and how they prove who they are.

They follow the conventions of `watchfloor_core.store.schema` and share its metadata. No secret is kept: of one-time
links, session cookies and the state of a sign-in there is a SHA-256, of passwords an argon2id hash.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, String, Table, Text

from watchfloor_core.store.schema import TENANT, metadata

PRINCIPAL = String(128)
SHA256 = LargeBinary(32)
ISSUER = String(255)
SUBJECT = String(255)
"""As OpenID Connect Core 1.0, section 2, bounds it."""

account = Table(
    "account",
    metadata,
    # A person, in whatever tenants.
    Column("principal", PRINCIPAL, primary_key=True),
    Column("display_name", String(200), nullable=False),
    Column("password_hash", Text),
    # Null: no password was ever set, and none fits.
    Column("created_us", BigInteger, nullable=False),
    Column("disabled_us", BigInteger),
    Column("failed_count", Integer, nullable=False),
    # Attempts with a password since one was right.
    Column("locked_until_us", BigInteger),
)

account_role = Table(
    "account_role",
    metadata,
    Column("principal", PRINCIPAL, nullable=False),
    Column("tenant", TENANT, nullable=False),
    Column("role", String(16), nullable=False),
    Column("source", String(8), nullable=False),
    # "local", or "oidc" for what the identity provider says and may take back.
    Column("granted_by", PRINCIPAL, nullable=False),
    Column("granted_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("principal", "tenant", "role", "source"),
)

login_link = Table(
    "login_link",
    metadata,
    # Lets its holder set the account's password, once.
    Column("token_sha256", SHA256, primary_key=True),
    Column("principal", PRINCIPAL, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("used_us", BigInteger),
    Index("ix_login_link_principal", "principal"),
)

login_session = Table(
    "login_session",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("secret_sha256", SHA256, nullable=False),
    Column("principal", PRINCIPAL, nullable=False),
    Column("tenant", TENANT, nullable=False),
    # In which it works unless a request names another of the person's.
    Column("method", String(8), nullable=False),
    # "password" or "oidc"
    Column("created_us", BigInteger, nullable=False),
    Column("last_seen_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
    Index("ix_login_session_principal", "principal"),
    Index("ix_login_session_expires", "expires_us"),
)

oidc_identity = Table(
    "oidc_identity",
    metadata,
    # Who an identity provider's subject is here. E-mail addresses and names are no identity: they move.
    Column("issuer", ISSUER, nullable=False),
    Column("subject", SUBJECT, nullable=False),
    Column("principal", PRINCIPAL, nullable=False),
    Column("linked_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("issuer", "subject"),
    Index("ix_oidc_identity_principal", "principal"),
)

oidc_login = Table(
    "oidc_login",
    metadata,
    # A sign-in that was sent to the identity provider and has not come back.
    Column("state_sha256", SHA256, primary_key=True),
    Column("browser_sha256", SHA256, nullable=False),
    # Of the cookie of the browser that began it.
    Column("nonce", String(64), nullable=False),
    Column("verifier", String(128), nullable=False),
    # PKCE, RFC 7636.
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
    Index("ix_oidc_login_expires", "expires_us"),
)
