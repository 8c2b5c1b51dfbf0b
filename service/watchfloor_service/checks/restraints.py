"""What holds actions back just now, in every tenant: kill switches, freezes, and people who have not decided."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from watchfloor_core.clock import MICROSECONDS, now_us, to_iso
from watchfloor_core.settings import Settings
from watchfloor_core.store.schema_authority import action_proposal, freeze
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_guardrails.switches import ALL
from watchfloor_service.checks.looking import existing_store
from watchfloor_service.doctor import Finding, Health
from watchfloor_workflows.authority.freezes import list_freezes
from watchfloor_workflows.authority.kill_switch import list_switches, read_switches
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.sealing import terms_of

SHOWN: Final = 5
"""So many of a kind are named."""
LOOKED_AT: Final = 1000
"""Of proposals that wait: those whose deadlines come first."""


def kill_switches(settings: Settings) -> Finding:
    """A switch that was thrown and forgotten looks like a product that does nothing."""
    with existing_store(settings) as store:
        if store is None:
            return Finding(Health.OK, "none was ever thrown")
        with store.read() as connection:
            read_switches(connection, (ALL,))
            engaged = [one for one in list_switches(connection) if one.is_engaged]
    if not engaged:
        return Finding(Health.OK, "none is engaged")
    said = some([f"{one.scope} since {to_iso(one.changed_us)} by {one.changed_by}: {one.reason}" for one in engaged])
    return Finding(Health.WARN, said, "`watchfloor kill release SCOPE` when what it was for is over")


def freezes(settings: Settings) -> Finding:
    """Action classes that wait for somebody to look at a target."""
    with existing_store(settings) as store:
        if store is None:
            return Finding(Health.OK, "none in force")
        with store.read() as connection:
            tenants = connection.scalars(
                select(freeze.c.tenant).distinct().where(freeze.c.lifted_us.is_(None)).order_by(freeze.c.tenant)
            ).all()
            found = [(tenant, one) for tenant in tenants for one in list_freezes(connection, tenant)]
    if not found:
        return Finding(Health.OK, "none in force")
    said = some(
        [f"{tenant}: {one.action_class} since {to_iso(one.since_us)} ({one.proposal_id})" for tenant, one in found]
    )
    return Finding(
        Health.WARN,
        said,
        "look at the targets (`watchfloor action show ID`), then `watchfloor action lift-freeze CLASS`",
    )


def approvals(settings: Settings) -> Finding:
    """People who are asked, and those of them whose time is half over: at the deadline nothing is done."""
    with existing_store(settings) as store:
        if store is None:
            return Finding(Health.OK, "nothing waits")
        with store.read() as connection:
            waiting = _waiting(connection)
    if not waiting:
        return Finding(Health.OK, "nothing waits")
    late = [one for one in waiting if _is_half_over(one, now_us())]
    counted = f"{len(waiting)} wait" + (", or more" if len(waiting) == LOOKED_AT else "")
    if not late:
        return Finding(Health.OK, f"{counted}, none past half of its time")
    named = some([f"{one.tenant}: {one.id} until {to_iso(one.deadline_us or 0)}" for one in late])
    return Finding(
        Health.INFO,
        f"{counted}, {len(late)} past half of its time: {named}",
        "`watchfloor approvals list` in the tenant",
    )


def _waiting(connection: Connection) -> list[StoredProposal]:
    ids = connection.execute(
        select(action_proposal.c.tenant, action_proposal.c.id)
        .where(action_proposal.c.status == ProposalStatus.WAITING.value)
        .order_by(action_proposal.c.deadline_us, action_proposal.c.id)
        .limit(LOOKED_AT)
    ).all()
    return [read_proposal(connection, tenant, proposal_id) for tenant, proposal_id in ids]


def _is_half_over(stored: StoredProposal, at_us: int) -> bool:
    terms = terms_of(stored)
    return terms is not None and 2 * (terms.deadline_us - at_us) < terms.wait_s * MICROSECONDS


def some(lines: list[str]) -> str:
    """A few of them in one line, and how many more there are."""
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return escape_untrusted("; ".join(lines[:SHOWN])) + more
