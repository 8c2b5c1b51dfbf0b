"""``watchfloor alert``: one alert, why its records count as one, and taking that back."""

from __future__ import annotations

import base64
from typing import Annotated

import typer

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_core.store.dedup import undo
from watchfloor_core.store.explanation import DedupExplanation, explain
from watchfloor_core.store.originals import load_raw
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at

app = typer.Typer(no_args_is_help=True, help="Look at alerts: why one counts as a duplicate, and undo it.")

Fingerprint = Annotated[str, typer.Argument(metavar="FINGERPRINT", help="32 hex digits, as alerts.csv has them.")]

MAX_RAW = 8_000
MAX_RECORDS = 50


@app.command()
def show(fingerprint: Fingerprint, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Show an alert's records, what was compared to find them equal, and the original bytes of the first."""
    with answering(), at(tenant) as place:
        wanted = _bytes(fingerprint)
        with place.store.read() as connection:
            explanation = explain(connection, place.tenant, wanted)
        raw = _raw(place, explanation)
        if as_json:
            print_json(_as_json(explanation, raw))
            return
        _print(explanation, raw)


@app.command("undo-dedup")
def undo_dedup(fingerprint: Fingerprint, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Make each duplicate record of an alert an alert of its own; it is correlated as a late one."""
    with answering(), at(tenant) as place:
        wanted = _bytes(fingerprint)
        with place.store.write() as connection:
            # Whoever can run this owns the store: the user of this machine is the principal.
            apart = undo(connection, place.tenant, wanted, local_principal())
        if as_json:
            print_json({"fingerprint": fingerprint, "alerts": [own.hex() for own in apart]})
        elif not apart:
            print_empty(f"Alert {wanted.hex()} has no duplicates; nothing was changed.")
        else:
            console().print(f"{len(apart)} duplicates are alerts of their own now:")
            for own in apart[:MAX_RECORDS]:
                console().print(f"  {own.hex()}")
            if len(apart) > MAX_RECORDS:
                console().print(f"  and {len(apart) - MAX_RECORDS:,} more; --json gives all")


def _bytes(text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != 16:
        raise ConfigurationError(f"{text[:80]!r} is not a fingerprint; expected 32 hex digits")
    return value


def _raw(place: Place, explanation: DedupExplanation) -> bytes | None:
    """The first record's original bytes; None where retention has taken them."""
    if not explanation.records:
        return None
    first = explanation.records[0]
    try:
        with place.store.read() as connection:
            return load_raw(connection, place.tenant, first.batch_id, first.position)
    except NotFoundError:
        return None


def _print(explanation: DedupExplanation, raw: bytes | None) -> None:
    out = console()
    records = explanation.records
    out.print(f"Alert {explanation.fingerprint.hex()}, connector {explanation.connector}")
    window = f"within {explanation.window_s} s from" if explanation.window_s else "at exactly"
    compared = ", ".join(explanation.fields)
    out.print(
        f"{len(records):,} records count as this alert: same {compared}, {window} {to_iso(explanation.window_from_us)}"
    )
    if explanation.values:
        print_table(["compared", "value"], [[name, quote_untrusted(value)] for name, value in explanation.values])
    out.print("")
    print_table(
        ["record", "source", "position", "batch", "received"],
        [
            ["original" if index == 0 else "duplicate", x.source_id, x.position, x.batch_id, to_iso(x.received_us)]
            for index, x in enumerate(records[:MAX_RECORDS])
        ],
        right=["position", "batch"],
    )
    if len(records) > MAX_RECORDS:
        out.print(f"and {len(records) - MAX_RECORDS:,} more; --json gives all")
    out.print("")
    if raw is None:
        out.print("The original bytes are no longer kept (retention_raw_days).")
    else:
        shown = quote_untrusted(raw[: 4 * MAX_RAW].decode("utf-8", "replace"), MAX_RAW)
        out.print(f"original  {len(raw):,} bytes: {shown}", soft_wrap=True)


def _as_json(explanation: DedupExplanation, raw: bytes | None) -> dict[str, object]:
    return {
        "fingerprint": explanation.fingerprint.hex(),
        "connector": explanation.connector,
        "dedup": {
            "fields": list(explanation.fields),
            "window_s": explanation.window_s,
            "window_from": to_iso(explanation.window_from_us),
            "values": [{"name": name, "value": value} for name, value in explanation.values],
        },
        "records": [
            {
                "source_id": x.source_id,
                "batch_id": x.batch_id,
                "position": x.position,
                "received_at": to_iso(x.received_us),
            }
            for x in explanation.records
        ],
        "raw_base64": None if raw is None else base64.b64encode(raw).decode(),
    }
