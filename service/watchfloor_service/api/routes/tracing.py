"""One span for each request that changes something, from where the caller is known: strangers write no spans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from fastapi.routing import APIRoute

from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_core.telemetry.spans import span


@contextmanager
def traced(request: Request, tenant: str, principal: str) -> Iterator[None]:
    """Trace the block as the request's work. The route's template is named, never the path that was asked for."""
    route = request.scope.get("route")
    attributes: dict[str, AttributeValue] = {
        SpanAttribute.TENANT: tenant,
        SpanAttribute.PRINCIPAL: principal,
        SpanAttribute.HTTP_REQUEST_METHOD: request.method,
        SpanAttribute.HTTP_ROUTE: route.path if isinstance(route, APIRoute) else "unknown",
    }
    with span(SpanName.REQUEST, attributes):
        yield
