"""``watchfloor action``: what was proposed and done; propose, undo or edit as yourself; lift a freeze.

Looking reads the store; everything else goes through the API of the running stack.
"""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

import typer

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.ports import Json
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_service.actions.detail import load_action
from watchfloor_service.actions.listing import MAX_PAGE, list_actions
from watchfloor_service.commands.action_page import print_action, print_actions
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json
from watchfloor_service.commands.person import TokenOption, whoever
from watchfloor_service.commands.place import JsonOption, TenantOption, at, command
from watchfloor_workflows.authority.freezes import list_freezes

app = typer.Typer(no_args_is_help=True, help="See what was done; propose, undo and edit actions.")

ProposalArgument = Annotated[str, typer.Argument(metavar="ID", help="act-…, as `action list` shows it.")]
ArgumentOption = Annotated[
    list[str] | None,
    typer.Option("--arg", "-a", help="NAME=VALUE for the tool; several may be given. Digits are a number."),
]
LeaseOption = Annotated[
    int | None, typer.Option("--lease", min=1, help="Seconds until it is taken back by itself.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the ledger.")]
_WORDS: Final = {"true": True, "false": False}


@app.command("list")
def list_(
    status: Annotated[list[ProposalStatus] | None, typer.Option(help="Several may be given; none: all.")] = None,
    incident: Annotated[str | None, typer.Option(help="Of this incident only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE)] = 20,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before, as --json gives it.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """List actions, the newest first, and what is frozen."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            try:
                page = list_actions(
                    connection, place.tenant, statuses=status or (), incident_id=incident, limit=limit, cursor=cursor
                )
            except ValueError as error:
                raise ConfigurationError(str(error)) from error
            frozen = list_freezes(connection, place.tenant)
        if as_json:
            print_json({"actions": page.actions, "next": page.next, "freezes": frozen})
            return
        for one in frozen:
            print_empty(f"FROZEN: {one.action_class}, because of {one.proposal_id}; `watchfloor action lift-freeze`")
        print_actions(page.actions)
        if page.next:
            print_empty(f"There are more: --limit, or --cursor {page.next}")
        if not page.actions:
            print_empty(f"Tenant {place.tenant} has no such action; `watchfloor action propose` makes one.")


@app.command()
def show(proposal_id: ProposalArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Show an action: what was sealed, every rule, who agreed, what was done and what was read back."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = load_action(connection, place.tenant, proposal_id)
        if as_json:
            print_json(found)
        else:
            print_action(found)


@app.command()
def propose(
    action_class: Annotated[str, typer.Argument(metavar="CLASS", help="E.g. 'deny ip' or 'disable user'.")],
    target: Annotated[str, typer.Argument(metavar="TARGET", help="KIND:VALUE, e.g. ip:198.51.100.7.")],
    incident: Annotated[str, typer.Option("--incident", "-i", help="The incident that it is for.")],
    purpose: Annotated[str, typer.Option("--purpose", "-m", help="Why, in your words.")],
    tool: Annotated[str | None, typer.Option(help="The configured tool; default: the tenant's.")] = None,
    argument: ArgumentOption = None,
    lease: LeaseOption = None,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose an action. The policy decides whether people are asked; you never approve what you proposed."""
    kind, separator, value = target.partition(":")
    if not separator or kind not in set(TargetKind) or not value:
        expected = f"KIND:VALUE with one of the kinds {', '.join(TargetKind)}, such as ip:198.51.100.7"
        raise typer.BadParameter(f"{target!r} is no target; expected {expected}", param_hint="TARGET")
    body: dict[str, Json] = {
        "incident_id": incident,
        "action_class": action_class,
        "target": {"kind": kind, "value": value},
        "purpose": purpose,
        "arguments": _arguments(argument or []),
    }
    if tool is not None:
        body["tool"] = tool
    if lease is not None:
        body["lease_s"] = lease
    _send("/v1/actions", body, token_file, tenant, as_json=as_json)


@app.command()
def undo(
    proposal_id: ProposalArgument,
    purpose: Annotated[str, typer.Option("--purpose", "-m", help="Why, in your words.")],
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Propose to take an action back before its time."""
    _send(f"{_path(proposal_id)}/undo", {"purpose": purpose}, token_file, tenant, as_json=as_json)


@app.command()
def edit(
    proposal_id: ProposalArgument,
    reason: Reason,
    target: Annotated[str | None, typer.Option(help="Another value of the same kind.")] = None,
    argument: ArgumentOption = None,
    lease: LeaseOption = None,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a changed proposal in the place of one that waits, which is voided with its approvals."""
    body: dict[str, Json] = {"reason": reason}
    if target is not None:
        body["target"] = target
    if argument:
        body["arguments"] = _arguments(argument)
    if lease is not None:
        body["lease_s"] = lease
    _send(f"{_path(proposal_id)}/edit", body, token_file, tenant, as_json=as_json)


@app.command("lift-freeze")
def lift_freeze(
    action_class: Annotated[str, typer.Argument(metavar="CLASS", help="E.g. 'deny ip'.")],
    reason: Reason,
    of: Annotated[
        list[str] | None, typer.Option("--of", help="A proposal whose target you looked at; default: all.")
    ] = None,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let an action class run again, once you have looked at what an unknown outcome left behind."""
    body: dict[str, Json] = {"reason": reason}
    if of:
        body["proposal_ids"] = list(of)
    with answering(), at(tenant) as place:
        path = f"/v1/freezes/{quote(action_class, safe='')}/lift"
        answer = whoever(place, token_file).api().post(path, body)
        if as_json:
            print_json(answer)
        else:
            console().print(f"{action_class} runs again in tenant {place.tenant}.")


def _send(path: str, body: dict[str, Json], token_file: TokenOption, tenant: str | None, *, as_json: bool) -> None:
    with answering(), at(tenant) as place:
        answer = whoever(place, token_file).api().post(path, body)
        if as_json:
            print_json(answer)
        else:
            fresh = answer["proposal_id"]
            look = command(place.settings, place.tenant, f"action show {fresh}")
            console().print(f"Proposed as {fresh}; `{look}` says what becomes of it.", soft_wrap=True)


def _arguments(given: list[str]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not separator:
            raise typer.BadParameter(f"{one!r} is not NAME=VALUE")
        is_number = value.isascii() and value.isdigit() and len(value) < 16
        found[name] = int(value) if is_number else _WORDS.get(value, value)
    return found


def _path(proposal_id: str) -> str:
    return f"/v1/actions/{quote(proposal_id, safe='')}"
