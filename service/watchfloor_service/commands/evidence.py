"""``watchfloor evidence``: look at what a finding cites, and at how it was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated

import typer
from rich.text import Text

from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import to_iso
from watchfloor_core.evidence import Evidence
from watchfloor_core.store.evidence import Use, find_evidence, uses_of
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.commands.evidence_alerts import print_alerts
from watchfloor_service.commands.outcome import answering, console, print_json, print_table
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_service.incidents.evidence_alerts import alerts_behind, alerts_view
from watchfloor_service.incidents.evidence_view import evidence_view

app = typer.Typer(no_args_is_help=True, help="Show the evidence that findings cite.")


@app.callback()
def group() -> None:
    """Show the evidence that findings cite."""


@app.command()
def show(
    evidence_id: Annotated[str, typer.Argument(metavar="ID", help="Of a finding; its first 8 digits are enough.")],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one piece of evidence, whole, and by whom and with which questions it was found.

    Its digest is checked before anything is shown: what was changed in the store is not given out.
    With evidence that is an alert stand, as the store has them now, how many alerts of the incident it is, from when to
    when, and the record that one of them was made of.
    """
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = find_evidence(connection, place.tenant, evidence_id)
            uses = uses_of(connection, place.tenant, found.id)
            alerts = alerts_behind(connection, place.tenant, found, uses)
        if as_json:
            view = evidence_view(found, uses)
            whole = {each.name: getattr(view, each.name) for each in fields(view)}
            print_json(whole | {"alerts": [alerts_view(one) for one in alerts]})
        else:
            _print(found, uses)
            print_alerts(alerts, place)


def _print(found: Evidence, uses: tuple[Use, ...]) -> None:
    out = console()
    out.print(Text.assemble(("evidence ", "bold"), found.id), soft_wrap=True)
    when = "" if found.time_us is None else f", {to_iso(found.time_us)}"
    out.print(Text(escape_untrusted(f"{found.kind.value} of {found.source}{when}")), soft_wrap=True)
    out.print()
    print_table(
        ["field", "value", "written by"],
        [[name, value, _author(found.integrity(name))] for name, value in _fields(found.body)],
    )
    out.print()
    for use in uses:
        out.print(
            Text(
                escape_untrusted(
                    f"{to_iso(use.collected_us)} {use.agent} for {use.incident_id} revision {use.revision}, "
                    f"{use.tool}: {use.purpose}"
                )
            ),
            soft_wrap=True,
        )


def _author(integrity: Integrity) -> str:
    return "anyone" if integrity is Integrity.EXTERNAL else integrity.name.lower()


def _fields(body: Mapping[str, JsonValue]) -> list[tuple[str, str]]:
    """What findings cite first, then the rest as paths; lists as their parts."""
    held = body.get("fields")
    named = list(held.items()) if isinstance(held, Mapping) else []
    rest = {name: value for name, value in body.items() if name != "fields"}
    return [(name, str(value)) for name, value in named] + _paths(rest, "")


def _paths(value: JsonValue, path: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        return [row for name, one in value.items() for row in _paths(one, f"{path}.{name}" if path else name)]
    if isinstance(value, list):
        return [row for number, one in enumerate(value) for row in _paths(one, f"{path}[{number}]")]
    return [] if value is None else [(path, str(value))]
