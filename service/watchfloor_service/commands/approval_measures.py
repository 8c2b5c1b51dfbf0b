"""``watchfloor approvals decoy`` and ``measures``: whether people read what they approve."""

from __future__ import annotations

import random
from typing import Annotated, Final

import typer

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import RefusedError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.roles import Role
from watchfloor_service.actions.approval_measures import ApproverMeasures, measure_approvers
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json, print_table
from watchfloor_service.commands.person import Me, TokenOption, whoever
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_workflows.authority.decoys import plant_decoys
from watchfloor_workflows.policy import PolicyFile

DAY_US: Final = 86_400 * MICROSECONDS
_PLANT: Final = frozenset({Role.LEAD, Role.ADMIN})
_SEE_ALL: Final = frozenset({Role.LEAD, Role.ADMIN, Role.AUDITOR})


def decoy(
    incident: Annotated[str, typer.Option("--incident", help="An open incident that is believed to be an attack.")],
    count: Annotated[int, typer.Option("--count", help="So many.", min=1, max=5)] = 1,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Plant proposals that a careful person denies. They look like the agent's, and are never carried out."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        if not me.caller.roles & _PLANT:
            raise RefusedError("a lead or an admin plants decoys; who is measured by them does not")
        policy = PolicyFile(place.settings, place.store).current()
        with place.store.write() as connection:
            made = plant_decoys(
                connection, place.tenant, incident, count, me.caller.principal, policy, random.SystemRandom()
            )
        if as_json:
            print_json({"decoys": [{"proposal_id": one, "target": value} for one, value in made]})
            return
        for proposal_id, value in made:
            console().print(f"{proposal_id} deny ip {quote_untrusted(value)}", markup=False, soft_wrap=True)
        console().print("The right answer is no. Tell nobody; `watchfloor approvals measures` shows who said what.")


def measures(
    principal: Annotated[str | None, typer.Option("--principal", help="Of this person only.")] = None,
    days: Annotated[int, typer.Option("--days", help="Back from now.", min=1, max=3650)] = 90,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how people decide: how often, how fast, and what they said to decoys. Everyone sees their own."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        with place.store.read() as connection:
            found = measure_approvers(connection, place.tenant, now_us() - days * DAY_US, _whose(me, principal))
    if as_json:
        print_json({"days": days, "approvers": found})
    elif found:
        headers = ["who", "decided", "yes", "no", "median s", "under 10 s", "decoys right", "wrong"]
        print_table(headers, [_line(one) for one in found], right=headers[1:])
    else:
        print_empty(f"Nobody decided on anything in the last {days} days.")


def register(app: typer.Typer) -> None:
    """Add both to ``watchfloor approvals``."""
    app.command()(decoy)
    app.command()(measures)


def _whose(me: Me, principal: str | None) -> str | None:
    if me.caller.roles & _SEE_ALL:
        return principal
    if principal not in (None, me.caller.principal):
        raise RefusedError("a lead, an admin or an auditor sees how others decide")
    return me.caller.principal


def _line(one: ApproverMeasures) -> list[object]:
    return [
        one.principal,
        one.decisions,
        one.approvals,
        one.denials,
        None if one.median_seconds is None else f"{one.median_seconds:.0f}",
        None if one.share_under_10_s is None else f"{one.share_under_10_s:.0%}",
        one.decoys_right,
        one.decoys_wrong,
    ]
