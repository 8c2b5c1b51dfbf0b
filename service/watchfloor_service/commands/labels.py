"""``watchfloor labels``: what people said of incidents, to learn from and to measure agents by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from watchfloor_core.incident import Verdict
from watchfloor_service.commands.outcome import answering, console, print_json
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_service.incidents.labels import Label, read_labels
from watchfloor_service.runs.export import replacing

app = typer.Typer(no_args_is_help=True, help="What people said of incidents, beside what the agent said.")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write, a label on a line as JSON.", dir_okay=False)],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write every label of the tenant to a file, and say how often agent and people agree."""
    labels: list[Label] = []
    with answering(), at(tenant) as place:
        with place.store.read() as connection, replacing(file) as out:
            for label in read_labels(connection, place.tenant):
                out.write(orjson.dumps(label.as_json(), option=orjson.OPT_APPEND_NEWLINE))
                labels.append(label)
        blind = [one for one in labels if not one.saw_agent_answer]
        seen = [one for one in labels if one.saw_agent_answer]
        if as_json:
            counts = {"labels": len(labels), "blind": _measured(blind), "after_the_agent": _measured(seen)}
            print_json({"file": str(file), **counts})
            return
        console().print(f"{len(labels):,} labels written to {file}.")
        for name, some in (("before the agent's answer was shown", blind), ("after it was shown", seen)):
            measured = _measured(some)
            console().print(
                f"  {name}: {measured['labels']:,}; the agent agrees in {measured['agrees']:,} of "
                f"{measured['compared']:,} on which it took a side, and missed {measured['missed']:,} attacks"
            )


def _measured(labels: Sequence[Label]) -> dict[str, int]:
    compared = [one for one in labels if one.is_latest and one.agrees is not None]
    return {
        "labels": len(labels),
        "compared": len(compared),
        "agrees": sum(one.agrees is True for one in compared),
        "missed": sum(one.agrees is False and one.verdict is Verdict.TRUE_POSITIVE for one in compared),
    }
