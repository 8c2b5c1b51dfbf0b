"""The outermost layer of the API: an id for each request, security headers, and no stack trace for anyone."""

from __future__ import annotations

import logging
import uuid
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watchfloor_service.api.problems import ProblemError, ProblemKind, problem_response

_LOG = logging.getLogger(__name__)

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
HTTPS_ONLY: Final = {"Strict-Transport-Security": "max-age=31536000"}


class RequestBoundary:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Our own, never the client's: an id in the log must not be something a stranger wrote.
        request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        has_started = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.update(SECURITY_HEADERS)
                if scope.get("scheme") == "https":
                    headers.update(HTTPS_ONLY)
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception:
            _LOG.exception("request %s failed: %s %s", request_id, scope["method"], ascii(scope["path"][:200]))
            if has_started:
                raise
            problem = ProblemError(ProblemKind.INTERNAL, "something went wrong here; the log has it under request_id")
            await problem_response(problem, request_id)(scope, receive, send_guarded)
