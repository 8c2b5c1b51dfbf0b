"""People for tests of the API: accounts with roles and passwords, and clients of those who have signed in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx
from sqlalchemy import update

from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_identity import account
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.accounts import changing_accounts, load_account
from watchfloor_service.access.passwords import Passwords
from watchfloor_service.access.sessions import Method, csrf_token
from watchfloor_service.access.sign_in import open_for
from watchfloor_service.testing import TLS, Api

PASSWORD: Final = "blue kettle orbit"  # noqa: S105 -- of people who live as long as a test
_HASH: Final = Passwords().hash(PASSWORD)


def add_person(store: Store, principal: str, *roles: Role, tenant: str = "default") -> None:
    """An account with these roles in the tenant, beside those it has; the password is `PASSWORD`."""
    with changing_accounts(store, tenant, "local:test") as changes:
        if load_account(changes.connection, principal) is None:
            changes.create(principal, principal.title())
            changes.connection.execute(
                update(account).where(account.c.principal == principal).values(password_hash=_HASH)
            )
        for role in roles:
            changes.grant(principal, tenant, role)


@dataclass(frozen=True, slots=True)
class Browser:
    """A client with a session's cookie; ``headers`` are those of its own page."""

    client: httpx.Client
    headers: dict[str, str]

    @property
    def cookie(self) -> str:
        return self.client.cookies["watchfloor"]

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=headers)

    def post(self, path: str, json: object, **headers: str) -> httpx.Response:
        return self.client.post(path, json=json, headers={**self.headers, **headers})

    def delete(self, path: str) -> httpx.Response:
        return self.client.delete(path, headers=self.headers)


@contextmanager
def signed_in(api: Api, principal: str, *, tenant: str | None = None) -> Iterator[Browser]:
    """A person's browser with a session; made in the store, for a password takes a tenth of a second to compare."""
    with changing_accounts(api.store, "default", principal) as changes:
        issued = open_for(changes, principal, Method.PASSWORD, tenant=tenant, home="default").issued
    headers = {"X-Watchfloor-CSRF": csrf_token(issued.text), "Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=api.url, timeout=30, verify=TLS) as client:
        client.cookies.set("watchfloor", issued.text, domain="127.0.0.1")
        yield Browser(client, headers)
