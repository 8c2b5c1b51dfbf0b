"""What people are now, from the store: whoever lost a role, or was shut out, moves nothing by what they were.

The caller's word for a voter's roles is as old as the request that brought it; a signature may be hours old when the
last of several comes in. Both are held against the accounts of this moment. Whoever has no account has what their token
amounts to, which nothing here can look up.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Label, Row, bindparam, func, select

from watchfloor_core.store.schema_identity import account, account_role

SEPARATOR: Final = ","
"""Between roles; the name of none holds one."""
_ACCOUNT: Final = (
    select(account.c.disabled_us, account_role.c.role)
    .select_from(account)
    .outerjoin(
        account_role,
        (account_role.c.principal == account.c.principal) & (account_role.c.tenant == bindparam("tenant")),
    )
    .where(account.c.principal == bindparam("principal"))
)


def standing_of(principal: ColumnElement[str]) -> tuple[Label[str | None], Label[int | None], Label[str | None]]:
    """Columns that tell beside a row what its principal is now, for `held_now`; the caller binds ``tenant``."""
    of_principal = account.c.principal == principal
    roles = select(func.aggregate_strings(account_role.c.role, SEPARATOR)).where(
        account_role.c.principal == principal, account_role.c.tenant == bindparam("tenant")
    )
    return (
        select(account.c.principal).where(of_principal).scalar_subquery().label("account"),
        select(account.c.disabled_us).where(of_principal).scalar_subquery().label("disabled_us"),
        roles.scalar_subquery().label("roles_now"),
    )


def held_now(row: Row[Any], claimed: Collection[str]) -> tuple[str, ...]:
    """`roles_still_held` from the columns of `standing_of`."""
    if row.account is None:
        return tuple(sorted(set(claimed)))
    if row.disabled_us is not None:
        return ()
    return tuple(sorted(set(claimed) & set((row.roles_now or "").split(SEPARATOR))))


def roles_still_held(connection: Connection, tenant: str, principal: str, claimed: Collection[str]) -> tuple[str, ...]:
    """Those of the claimed roles that the person has now, sorted; none where their account is disabled."""
    rows = connection.execute(_ACCOUNT, {"tenant": tenant, "principal": principal}).all()
    if not rows:
        return tuple(sorted(set(claimed)))
    if rows[0].disabled_us is not None:
        return ()
    return tuple(sorted(set(claimed) & {row.role for row in rows}))
