"""``watchfloor incident correct``: say of one finding of a report what is so."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import quote

import typer

from watchfloor_core.correction import Judgement
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_service.access.local_api import local_api
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_service.incidents.corrections import CorrectionsView, load_corrections
from watchfloor_service.incidents.listing import require_incident
from watchfloor_service.incidents.reports import find_report


class Saying(StrEnum):
    """What is said of a finding."""

    WRONG = Judgement.WRONG.value
    RIGHT = Judgement.RIGHT.value
    INCOMPLETE = Judgement.INCOMPLETE.value


def correct(
    incident_id: Annotated[str, typer.Argument(metavar="ID")],
    finding: Annotated[
        str | None, typer.Argument(metavar="FINDING", help="As the report numbers it, F1.", show_default=False)
    ] = None,
    says: Annotated[Saying | None, typer.Argument(show_default=False)] = None,
    missed: Annotated[
        str | None,
        typer.Option("--missed", metavar="TECHNIQUE", help="Instead of a finding: what the report lacks."),
    ] = None,
    technique: Annotated[
        str | None, typer.Option("--technique", help="What a wrong or incomplete finding should have named.")
    ] = None,
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Take back what you said of it, instead of saying something.")
    ] = False,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; kept in the ledger.")] = "",
    revision: Annotated[
        int | None, typer.Option(min=1, help="Whose report you looked at; default: the latest.")
    ] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a finding of a report is wrong, right or incomplete, or which technique it missed."""
    body = _body(finding, says, missed, technique, is_withdrawal=withdraw)
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = require_incident(connection, place.tenant, incident_id).incident_id
            stored = find_report(connection, place.tenant, found, revision)
        local_api(place.settings, place.store).post(
            f"/v1/incidents/{quote(found, safe='')}/report/corrections",
            {**body, "comment": comment, "revision": stored.revision},
        )
        with place.store.read() as connection:
            now = load_corrections(connection, place.tenant, found, stored.revision, stored.sha256)
        if as_json:
            print_json(now)
        else:
            _print(now)


def _body(
    finding: str | None, says: Saying | None, missed: str | None, technique: str | None, *, is_withdrawal: bool
) -> dict[str, Json]:
    """The request's body; ends the command where the call does not say one thing of one thing."""
    if (finding is None) == (missed is None):
        raise typer.BadParameter("name a finding of the report, or by --missed a technique that it does not have")
    if missed is not None:
        if says is not None or technique is not None:
            raise typer.BadParameter("--missed goes with neither wrong, right, incomplete nor --technique")
        said = Judgement.WITHDRAWN if is_withdrawal else Judgement.MISSED
        return {"says": said.value, "technique": missed.upper()}
    if is_withdrawal == (says is not None):
        raise typer.BadParameter("say wrong, right or incomplete of the finding, or --withdraw; one of them")
    word = Judgement.WITHDRAWN.value if says is None else says.value
    return {"finding": finding, "says": word, "technique": None if technique is None else technique.upper()}


def _print(now: CorrectionsView) -> None:
    about = f"the report on revision {now.revision} of {now.incident_id}"
    if not now.corrections:
        print_empty(f"Nobody says anything of {about} now.")
        return
    console().print(f"What people say of {about}:")
    rows = [
        [
            *(one.finding_id, one.says, one.technique, one.principal, one.decided_at[:19] + "Z"),
            quote_untrusted(one.comment) if one.comment else None,
        ]
        for one in now.corrections
    ]
    headers = ["finding", "is", "technique", "says", "at", "comment"]
    print_table(headers, rows, whole=["finding", "is", "technique", "at"])
    if now.total > len(now.corrections):
        print_empty(f"{now.total - len(now.corrections):,} more are in `watchfloor labels export`.")
