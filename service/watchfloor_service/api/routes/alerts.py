"""``POST /v1/alerts``: a batch of records in, their counts out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from watchfloor_connectors.framing import Format
from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.caller import Caller
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.bodies import check_encoding
from watchfloor_service.api.delivery import MEDIA_TYPES, Delivery, Receipt
from watchfloor_service.api.http_json import json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.routes.tracing import traced

router = APIRouter()

TAKEN_IN = 202
"""The alerts are durable; correlation and triage follow."""


def layout_of(content_type: str | None) -> Format:
    """How the records are laid out. Raises a 415 problem for any media type but those listed."""
    media_type = (content_type or "").partition(";")[0].strip().lower()
    try:
        return MEDIA_TYPES[media_type]
    except KeyError:
        raise ProblemError(
            ProblemKind.UNSUPPORTED_MEDIA,
            "Content-Type must be application/x-ndjson, application/json or text/csv",
            headers={"Accept-Post": ", ".join(MEDIA_TYPES)},
        ) from None


@router.post("/v1/alerts")
async def post_alerts(
    caller: Annotated[Caller, Depends(Requires(Scope.ALERTS_WRITE))],
    request: Request,
    connector: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=255)] = None,
) -> Response:
    """Take a batch in for the token's tenant: 202 with counts, 200 where all of it was known."""
    parts = parts_of(request)
    layout = layout_of(request.headers.get("content-type"))
    encoding = check_encoding(request.headers.get("content-encoding"))
    await run_in_threadpool(parts.backpressure.check, caller.tenant)
    async with parts.bodies.receive(request, parts.max_request_bytes) as body:
        delivery = Delivery(
            tenant=caller.tenant,
            source_id=f"http:{caller.principal}",
            source_name=f"HTTP, {caller.principal}",
            body=body,
            encoding=encoding,
            layout=layout,
            connector=connector,
            idempotency_key=idempotency_key,
        )
        with traced(request, caller.tenant, caller.principal):
            receipt = await parts.work(parts.deliveries.accept, delivery)
    return receipt_answer(receipt)


def receipt_answer(receipt: Receipt) -> Response:
    """The counts; the status says whether anything was new."""
    return json_answer(receipt, 200 if receipt.known else TAKEN_IN)
