"""``watchfloor labels``: what people said of incidents and findings, to learn from and to measure agents by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from watchfloor_core.incident import Verdict
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_service.incidents.finding_labels import read_finding_labels
from watchfloor_service.incidents.finding_measures import FindingMeasures, Measure, measure_findings
from watchfloor_service.incidents.labels import Label, read_labels
from watchfloor_service.runs.export import replacing

app = typer.Typer(no_args_is_help=True, help="What people said of incidents and findings, beside what the agent said.")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write, a label on a line as JSON.", dir_okay=False)],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write every label of the tenant to a file, and say how often agent and people agree."""
    labels: list[Label] = []
    findings = 0
    with answering(), at(tenant) as place:
        with place.store.read() as connection, replacing(file) as out:
            for label in read_labels(connection, place.tenant):
                out.write(orjson.dumps(label.as_json(), option=orjson.OPT_APPEND_NEWLINE))
                labels.append(label)
            for one in read_finding_labels(connection, place.tenant):
                out.write(orjson.dumps(one.as_json(), option=orjson.OPT_APPEND_NEWLINE))
                findings += 1
        blind = [one for one in labels if not one.saw_agent_answer]
        seen = [one for one in labels if one.saw_agent_answer]
        if as_json:
            counts = {"labels": len(labels), "blind": _measured(blind), "after_the_agent": _measured(seen)}
            print_json({"file": str(file), **counts, "findings": findings})
            return
        console().print(f"{len(labels):,} labels of incidents and {findings:,} of findings written to {file}.")
        for name, some in (("before the agent's answer was shown", blind), ("after it was shown", seen)):
            measured = _measured(some)
            console().print(
                f"  {name}: {measured['labels']:,}; the agent agrees in {measured['agrees']:,} of "
                f"{measured['compared']:,} on which it took a side, and missed {measured['missed']:,} attacks"
            )


@app.command()
def summary(
    engine: Annotated[str | None, typer.Option(help="Only findings of this one, e.g. specialist.")] = None,
    version: Annotated[str | None, typer.Option(help="Only findings of this version of it.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sum up how often findings are right, by rule and by technique, as people judged them."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            labels = read_finding_labels(connection, place.tenant)
            found = measure_findings(labels, engine=engine, version=version)
        if as_json:
            print_json(found)
        elif not found.incidents:
            print_empty(
                f"Nobody has judged such a finding in tenant {place.tenant}; "
                "`watchfloor incident correct ID FINDING right|wrong|incomplete` does."
            )
        else:
            _print(found)


def _print(found: FindingMeasures) -> None:
    out = console()
    out.print(
        f"{found.judged:,} findings of {found.incidents:,} incidents judged by {found.people:,} people, who disagree "
        f"on {found.disputed:,}; such a one counts as the worst that is said of it."
    )
    if len(found.versions) > 1:
        out.print(f"They are of {len(found.versions):,} versions, of which --engine and --version take one:")
        for engine, version, count in found.versions:
            out.print(f"  {engine} {version}: {count:,}")
    counted = [*_COLUMNS, "missed"]
    if found.by_rule:
        out.print()
        rows = [[x.engine, x.name, *_cells(x)] for x in found.by_rule]
        print_table(["engine", "rule", *_COLUMNS], rows, right=_COLUMNS, whole=["rule"])
    out.print()
    totals = [[x.name, *_cells(x), x.missed] for x in (*found.by_technique, found.overall)]
    print_table(["technique", *counted], totals, right=counted)


_COLUMNS: Final = ("judged", "right", "wrong", "incomplete", "precision", "95 % interval")


def _cells(x: Measure) -> list[object]:
    interval = None if x.low is None or x.high is None else f"{x.low:.3f}–{x.high:.3f}"
    precision = None if x.precision is None else f"{x.precision:.3f}"
    return [x.judged, x.right, x.wrong, x.incomplete, precision, interval]


def _measured(labels: Sequence[Label]) -> dict[str, int]:
    compared = [one for one in labels if one.is_latest and one.agrees is not None]
    return {
        "labels": len(labels),
        "compared": len(compared),
        "agrees": sum(one.agrees is True for one in compared),
        "missed": sum(one.agrees is False and one.verdict is Verdict.TRUE_POSITIVE for one in compared),
    }
