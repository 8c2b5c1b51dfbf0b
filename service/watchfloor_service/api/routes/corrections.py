"""What people say of single findings of a report."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from watchfloor_core.correction import Judgement
from watchfloor_guardrails.correction import CorrectionRequest
from watchfloor_guardrails.decision import MAX_COMMENT, Principal
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.routes.incidents import Decider, OurIncident, Reader
from watchfloor_service.api.routes.tracing import traced
from watchfloor_service.incidents.corrections import CorrectionView, load_corrections
from watchfloor_service.incidents.listing import require_incident
from watchfloor_service.incidents.reports import find_report
from watchfloor_workflows.investigation.corrections import record_correction
from watchfloor_workflows.investigation.records import InvestigationKey

router = APIRouter(prefix="/v1/incidents/{incident_id}/report/corrections")

MAX_REVISION: Final = 2**31 - 1
"""As both databases count them."""


class CorrectionBody(StrictModel):
    revision: int = Field(ge=1, le=MAX_REVISION)
    """Of the report that the person looked at."""
    says: Judgement
    finding: Annotated[str, Field(min_length=1, max_length=16)] | None = None
    """As the report numbers it; none for a technique that it does not have."""
    technique: Annotated[str, Field(pattern=r"^T[0-9]{4}(\.[0-9]{3})?$")] | None = None
    """The one missed, or what a finding that is wrong or incomplete should have named."""
    comment: Annotated[str, Field(max_length=MAX_COMMENT)] = ""


@router.get("")
def list_(
    caller: Reader,
    request: Request,
    incident_id: str,
    revision: Annotated[int | None, Query(ge=1, le=MAX_REVISION)] = None,
    history: bool = False,
) -> Response:
    """What people say of the latest report, or that on a ``revision``; with ``history`` also what no longer stands."""
    with parts_of(request).store.read() as connection:
        found = require_incident(connection, caller.tenant, incident_id).incident_id
        stored = find_report(connection, caller.tenant, found, revision)
        answer = load_corrections(connection, caller.tenant, found, stored.revision, stored.sha256, history=history)
    return json_answer(answer)


@router.post("")
def correct(
    caller: Decider,
    incident: OurIncident,
    body: Annotated[CorrectionBody, Depends(JsonBody(CorrectionBody))],
    request: Request,
) -> Response:
    """Say of a finding what is so. Who says it is the caller's principal; the same again changes nothing."""
    said = CorrectionRequest(body.says, body.finding, body.technique, body.comment)
    key = InvestigationKey(caller.tenant, incident, body.revision)
    with traced(request, caller.tenant, caller.principal):
        kept = record_correction(parts_of(request).store, key, said, Principal(caller.principal, caller.kind))
    return json_answer(CorrectionView.of(kept))
