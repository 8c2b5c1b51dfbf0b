"""``POST /v1/webhooks/{name}``: batches from senders that sign instead of holding a token."""

from __future__ import annotations

import hashlib
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from watchfloor_service.api_parts import parts_of
from watchfloor_service.authentication import client_of
from watchfloor_service.bodies import check_encoding
from watchfloor_service.delivery import Delivery
from watchfloor_service.problems import ProblemError, ProblemKind
from watchfloor_service.routes.alerts import layout_of, receipt_answer
from watchfloor_service.routes.tracing import traced
from watchfloor_service.webhooks import MAX_BODY_BYTES, SIGNATURE_HEADER, spend_signature, verify

router = APIRouter()


@router.post("/v1/webhooks/{name}")
async def post_webhook(name: str, request: Request) -> Response:
    """Take a signed batch in: 202 with counts, 401 unless the signature is right, 409 where it was used before."""
    parts = parts_of(request)
    client = client_of(request)
    header = request.headers.get(SIGNATURE_HEADER)
    parts.authenticator.admit(client, hashlib.sha256(f"webhook {name}".encode()).digest())
    limit = min(MAX_BODY_BYTES, parts.max_request_bytes)
    async with parts.strangers_bodies.receive(request, limit) as body:
        try:
            webhook, signature = await run_in_threadpool(verify, parts.webhooks, name, header, body)
        except ProblemError as problem:
            if problem.kind is ProblemKind.UNAUTHENTICATED:
                parts.authenticator.failed(client)
            raise
        # Only now: what an address takes is told to those who have proved that it is theirs.
        delivery = Delivery(
            tenant=webhook.tenant,
            source_id=f"webhook:{webhook.name}",
            source_name=f"webhook {webhook.name}",
            body=body,
            encoding=check_encoding(request.headers.get("content-encoding")),
            layout=layout_of(request.headers.get("content-type")),
            connector=webhook.connector,
        )
        await run_in_threadpool(parts.backpressure.check, webhook.tenant)
        spend = partial(spend_signature, webhook=webhook, signature=signature)
        with traced(request, webhook.tenant, delivery.source_id):
            receipt = await parts.work(parts.deliveries.accept, delivery, within=spend)
    return receipt_answer(receipt)
