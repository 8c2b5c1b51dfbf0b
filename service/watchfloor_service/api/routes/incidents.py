"""Reading incidents, and what people decide about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias
from uuid import uuid4

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import Field

from watchfloor_agents.correlation import revise
from watchfloor_core.identity import digest16
from watchfloor_core.incident import Verdict
from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.caller import Caller
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.routes.tracing import traced
from watchfloor_service.incidents.detail import load_incident
from watchfloor_service.incidents.evidence_view import load_evidence
from watchfloor_service.incidents.listing import (
    MAX_PAGE,
    list_incidents,
    require_incident,
)
from watchfloor_service.incidents.reports import ReportFormat, find_report, render, report_view
from watchfloor_service.incidents.status_filter import StatusFilter, expand
from watchfloor_service.incidents.trace import load_trace
from watchfloor_workflows.messages import DecideIncidentInput, IncidentStanding, ReopenIncidentInput

router = APIRouter(prefix="/v1/incidents")
evidence_router = APIRouter(prefix="/v1/evidence")

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Scope.INCIDENTS_READ))]
Decider: TypeAlias = Annotated[Caller, Depends(Requires(Scope.INCIDENTS_DECIDE, is_for_people=True))]
IdempotencyKey: TypeAlias = Annotated[str | None, Header(min_length=1, max_length=255)]
Comment: TypeAlias = Annotated[str, Field(min_length=1, max_length=4000)]


class DecisionRequest(StrictModel):
    verdict: Verdict
    comment: Comment
    close: bool = False
    """Close the incident with this verdict; else it stays open for further work."""
    revision: int = Field(ge=1)
    """The revision that the person looked at."""
    acknowledges_newer: bool = False


@dataclass(frozen=True, slots=True)
class StandingView:
    """Where an incident stands after a decision."""

    incident_id: str
    status: str
    verdict: str | None
    level: int | None
    revision: int

    @classmethod
    def of(cls, incident_id: str, standing: IncidentStanding) -> StandingView:
        return cls(incident_id, standing.status, standing.verdict, standing.level, standing.revision)


@dataclass(frozen=True, slots=True)
class RevisedView:
    incident_id: str


class ReopenRequest(StrictModel):
    comment: Comment


class MergeRequest(StrictModel):
    other: str = Field(pattern=r"^inc-[0-9a-f]{16}$")
    """The incident that goes into the one of the address."""
    reason: Comment


class SplitRequest(StrictModel):
    shape_ids: list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]] = Field(min_length=1, max_length=1000)
    reason: Comment


@router.get("")
def list_(
    caller: Reader,
    request: Request,
    status: Annotated[list[StatusFilter], Query()] = [],  # noqa: B006 -- FastAPI copies the default
    verdict: Annotated[list[Verdict], Query()] = [],  # noqa: B006 -- as above
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """A page of the caller's tenant's incidents, those with the latest alerts first."""
    with parts_of(request).store.read() as connection:
        try:
            page = list_incidents(
                connection, caller.tenant, statuses=expand(status), verdicts=verdict, limit=limit, cursor=cursor
            )
        except ValueError as error:
            raise ProblemError(ProblemKind.INVALID_REQUEST, str(error)) from None
    return json_answer(page)


@router.get("/{incident_id}")
def show(
    caller: Reader,
    request: Request,
    incident_id: str,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """One incident with ``limit`` of its observations from ``offset``."""
    with parts_of(request).store.read() as connection:
        found = load_incident(connection, caller.tenant, incident_id, limit=limit, offset=offset)
    return json_answer(found)


@router.get("/{incident_id}/trace")
def trace(caller: Reader, request: Request, incident_id: str) -> Response:
    """Every decision on an incident, with its place in the ledger."""
    with parts_of(request).store.read() as connection:
        require_incident(connection, caller.tenant, incident_id)
        found = load_trace(connection, caller.tenant, incident_id)
    return json_answer(found)


@router.get("/{incident_id}/report")
def report(
    caller: Reader,
    request: Request,
    incident_id: str,
    revision: Annotated[int | None, Query(ge=1)] = None,
    format: ReportFormat | None = None,  # noqa: A002 -- the query's name
) -> Response:
    """How the investigation stands, with the report; or the report alone in a ``format``."""
    with parts_of(request).store.read() as connection:
        found = require_incident(connection, caller.tenant, incident_id).incident_id
        stored = find_report(connection, caller.tenant, found, revision)
        if format is None:
            return json_answer(report_view(connection, caller.tenant, stored))
        content = render(connection, caller.tenant, stored, format)
    return Response(content, media_type=_MEDIA[format], headers={"X-Content-Type-Options": "nosniff"})


_MEDIA: Final = {
    ReportFormat.MARKDOWN: "text/markdown; charset=utf-8",
    ReportFormat.JSON: "application/json",
    ReportFormat.STIX: "application/stix+json;version=2.1",
}


@evidence_router.get("/{evidence_id}")
def evidence(
    caller: Reader, request: Request, evidence_id: Annotated[str, Path(pattern=r"^[0-9a-f]{8,64}$")]
) -> Response:
    """One piece of evidence, whole, and how it was found."""
    with parts_of(request).store.read() as connection:
        found = load_evidence(connection, caller.tenant, evidence_id)
    return json_answer(found)


def _ours(caller: Decider, request: Request, incident_id: str) -> str:
    """The address's incident, which is one of the caller's tenant."""
    with parts_of(request).store.read() as connection:
        return require_incident(connection, caller.tenant, incident_id).incident_id


OurIncident: TypeAlias = Annotated[str, Depends(_ours)]


@router.post("/{incident_id}/decision")
async def decide(
    caller: Decider,
    incident: OurIncident,
    body: Annotated[DecisionRequest, Depends(JsonBody(DecisionRequest))],
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """A person's verdict. Who decides is the caller's principal; 409 with the reason where it is refused."""
    decision = DecideIncidentInput(
        principal=caller.principal,
        principal_kind=caller.kind.value,
        verdict=body.verdict,
        close=body.close,
        comment=body.comment,
        revision=body.revision,
        update_id=_update_id(caller, incident, idempotency_key),
        acknowledges_newer=body.acknowledges_newer,
    )
    with traced(request, caller.tenant, caller.principal):
        standing = await parts_of(request).desk.decide(caller.tenant, incident, decision)
    return json_answer(StandingView.of(incident, standing))


@router.post("/{incident_id}/reopen")
async def reopen(
    caller: Decider,
    incident: OurIncident,
    body: Annotated[ReopenRequest, Depends(JsonBody(ReopenRequest))],
    request: Request,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """Take a closed incident up again; from then on no agent closes it."""
    order = ReopenIncidentInput(
        principal=caller.principal,
        principal_kind=caller.kind.value,
        comment=body.comment,
        update_id=_update_id(caller, incident, idempotency_key),
    )
    with traced(request, caller.tenant, caller.principal):
        standing = await parts_of(request).desk.reopen(caller.tenant, incident, order)
    return json_answer(StandingView.of(incident, standing))


@router.post("/{incident_id}/merge")
def merge(
    caller: Decider,
    incident: OurIncident,
    body: Annotated[MergeRequest, Depends(JsonBody(MergeRequest))],
    request: Request,
) -> Response:
    """Join another incident into this one."""
    with traced(request, caller.tenant, caller.principal), parts_of(request).store.write() as connection:
        require_incident(connection, caller.tenant, body.other)
        revise.merge(connection, caller.tenant, incident, body.other, principal=caller.principal, reason=body.reason)
    return json_answer(RevisedView(incident))


@router.post("/{incident_id}/split")
def split(
    caller: Decider,
    incident: OurIncident,
    body: Annotated[SplitRequest, Depends(JsonBody(SplitRequest))],
    request: Request,
) -> Response:
    """Take shapes out of this incident into a new one, whose id is returned."""
    with traced(request, caller.tenant, caller.principal), parts_of(request).store.write() as connection:
        fresh = revise.split(
            connection,
            caller.tenant,
            incident,
            [bytes.fromhex(shape_id) for shape_id in body.shape_ids],
            principal=caller.principal,
            reason=body.reason,
        )
    return json_answer(RevisedView(fresh))


def _update_id(caller: Caller, incident_id: str, key: str | None) -> str:
    """Names the decision in Temporal: the caller's own key, so that sending it again changes nothing.

    The principal is part of it: a key that someone else used must not return their decision.
    """
    if key is None:
        return uuid4().hex
    return digest16("update", caller.tenant, caller.principal, incident_id, key).hex()
