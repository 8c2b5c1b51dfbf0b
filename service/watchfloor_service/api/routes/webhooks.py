"""``POST /v1/webhooks/{name}``: batches from senders that sign instead of holding a token."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from watchfloor_service.api.authentication import client_of
from watchfloor_service.api.bodies import check_encoding
from watchfloor_service.api.delivery import Delivery
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.routes.alerts import layout_of, receipt_answer
from watchfloor_service.api.routes.tracing import traced
from watchfloor_service.intake.webhook_file import Webhook
from watchfloor_service.intake.webhooks import MAX_BODY_BYTES, SIGNATURE_HEADER, spend_signature, verify

router = APIRouter()


_STRANGERS_FAULTS: Final = (
    ProblemKind.UNAUTHENTICATED,
    ProblemKind.BODY_TIMEOUT,
    ProblemKind.MALFORMED_BODY,
    ProblemKind.TOO_LARGE,
)
"""Count against an address that has not proved itself: each made the server read for nothing."""


@router.post("/v1/webhooks/{name}")
async def post_webhook(name: str, request: Request) -> Response:
    """Take a signed batch in: 202 with counts, 401 unless the signature is right, 409 where it was used before."""
    parts = parts_of(request)
    client = client_of(request)
    credential = hashlib.sha256(f"webhook {name}".encode("utf-8", "surrogatepass")).digest()
    parts.authenticator.admit(client, credential)
    is_proven = False
    try:
        async with parts.strangers_bodies.receive(request, min(MAX_BODY_BYTES, parts.max_request_bytes)) as body:
            header = request.headers.get(SIGNATURE_HEADER)
            webhook, signature = await run_in_threadpool(verify, parts.webhooks, name, header, body)
            is_proven = True
            parts.authenticator.succeeded(credential)
            return await _take_in(request, webhook, signature, body)
    except ProblemError as problem:
        if not is_proven and problem.kind in _STRANGERS_FAULTS:
            parts.authenticator.failed(client)
        raise


async def _take_in(request: Request, webhook: Webhook, signature: bytes, body: bytes) -> Response:
    """Of a sender who is known. Only here is it told what the address takes."""
    parts = parts_of(request)
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
