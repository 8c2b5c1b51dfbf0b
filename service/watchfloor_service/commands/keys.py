"""``watchfloor keys``: the keys of this installation, listed and rotated; none is ever printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_core.keys.payload import PayloadKeyRing, format_ring, parse_ring
from watchfloor_core.keys.payload_file import change_ring, ring_file
from watchfloor_core.keys.private_file import create_private
from watchfloor_core.keys.sources import PrivateFile, SecretSource
from watchfloor_core.settings import Settings
from watchfloor_service.commands.approver_key_commands import add_commands
from watchfloor_service.commands.outcome import answering, console, print_json, print_table
from watchfloor_service.commands.place import JsonOption
from watchfloor_service.invocation import current_settings

app = typer.Typer(no_args_is_help=True, help="Make keys to approve with; list and rotate those of this installation.")
add_commands(app)

OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Leave the ring as it is and write the rotated one to this new file, to be put into a secret store.",
        show_default=False,
        dir_okay=False,
    ),
]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the keys that payloads in Temporal are encrypted with, by id."""
    with answering():
        source = _source(current_settings())
        ring = parse_ring(source.read(), source.reference)
        if as_json:
            print_json(_shown(ring, source.reference))
            return
        print_table(
            ["id", "made", "use"],
            [[key.id, to_iso(key.made_us), _use(ring, key.id)] for key in ring.keys],
            whole=["id"],
        )
        console().print(f"Kept in {source.reference}; payloads in the clear are {_attitude(ring)}.")


@app.command("rotate-payload")
def rotate_payload(out: OutOption = None, as_json: JsonOption = False) -> None:
    """Encrypt payloads with a new key from now on; what older keys encrypted stays readable."""
    with answering():
        settings = current_settings()
        if out is None:
            ring, place = _changed(settings, PayloadKeyRing.rotated)
        else:
            source = _source(settings)
            ring, place = parse_ring(source.read(), source.reference).rotated(), f"file:{out.absolute()}"
            if not create_private(out.absolute(), format_ring(ring)):
                raise ConfigurationError(f"{str(out)!r} is there already; name a new file")
        if as_json:
            print_json(_shown(ring, place))
        elif out is None:
            console().print(f"Key {ring.current.id} encrypts from now on; running processes take it up by themselves.")
        else:
            console().print(
                f"The ring with the new key {ring.current.id} is in {out}; put it where all processes look."
            )


@app.command("accept-plaintext")
def accept_plaintext(as_json: JsonOption = False) -> None:
    """Read payloads that are not encrypted too: while workflows that version 0.1 began are under way."""
    _set_plaintext(True, as_json)


@app.command("refuse-plaintext")
def refuse_plaintext(as_json: JsonOption = False) -> None:
    """Read encrypted payloads only, once no workflow of version 0.1 is under way."""
    _set_plaintext(False, as_json)


def _set_plaintext(accepts: bool, as_json: bool) -> None:
    with answering():
        ring, place = _changed(current_settings(), lambda ring: replace(ring, accepts_plaintext=accepts))
        if as_json:
            print_json(_shown(ring, place))
        else:
            console().print(f"Payloads in the clear are {_attitude(ring)}. What is written is encrypted in any case.")


def _changed(settings: Settings, change: Callable[[PayloadKeyRing], PayloadKeyRing]) -> tuple[PayloadKeyRing, str]:
    if settings.payload_keys is not None:
        raise ConfigurationError(
            f"the payload keys come from {settings.payload_keys!r}, which this command does not write to; run "
            "`watchfloor keys rotate-payload --out FILE` and put the file's content there"
        )
    path = _file(settings)
    return change_ring(path, change), f"file:{path}"


def _source(settings: Settings) -> SecretSource:
    if settings.payload_keys is None:
        return PrivateFile(_file(settings))
    # Imported here: the sources of the connectors bring network clients with them.
    from watchfloor_connectors.secrets.resolve import secret_source

    return secret_source(settings.payload_keys, settings)


def _file(settings: Settings) -> Path:
    path = ring_file(settings.data_dir)
    if not path.exists():
        raise NotFoundError(
            f"there are no payload keys in {str(settings.data_dir)!r} yet; the first `watchfloor up` makes them, or "
            "name another folder by --data-dir"
        )
    return path


def _use(ring: PayloadKeyRing, key_id: str) -> str:
    return "encrypts" if key_id == ring.current.id else "decrypts"


def _attitude(ring: PayloadKeyRing) -> str:
    return "read as well" if ring.accepts_plaintext else "refused"


def _shown(ring: PayloadKeyRing, reference: str) -> dict[str, object]:
    return {
        "payload": {
            "kept_in": reference,
            "accepts_plaintext": ring.accepts_plaintext,
            "keys": [{"id": key.id, "made_at": to_iso(key.made_us), "use": _use(ring, key.id)} for key in ring.keys],
        }
    }
