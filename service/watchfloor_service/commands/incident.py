"""``watchfloor incident``: look at incidents, and decide on them as the person who is logged in here.

Looking reads the store; deciding goes through the API of the running stack, as everyone's decisions do.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated
from urllib.parse import quote

import typer

from watchfloor_core.incident import Verdict
from watchfloor_core.ports import Json
from watchfloor_core.store.ingest import pending_alerts
from watchfloor_core.telemetry.tree import decision_tree, render_tree
from watchfloor_service.access.local_api import local_api
from watchfloor_service.commands.correct import correct
from watchfloor_service.commands.incident_page import print_incident, print_queue
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at, command
from watchfloor_service.incidents.detail import load_incident
from watchfloor_service.incidents.listing import MAX_PAGE, list_incidents, list_queue, require_incident
from watchfloor_service.incidents.reports import ReportFormat, find_report, render, report_view
from watchfloor_service.incidents.status_filter import StatusFilter, expand
from watchfloor_service.incidents.trace import load_trace

app = typer.Typer(no_args_is_help=True, help="List, show, decide, correct, merge and split incidents.")

IncidentArgument = Annotated[str, typer.Argument(metavar="ID")]
Comment = Annotated[str, typer.Option("--comment", "-m", help="Why; kept in the ledger.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the ledger.")]
TIMELINE = 20


@app.command("list")
def list_(
    status: Annotated[list[StatusFilter] | None, typer.Option(help="Several may be given; none: all.")] = None,
    verdict: Annotated[list[Verdict] | None, typer.Option(help="Several may be given; none: all.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, typer.Option(help="`next` of the page before, as --json gives it.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """List incidents, those with the latest alerts first."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            page = list_incidents(
                connection,
                place.tenant,
                statuses=expand(status or ()),
                verdicts=verdict or (),
                limit=limit,
                cursor=cursor,
            )
            waiting = pending_alerts(connection, place.tenant) if not page.incidents else 0
        if as_json:
            print_json(page)
        elif page.incidents:
            print_queue(page.incidents)
            if page.next:
                print_empty(f"There are more: --limit, or --cursor {page.next}")
        elif status or verdict:
            print_empty(f"No incident of tenant {place.tenant} is so; `watchfloor incident list` shows all.")
        elif waiting:
            print_empty(
                f"{waiting:,} alerts of tenant {place.tenant} wait for correlation, which runs in `watchfloor up`."
            )
        else:
            print_empty(
                f"Tenant {place.tenant} has no incidents. Take alerts in by `watchfloor run FILE` or the API, "
                "or name another tenant by --tenant (`watchfloor demo` plays in tenant demo)."
            )


@app.command()
def queue(
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE)] = 20,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what waits for a person, the likeliest attacks first."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            waiting, total = list_queue(connection, place.tenant, limit)
        if as_json:
            print_json({"incidents": waiting, "total": total})
        elif waiting:
            print_queue(waiting)
            if total > len(waiting):
                print_empty(f"{total - len(waiting)} more wait; --limit shows them.")
        else:
            print_empty(f"Nothing of tenant {place.tenant} waits for a person; `watchfloor incident list` shows all.")


@app.command()
def show(
    incident_id: IncidentArgument,
    trace: Annotated[bool, typer.Option("--trace", help="Every decision on it, as the ledger has them.")] = False,
    observations: Annotated[int, typer.Option(min=0, max=1000, help="Lines of the timeline.")] = TIMELINE,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show an incident: what happened, what triage says and why, and who decides."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = load_incident(connection, place.tenant, incident_id, limit=observations)
            tree = decision_tree(connection, place.tenant, found.incident.incident_id) if trace else []
            decisions = load_trace(connection, place.tenant, found.incident.incident_id) if trace and as_json else None
        if as_json:
            print_json({**asdict(found), "trace": decisions} if trace else found)
            return
        print_incident(found, lambda words: command(place.settings, place.tenant, words))
        if trace:
            out = console()
            out.print("\nDecisions", style="bold")
            out.print(render_tree(tree, out.width) if tree else "None yet.")


@app.command()
def report(
    incident_id: IncidentArgument,
    format_: Annotated[ReportFormat, typer.Option("--format", help="How to print it.")] = ReportFormat.MARKDOWN,
    revision: Annotated[int | None, typer.Option(min=1, help="Of an earlier revision; default: the latest.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what the investigation of an incident found, with the evidence of each finding.

    --json gives how the investigation stands, the report, and what people say of its findings.
    """
    with answering(), at(tenant) as place, place.store.read() as connection:
        found = require_incident(connection, place.tenant, incident_id).incident_id
        stored = find_report(connection, place.tenant, found, revision)
        if as_json:
            print_json(report_view(connection, place.tenant, stored))
            return
        typer.echo(render(connection, place.tenant, stored, format_), nl=format_ is not ReportFormat.MARKDOWN)
    if not stored.is_of_now:
        print(
            f"The report is on revision {stored.revision}; the incident has changed since and is at revision "
            f"{stored.incident_revision}.",
            file=sys.stderr,
        )


@app.command()
def decide(
    incident_id: IncidentArgument,
    verdict: Annotated[Verdict, typer.Option("--verdict", "-v")],
    comment: Comment,
    close: Annotated[bool, typer.Option("--close", help="Close it with this verdict; else it stays open.")] = False,
    revision: Annotated[
        int | None, typer.Option(min=1, help="The revision that you looked at; default: the one of now.")
    ] = None,
    acknowledge_newer: Annotated[
        bool, typer.Option("--acknowledge-newer", help="Decide even if it changed after that revision.")
    ] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give your verdict on an incident."""
    with answering(), at(tenant) as place:
        body: dict[str, Json] = {
            "verdict": verdict.value,
            "comment": comment,
            "close": close,
            "revision": revision or _revision(place, incident_id),
            "acknowledges_newer": acknowledge_newer,
        }
        _tell_standing(_post(place, incident_id, "decision", body), as_json=as_json)


app.command()(correct)


@app.command()
def reopen(
    incident_id: IncidentArgument, comment: Comment, tenant: TenantOption = None, as_json: JsonOption = False
) -> None:
    """Take a closed incident up again; from then on only a person closes it."""
    with answering(), at(tenant) as place:
        _tell_standing(_post(place, incident_id, "reopen", {"comment": comment}), as_json=as_json)


@app.command()
def merge(
    into: Annotated[str, typer.Argument(metavar="INTO", help="The incident that stays.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The one that goes into it.")],
    reason: Reason,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Join one incident into another."""
    with answering(), at(tenant) as place:
        answer = _post(place, into, "merge", {"other": other, "reason": reason})
        if as_json:
            print_json(answer)
        else:
            print_empty(f"{other} is part of {into} now, which is triaged again.")


@app.command()
def split(
    incident_id: IncidentArgument,
    shapes: Annotated[
        list[str],
        typer.Option(
            "--shape", "-s", help="What goes out: shape ids of `incident show ID --json`; several may be given."
        ),
    ],
    reason: Reason,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take alerts of some shapes out of an incident into a new one."""
    with answering(), at(tenant) as place:
        chosen: list[Json] = list(shapes)
        answer = _post(place, incident_id, "split", {"shape_ids": chosen, "reason": reason})
        if as_json:
            print_json(answer)
        else:
            print_empty(f"They are incident {answer['incident_id']} now; both are triaged again.")


def _revision(place: Place, incident_id: str) -> int:
    with place.store.read() as connection:
        return require_incident(connection, place.tenant, incident_id).revision


def _post(place: Place, incident_id: str, act: str, body: dict[str, Json]) -> dict[str, Json]:
    return local_api(place.settings, place.store).post(f"/v1/incidents/{quote(incident_id, safe='')}/{act}", body)


def _tell_standing(answer: dict[str, Json], *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    verdict = f", {answer['verdict']}" if answer["verdict"] else ""
    print_empty(f"{answer['incident_id']} is {answer['status']}{verdict} (revision {answer['revision']}).")
