"""The key that a person signs with at the command line."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from watchfloor_core.dsse import Signer
from watchfloor_core.keys.approver import key_folder, key_path, load_approver_key, only_key
from watchfloor_core.ports import Json
from watchfloor_guardrails.approval import STATEMENT_TYPE
from watchfloor_guardrails.assertion import message_of

KeyOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Name or file of the key to sign with; default: the one called default, or the only one.",
        show_default=False,
    ),
]


def signing_key(named: str | None) -> Signer:
    """The key, its passphrase asked where it has one. Raises what `load_approver_key` and `only_key` raise."""
    path = key_file(named)
    return load_approver_key(path, lambda: str(typer.prompt(f"Passphrase of {path}", hide_input=True, err=True)))


def key_file(named: str | None) -> Path:
    """Where the key is: a name stands for the file of that name among the person's keys."""
    if named is None:
        return only_key(key_folder())
    is_path = "/" in named or named.endswith(".pem")
    return Path(named).expanduser() if is_path else key_path(named, key_folder())


def assertion_by(signer: Signer, statement: bytes, payload_type: str = STATEMENT_TYPE) -> dict[str, Json]:
    """The signature, as the API takes it."""
    signature = signer.key.sign(message_of(statement, payload_type))
    return {"signature": base64.b64encode(signature).decode()}
