"""People's accounts: who there is, with what role in which tenant, and every change to that with its ledger entry."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, ConflictError, NotFoundError, Problem
from watchfloor_core.ledger import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import api_token
from watchfloor_core.store.schema_identity import account, account_role, login_link, login_session
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.tokens import LOCAL, PRINCIPAL, TENANT

CONTROL: Final = "control"
OIDC: Final = "oidc:"
"""Principals that begin so were let in by the identity provider; only a sign-in makes one."""
MAX_DISPLAY_NAME: Final = 200

_ROLES: Final = {role.value: role for role in Role}


class RoleSource(StrEnum):
    LOCAL = "local"
    OIDC = "oidc"


@dataclass(frozen=True, slots=True)
class Account:
    principal: str
    display_name: str
    has_password: bool
    created_us: int
    disabled_us: int | None
    locked_until_us: int | None
    roles: Mapping[str, frozenset[Role]]
    """By tenant; a tenant without a role is not there."""

    @property
    def is_enabled(self) -> bool:
        return self.disabled_us is None


def load_account(connection: Connection, principal: str) -> Account | None:
    """The account of exactly this principal."""
    row = connection.execute(select(account).where(account.c.principal == principal)).one_or_none()
    return None if row is None else _account(row, _roles(connection, principal).get(principal, {}))


def require_account(connection: Connection, principal: str) -> Account:
    """As `load_account`; raises `NotFoundError`."""
    found = load_account(connection, principal)
    if found is None:
        raise NotFoundError(
            f"there is no account {principal[:64]!r}; `watchfloor account list --all-tenants` shows them"
        )
    return found


def list_accounts(connection: Connection, tenant: str | None) -> list[Account]:
    """Those with a role in ``tenant``, or all, by name."""
    roles = _roles(connection)
    rows = connection.execute(select(account).order_by(account.c.principal)).all()
    found = [_account(row, roles.get(row._mapping["principal"], {})) for row in rows]
    return [one for one in found if tenant is None or tenant in one.roles]


def has_accounts(connection: Connection) -> bool:
    return connection.execute(select(account.c.principal).limit(1)).first() is not None


class AccountChanges:
    """Changes to accounts inside one transaction. Each leaves a decision of kind ``principal`` in the control chain."""

    def __init__(self, connection: Connection, tenant: str, by: str, at_us: int) -> None:
        self.connection: Final = connection
        self.at_us: Final = at_us
        self._tenant = tenant
        self._by = by
        self._decisions: dict[str, list[Decision]] = defaultdict(list)

    def create(self, principal: str, display_name: str) -> None:
        """An account without a password or role. Raises `ConfigurationError` with all that is wrong with the name."""
        problems = list(self._faults(principal, display_name))
        if problems:
            raise ConfigurationError([Problem(problem) for problem in problems])
        self._insert(principal, display_name)

    def admit(self, principal: str, display_name: str) -> None:
        """The account of somebody whom the identity provider vouches for."""
        self._insert(principal, display_name[:MAX_DISPLAY_NAME])

    def grant(self, principal: str, tenant: str, role: Role, source: RoleSource = RoleSource.LOCAL) -> bool:
        """False where the person has it from this source already."""
        require_account(self.connection, principal)
        if not TENANT.fullmatch(tenant):
            raise ConfigurationError(f"tenant {tenant!r} is not a tenant's name")
        key = {"principal": principal, "tenant": tenant, "role": role.value, "source": source.value}
        if self.connection.execute(select(account_role.c.role).filter_by(**key)).first() is not None:
            return False
        self.connection.execute(insert(account_role).values(**key, granted_by=self._by, granted_us=self.at_us))
        self.record("role_granted", principal, tenant=tenant, role=role.value, source=source.value)
        return True

    def revoke(self, principal: str, tenant: str, role: Role, source: RoleSource = RoleSource.LOCAL) -> bool:
        """False where the person did not have it from this source. Holds from the next request on."""
        require_account(self.connection, principal)
        key = {"principal": principal, "tenant": tenant, "role": role.value, "source": source.value}
        if not self.connection.execute(delete(account_role).filter_by(**key)).rowcount:
            return False
        self.record("role_revoked", principal, tenant=tenant, role=role.value, source=source.value)
        return True

    def roles_from(self, principal: str, source: RoleSource) -> frozenset[tuple[str, Role]]:
        """(tenant, role) of all that the person has from this source."""
        rows = self.connection.execute(
            select(account_role.c.tenant, account_role.c.role).filter_by(principal=principal, source=source.value)
        )
        return frozenset((tenant, _ROLES[name]) for tenant, name in rows if name in _ROLES)

    def disable(self, principal: str) -> bool:
        """Ends the person's sessions and tokens at once. False where it is disabled."""
        if not require_account(self.connection, principal).is_enabled:
            return False
        self.connection.execute(update(account).where(account.c.principal == principal).values(disabled_us=self.at_us))
        self.end_sessions(principal)
        self.end_links(principal)
        self.record("account_disabled", principal)
        return True

    def enable(self, principal: str) -> bool:
        """False where it is enabled. Sessions do not come back; tokens that have not expired do."""
        if require_account(self.connection, principal).is_enabled:
            return False
        self.connection.execute(
            update(account)
            .where(account.c.principal == principal)
            .values(disabled_us=None, failed_count=0, locked_until_us=None)
        )
        self.record("account_enabled", principal)
        return True

    def end_sessions(self, principal: str) -> None:
        self.connection.execute(
            update(login_session)
            .where(login_session.c.principal == principal, login_session.c.revoked_us.is_(None))
            .values(revoked_us=self.at_us)
        )

    def end_links(self, principal: str) -> None:
        self.connection.execute(
            update(login_link)
            .where(login_link.c.principal == principal, login_link.c.used_us.is_(None))
            .values(used_us=self.at_us)
        )

    def record(self, event: str, principal: str, *, tenant: str | None = None, **facts: JsonValue) -> None:
        """Note a change for the ledger of ``tenant``, or of the one that the changes are made from."""
        self._decisions[tenant or self._tenant].append(
            Decision(
                CONTROL,
                "principal",
                {"event": event, "principal": principal, "by": self._by, **facts},
                SpanName.PRINCIPAL,
                self.at_us,
                self.at_us,
                attributes={SpanAttribute.PRINCIPAL: self._by},
            )
        )

    def write_ledger(self) -> None:
        # In the order of the tenants, so that two transactions never lock two chains in opposite orders.
        for tenant in sorted(self._decisions):
            record_decisions(self.connection, tenant, self._decisions[tenant])

    def _insert(self, principal: str, display_name: str) -> None:
        try:
            with self.connection.begin_nested():
                self.connection.execute(
                    insert(account).values(
                        principal=principal,
                        display_name=display_name,
                        password_hash=None,
                        created_us=self.at_us,
                        disabled_us=None,
                        failed_count=0,
                        locked_until_us=None,
                    )
                )
        except IntegrityError:
            raise ConflictError(f"there is an account {principal!r} already") from None
        self.record("account_created", principal)

    def _faults(self, principal: str, display_name: str) -> Iterator[str]:
        if not PRINCIPAL.fullmatch(principal) or principal != principal.lower():
            yield (
                f"principal {principal[:64]!r} is not an account's name; expected lower-case letters, digits and "
                ". _ @ : + - (64 at most), so that one person has one spelling"
            )
        for reserved, whose in ((LOCAL, "users of this machine"), (OIDC, "people from the identity provider")):
            if principal.startswith(reserved):
                yield f"principals that begin with {reserved!r} are {whose}; choose another name"
        if not 1 <= len(display_name) <= MAX_DISPLAY_NAME or not display_name.isprintable():
            yield f"the display name has 1 to {MAX_DISPLAY_NAME} printable characters"
        holder = select(api_token.c.id).where(
            func.lower(api_token.c.principal) == principal, api_token.c.kind != PrincipalKind.PERSON.value
        )
        if self.connection.execute(holder.limit(1)).first() is not None:
            yield f"principal {principal!r} has tokens of a service or an agent; a person needs a name of their own"


@contextmanager
def changing_accounts(store: Store, tenant: str, by: str, *, now: int | None = None) -> Iterator[AccountChanges]:
    """One transaction of changes that ``by`` makes, and their ledger entries at its end."""
    with store.write() as connection:
        changes = AccountChanges(connection, tenant, by, now_us() if now is None else now)
        yield changes
        changes.write_ledger()


def _roles(connection: Connection, principal: str | None = None) -> dict[str, dict[str, frozenset[Role]]]:
    query = select(account_role.c.principal, account_role.c.tenant, account_role.c.role)
    if principal is not None:
        query = query.where(account_role.c.principal == principal)
    found: dict[str, dict[str, frozenset[Role]]] = defaultdict(dict)
    for whose, tenant, name in connection.execute(query):
        # A role that this version does not know allows nothing.
        if name in _ROLES:
            found[whose][tenant] = found[whose].get(tenant, frozenset()) | {_ROLES[name]}
    return found


# SQLAlchemy's rows are untyped; the column types of the schema hold.
def _account(row: Row[tuple[object, ...]], roles: Mapping[str, frozenset[Role]]) -> Account:
    values = row._mapping
    return Account(
        principal=values["principal"],
        display_name=values["display_name"],
        has_password=values["password_hash"] is not None,
        created_us=values["created_us"],
        disabled_us=values["disabled_us"],
        locked_until_us=values["locked_until_us"],
        roles=roles,
    )
