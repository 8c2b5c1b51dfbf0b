"""``watchfloor account``: who may sign in, with which roles."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated

import typer

from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.roles import Role
from watchfloor_service.access.accounts import (
    Account,
    AccountChanges,
    changing_accounts,
    list_accounts,
    load_account,
    require_account,
)
from watchfloor_service.access.login_links import link_address, make_link
from watchfloor_service.access.oidc_sign_in import link_identity
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at
from watchfloor_service.supervision.running import find_running

app = typer.Typer(no_args_is_help=True, help="Manage people's accounts and their roles.")

PrincipalArgument = Annotated[str, typer.Argument(metavar="PRINCIPAL", help="The account's name.")]
RoleArgument = Annotated[Role, typer.Argument(help="The role, in the tenant.")]


@app.command()
def create(
    principal: PrincipalArgument,
    role: Annotated[list[Role], typer.Option("--role", "-r", help="A role in the tenant; several may be given.")],
    display_name: Annotated[str | None, typer.Option("--name", help="As people read it.", show_default=False)] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an account and print the one-time link by which its owner sets the password."""
    with answering(), at(tenant, makes_store=True) as place:
        with _changes(place) as changes:
            changes.create(principal, display_name or principal)
            for one in role:
                changes.grant(principal, place.tenant, one)
            token = make_link(changes, principal)
        _print_link(place, principal, token, as_json=as_json)


@app.command("login-link")
def login_link(principal: PrincipalArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Print a new one-time link, good for a day; earlier ones end. It also opens an account that guessing locked."""
    with answering(), at(tenant) as place:
        with _changes(place) as changes:
            token = make_link(changes, principal)
        _print_link(place, principal, token, as_json=as_json)


@app.command("list")
def list_(
    tenant: TenantOption = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Those without a role here too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the accounts with a role in the tenant."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            accounts = list_accounts(connection, None if all_tenants else place.tenant)
        if as_json:
            print_json([_shown(one) for one in accounts])
        elif not accounts:
            print_empty(
                f"Tenant {place.tenant} has no accounts. Make one with\n"
                "  watchfloor account create ana --role analyst --name 'Ana Example'"
            )
        else:
            print_table(
                ["principal", "name", "roles", "state"],
                [[a.principal, a.display_name, _roles(a, place, all_tenants), _state(a)] for a in accounts],
            )


@app.command()
def disable(principal: PrincipalArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """End a person's sessions at once, and let neither them nor their tokens in any more."""
    with answering(), at(tenant) as place:
        with _changes(place) as changes:
            changed = changes.disable(principal)
        _print_change(place, principal, f"{principal} is disabled.", changed=changed, as_json=as_json)


@app.command()
def enable(principal: PrincipalArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Let a disabled account in again, with the password it had."""
    with answering(), at(tenant) as place:
        with _changes(place) as changes:
            changed = changes.enable(principal)
        _print_change(place, principal, f"{principal} is enabled.", changed=changed, as_json=as_json)


@app.command("grant-role")
def grant_role(
    principal: PrincipalArgument, role: RoleArgument, tenant: TenantOption = None, as_json: JsonOption = False
) -> None:
    """Give a person a role in the tenant; it holds from their next request on."""
    with answering(), at(tenant) as place:
        with _changes(place) as changes:
            changed = changes.grant(principal, place.tenant, role)
        message = f"{principal} is {role.value} in tenant {place.tenant}."
        _print_change(place, principal, message, changed=changed, as_json=as_json)


@app.command("revoke-role")
def revoke_role(
    principal: PrincipalArgument, role: RoleArgument, tenant: TenantOption = None, as_json: JsonOption = False
) -> None:
    """Take a role in the tenant away that was granted here; it is gone from the next request on."""
    with answering(), at(tenant) as place:
        with _changes(place) as changes:
            changed = changes.revoke(principal, place.tenant, role)
        message = f"{principal} is not {role.value} in tenant {place.tenant} by a grant made here."
        _print_change(place, principal, message, changed=changed, as_json=as_json)


@app.command("link-identity")
def link_identity_(
    principal: PrincipalArgument,
    subject: Annotated[str, typer.Option("--subject", help="The identity provider's `sub` of the person.")],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a person sign in to an account by the identity provider of the settings."""
    with answering(), at(tenant) as place:
        issuer = place.settings.oidc_issuer
        if issuer is None:
            raise ConfigurationError("no identity provider is set; set WATCHFLOOR_OIDC_ISSUER")
        with _changes(place) as changes:
            require_account(changes.connection, principal)
            link_identity(changes, principal, issuer, subject)
        message = f"{subject} of {issuer} signs in as {principal}."
        _print_change(place, principal, message, changed=True, as_json=as_json)


def _changes(place: Place) -> AbstractContextManager[AccountChanges]:
    return changing_accounts(place.store, place.tenant, local_principal())


def _print_link(place: Place, principal: str, token: str, *, as_json: bool) -> None:
    stack = find_running(place.settings.data_dir)
    base = stack.api_url if stack is not None and stack.api_url is not None else None
    address = link_address(base or f"http://{place.settings.api_host}:{place.settings.api_port}", token)
    if as_json:
        print_json({"principal": principal, "link": address})
        return
    print(address)
    # Standard error, so that the link alone can be piped on.
    typer.echo(
        f"Whoever opens it first within a day sets the password of {principal}. It is not shown again. Behind a proxy, "
        "put the address that people use in front of /v1.",
        err=True,
    )


def _print_change(place: Place, principal: str, message: str, *, changed: bool, as_json: bool) -> None:
    if as_json:
        with place.store.read() as connection:
            found = load_account(connection, principal)
        print_json({"changed": changed, "account": None if found is None else _shown(found)})
    else:
        console().print(message if changed else f"{message} Nothing changed.")


def _roles(found: Account, place: Place, all_tenants: bool) -> str:
    if not all_tenants:
        return " ".join(sorted(found.roles[place.tenant]))
    return ", ".join(f"{tenant}: {' '.join(sorted(roles))}" for tenant, roles in sorted(found.roles.items())) or "none"


def _state(found: Account) -> str:
    if found.disabled_us is not None:
        return f"disabled {to_iso(found.disabled_us)}"
    if found.locked_until_us is not None and found.locked_until_us > now_us():
        return f"locked until {to_iso(found.locked_until_us)}"
    return "enabled" if found.has_password else "no password yet"


def _shown(found: Account) -> dict[str, object]:
    return {
        "principal": found.principal,
        "display_name": found.display_name,
        "has_password": found.has_password,
        "created_at": to_iso(found.created_us),
        "disabled_at": None if found.disabled_us is None else to_iso(found.disabled_us),
        "locked_until": None if found.locked_until_us is None else to_iso(found.locked_until_us),
        "roles": {tenant: sorted(roles) for tenant, roles in sorted(found.roles.items())},
    }
