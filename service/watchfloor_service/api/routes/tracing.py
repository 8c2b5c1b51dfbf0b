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
    """Trace the block as the request's work."""
    attributes: dict[str, AttributeValue] = {
        SpanAttribute.TENANT: tenant,
        SpanAttribute.PRINCIPAL: principal,
        SpanAttribute.HTTP_REQUEST_METHOD: request.method,
        SpanAttribute.HTTP_ROUTE: route_template(request),
    }
    with span(SpanName.REQUEST, attributes):
        yield


def route_template(request: Request) -> str:
    """The address as it is written in the code, never the path that was asked for."""
    route = request.scope.get("route")
    return route.path if isinstance(route, APIRoute) else "unknown"
