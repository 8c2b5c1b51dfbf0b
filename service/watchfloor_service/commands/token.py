"""``watchfloor token``: make and revoke tokens for the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from watchfloor_core.clock import MICROSECONDS, now_us, to_iso
from watchfloor_core.errors import ConfigurationError
from watchfloor_service.access.tokens import (
    DEFAULT_DAYS,
    LOCAL,
    MAX_DAYS,
    PrincipalKind,
    Scope,
    Token,
    create_token,
    list_tokens,
    revoke_token,
)
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, TenantOption, at

app = typer.Typer(no_args_is_help=True, help="Make and revoke tokens for the API.")


@app.command()
def create(
    principal: Annotated[
        str, typer.Option("--principal", "-p", help="Who will use it, e.g. edge-siem or ana@example.org.")
    ],
    scope: Annotated[list[Scope], typer.Option("--scope", "-s", help="What it may be used for; several may be given.")],
    kind: Annotated[PrincipalKind, typer.Option(help="Only a person decides on incidents.")] = PrincipalKind.SERVICE,
    days: Annotated[int, typer.Option(help=f"How long it lives, {MAX_DAYS} at most.")] = DEFAULT_DAYS,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token and print it: now and never again, for only its hash is kept."""
    with answering(), at(tenant, makes_store=True) as place:
        if principal.startswith(LOCAL):
            raise ConfigurationError(
                f"principals that begin with {LOCAL!r} are users of this machine; choose another name"
            )
        with place.store.write() as connection:
            issued = create_token(connection, place.tenant, principal, kind, scope, days=days)
        if as_json:
            print_json({"token": issued.text, **_shown(issued.token)})
            return
        print(issued.text)
        # Standard error, so that the token alone can be piped on.
        typer.echo(
            f"Token {issued.token.id} of tenant {place.tenant} for {principal}, good until "
            f"{to_iso(issued.token.expires_us)}. It is not shown again.",
            err=True,
        )


@app.command("list")
def list_(tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """List tokens: whose they are and until when. Their secrets are not kept."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            tokens = list_tokens(connection, place.tenant)
        if as_json:
            print_json([_shown(token) for token in tokens])
        elif not tokens:
            print_empty(
                f"Tenant {place.tenant} has no tokens. Make one with\n"
                "  watchfloor token create --principal edge-siem --scope alerts:write"
            )
        else:
            print_table(
                ["id", "principal", "kind", "scopes", "expires", "state"],
                [
                    [t.id, t.principal, t.kind.value, " ".join(sorted(t.scopes)), to_iso(t.expires_us), _state(t)]
                    for t in tokens
                ],
            )


@app.command()
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="The token's id, as `token list` shows it.")],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a token's life at once."""
    with answering(), at(tenant) as place:
        with place.store.write() as connection:
            token = revoke_token(connection, place.tenant, identifier)
        if as_json:
            print_json(_shown(token))
        else:
            console().print(f"Token {token.id} of {token.principal} is revoked.")


def _state(token: Token) -> str:
    if token.revoked_us is not None:
        return f"revoked {to_iso(token.revoked_us)}"
    left_us = token.expires_us - now_us()
    if left_us <= 0:
        return "expired"
    return f"live, {timedelta(seconds=left_us // MICROSECONDS).days} days left"


def _shown(token: Token) -> dict[str, object]:
    return {
        "id": token.id,
        "tenant": token.tenant,
        "principal": token.principal,
        "kind": token.kind.value,
        "scopes": sorted(scope.value for scope in token.scopes),
        "created_at": to_iso(token.created_us),
        "expires_at": to_iso(token.expires_us),
        "revoked_at": None if token.revoked_us is None else to_iso(token.revoked_us),
    }
