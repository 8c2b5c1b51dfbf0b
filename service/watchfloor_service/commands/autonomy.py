"""``watchfloor autonomy``: which level is set for which task, and why one incident was decided as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import Function
from watchfloor_core.settings import Settings
from watchfloor_core.store.schema import incident
from watchfloor_guardrails.autonomy import AutonomyMatrix, Row, load_matrix
from watchfloor_guardrails.explain import explain as explain_ruling
from watchfloor_guardrails.explain import show_matrix
from watchfloor_guardrails.ruling_json import ruling_from_json
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_service.incidents.listing import require_incident
from watchfloor_service.invocation import current_settings
from watchfloor_service.supervision.running import find_running
from watchfloor_workflows.policy import policy_path

app = typer.Typer(no_args_is_help=True, help="Show who decides what, and explain one incident's ruling.")


@app.command()
def show(
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Only the rows that can hold for this tenant.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the autonomy matrix in force: every row by function, engine caps, closing rules, digest."""
    with answering():
        path = _path_in_force(current_settings(tenant=tenant))
        whole = _read(path)
        matrix = whole if tenant is None else _for_tenant(whole, tenant)
        if as_json:
            print_json(
                {
                    "file": str(path),
                    "digest": whole.digest,
                    "rows": [_row(row) for function in Function for row in matrix.rows_of(function)],
                    "caps": {engine: f"L{level}" for engine, level in matrix.engine_caps},
                    "rules": [rule.content for rule in matrix.rules],
                }
            )
            return
        console().print(f"{path}")
        # Whatever part is shown, the digest that rulings name is that of the whole.
        for line in (*show_matrix(matrix)[:-1], f"digest {whole.digest}"):
            console().print(line)


@app.command()
def explain(
    incident_id: Annotated[str, typer.Argument(metavar="INCIDENT")],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain an incident's last ruling: level, caps, every rule that took part, and who is needed."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = require_incident(connection, place.tenant, incident_id)
            stored = connection.execute(
                select(incident.c.ruling).where(incident.c.tenant == place.tenant, incident.c.id == found.incident_id)
            ).scalar_one()
        if as_json:
            print_json({"incident_id": found.incident_id, "ruling": stored})
        elif stored is None:
            print_empty(
                f"{found.incident_id} has not been ruled on yet (status {found.status}, opened {found.opened_at}). "
                "Triage comes first: it runs where `watchfloor up` or `watchfloor run` does."
            )
        else:
            for line in explain_ruling(ruling_from_json(stored)):
                console().print(line)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A matrix file, e.g. autonomy.yaml.", dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Check a matrix file before it is put in force: every mistake at once, with its line."""
    with answering():
        matrix = _read(file)
        if as_json:
            print_json({"file": str(file), "ok": True, "digest": matrix.digest, "rows": len(matrix.rows)})
        else:
            console().print(
                f"{file} is right: {len(matrix.rows)} rows, {len(matrix.rules)} closing rules.\ndigest {matrix.digest}"
            )


def _path_in_force(settings: Settings) -> Path:
    """What the running stack decides by, where one runs: it may have been started with another file than this call."""
    stack = find_running(settings.data_dir)
    if stack is not None and stack.autonomy_file is not None:
        settings = settings.model_copy(update={"autonomy_file": Path(stack.autonomy_file)})
    return policy_path(settings)


def _read(path: Path) -> AutonomyMatrix:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error}); name a readable UTF-8 file") from error
    return load_matrix(text, str(path))


def _for_tenant(matrix: AutonomyMatrix, tenant: str) -> AutonomyMatrix:
    rows = tuple(row for row in matrix.rows if row.selector.tenant is None or row.selector.tenant.matches(tenant))
    return replace(matrix, rows=rows, rules=tuple(rule for rule in matrix.rules if rule.covers_tenant(tenant)))


def _row(row: Row) -> dict[str, object]:
    return {
        "function": row.function.value,
        "selector": str(row.selector),
        "level": f"L{row.level}",
        "reason": row.reason,
    }
