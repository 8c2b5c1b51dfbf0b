"""``watchfloor keys new|show|revoke``: the keys with which people sign approvals."""

from __future__ import annotations

import base64
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from watchfloor_core.clock import to_iso
from watchfloor_core.dsse import Signer
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.keys.approver import key_folder, key_path, make_approver_key
from watchfloor_core.ports import Json
from watchfloor_guardrails.assertion import KeyKind
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.enrolment import STATEMENT_TYPE, possession_statement, vouching_statement
from watchfloor_service.access.approver_keys import (
    HeldKey,
    list_keys,
    proven_ed25519,
    register_key,
    revoke_key,
    sign_in_age_s,
)
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json, print_table
from watchfloor_service.commands.person import Me, TokenOption, signed_in, whoever
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at
from watchfloor_service.commands.signing_key import assertion_by, signing_key


def add_commands(app: typer.Typer) -> None:
    """Put these beside the commands for the installation's own keys."""
    app.command("new")(new)
    app.command("show")(show)
    app.command("revoke")(revoke)


def new(
    name: Annotated[str, typer.Option(help="What the key is called here, and in the list of your keys.")] = "default",
    out: Annotated[
        Path | None,
        typer.Option(help="Its file; default: NAME.pem in ~/.config/watchfloor/keys.", show_default=False),
    ] = None,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Leave the file unencrypted, for automation.")
    ] = False,
    vouched_by: Annotated[
        str | None,
        typer.Option(help="Name or file of a key that you have, to sign for the new one.", show_default=False),
    ] = None,
    sign_in: Annotated[
        str | None,
        typer.Option(help="Your account: you are asked for its password first.", show_default=False),
    ] = None,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key to sign approvals with, and register its public half as yours."""
    with answering(), at(tenant, makes_store=True) as place, _person(place, sign_in, token_file) as me:
        path = key_path(name, key_folder()) if out is None else out.expanduser().absolute()
        if path.exists():
            # Before anybody types a passphrase twice for nothing.
            raise ConfigurationError(f"there is a key in {str(path)!r} already; give another --name or --out")
        voucher = None if vouched_by is None else signing_key(vouched_by)
        if no_passphrase:
            typer.echo(f"watchfloor: without a passphrase, whoever can read {path} can approve as you", err=True)
        signer = make_approver_key(path, None if no_passphrase else _new_passphrase())
        try:
            shown = _register(me, signer, name, voucher)
        except BaseException:
            # A key that nobody knows of is of no use, and would be in the way of the next attempt.
            path.unlink(missing_ok=True)
            raise
        if as_json:
            print_json({**shown, "file": str(path)})
        else:
            console().print(f"Key {signer.key_id} of {me.caller.principal} signs approvals from now on.")
            console().print(f"It is in {path}; keep that file to yourself.")


def show(token_file: TokenOption = None, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """List the keys that you sign approvals with, passkeys and revoked ones too."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        with place.store.read() as connection:
            held = list_keys(connection, me.caller.principal)
        if as_json:
            print_json([_shown(one) for one in held])
        elif held:
            print_table(
                ["id", "kind", "name", "made", "state"],
                [
                    [one.key.key_id, one.key.kind.value, one.label, to_iso(one.key.created_us)[:10], _state(one)]
                    for one in held
                ],
                whole=["id"],
            )
        else:
            print_empty(f"{me.caller.principal} has no key to approve with; `watchfloor keys new` makes one.")


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `keys show` lists it.")],
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key, at once and for good. What it signed before stays verifiable."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        # Whoever owns the store ends anyone's key: one was lost, or somebody has left.
        owner = None if token_file is None else me.caller.principal
        with place.store.write() as connection:
            ended = revoke_key(connection, place.tenant, key_id, by=me.caller.principal, owner=owner)
        if as_json:
            print_json(_shown(ended))
        else:
            console().print(f"Key {ended.key.key_id} of {ended.key.principal} signs nothing more.")


def _register(me: Me, signer: Signer, label: str, voucher: Signer | None) -> dict[str, object]:
    principal, raw = me.caller.principal, signer.public_key.public_bytes_raw()
    said = possession_statement(principal, KeyKind.ED25519, signer.key_id)
    proof = assertion_by(signer, said, STATEMENT_TYPE)
    if me.token is None:
        place = me.place
        owns_store = me.caller.principal == local_principal()
        new_key = proven_ed25519(principal, raw, proof, label)
        with place.store.write() as connection:
            person = Principal(principal, me.caller.kind)
            age_s = sign_in_age_s(connection, me.caller)
            held = register_key(connection, place.tenant, person, new_key, sign_in_age_s=age_s, owns_store=owns_store)
            return _shown(held)
    body: dict[str, Json] = {
        "kind": KeyKind.ED25519.value,
        "public_key": base64.b64encode(raw).decode(),
        "proof": proof,
        "label": label,
    }
    if voucher is not None:
        vouched = vouching_statement(principal, KeyKind.ED25519, signer.key_id)
        body["voucher"] = {"key_id": voucher.key_id, "assertion": assertion_by(voucher, vouched, STATEMENT_TYPE)}
    return dict(me.api().post("/v1/approver-keys", body))


def _person(place: Place, sign_in: str | None, token_file: Path | None) -> AbstractContextManager[Me]:
    if sign_in is None:
        return nullcontext(whoever(place, token_file))
    return signed_in(place, sign_in, str(typer.prompt(f"Password of {sign_in}", hide_input=True, err=True)))


def _new_passphrase() -> str:
    return str(typer.prompt("Passphrase for the new key", hide_input=True, confirmation_prompt=True, err=True))


def _state(held: HeldKey) -> str:
    return "live" if held.key.revoked_us is None else f"revoked {to_iso(held.key.revoked_us)[:10]}"


def _shown(held: HeldKey) -> dict[str, object]:
    key = held.key
    return {
        "key_id": key.key_id,
        "principal": key.principal,
        "kind": key.kind.value,
        "label": held.label,
        "public_key": base64.b64encode(key.public_key).decode(),
        "created_at": to_iso(key.created_us),
        "revoked_at": None if key.revoked_us is None else to_iso(key.revoked_us),
    }
