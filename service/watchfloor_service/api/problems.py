"""How the API says no: RFC 9457 problem details, one closed list of kinds.

A problem never carries a stack trace, and of the request's body at most a short quoted excerpt.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from watchfloor_core.errors import (
    ConfigurationError,
    ConflictError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    WatchfloorError,
)
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import escape_untrusted

_LOG = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:watchfloor:problem:"
RETRY_AFTER_S: Final = 5
MAX_MISTAKES: Final = 20


_STORE_DOWN: Final = (ConfigurationError, ConflictError, UnavailableError)
"""What the store makes of a database that is away, gives way or has been taken from us: the client tries again."""


class ProblemKind(StrEnum):
    """The last part of a problem's ``type``: what a client may switch on."""

    MALFORMED_BODY = "malformed-body"
    INVALID_REQUEST = "invalid-request"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    METHOD_NOT_ALLOWED = "method-not-allowed"
    BODY_TIMEOUT = "body-timeout"
    CONFLICT = "conflict"
    REFUSED = "refused"
    REPLAYED = "replayed"
    TOO_LARGE = "too-large"
    UNSUPPORTED_MEDIA = "unsupported-media"
    UNKNOWN_CONNECTOR = "unknown-connector"
    IDEMPOTENCY_KEY_REUSED = "idempotency-key-reused"
    TOO_MANY_FAILURES = "too-many-failures"
    BACKPRESSURE = "backpressure"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


_STATUS_AND_TITLE: Final[Mapping[ProblemKind, tuple[int, str]]] = {
    ProblemKind.MALFORMED_BODY: (400, "The body cannot be read"),
    ProblemKind.INVALID_REQUEST: (422, "The request is not valid"),
    ProblemKind.UNAUTHENTICATED: (401, "Authentication failed"),
    ProblemKind.FORBIDDEN: (403, "Not allowed"),
    ProblemKind.NOT_FOUND: (404, "Not found"),
    ProblemKind.METHOD_NOT_ALLOWED: (405, "Method not allowed"),
    ProblemKind.BODY_TIMEOUT: (408, "The body came too slowly"),
    ProblemKind.CONFLICT: (409, "It changed in the meantime"),
    ProblemKind.REFUSED: (409, "Refused"),
    ProblemKind.REPLAYED: (409, "Received before"),
    ProblemKind.TOO_LARGE: (413, "Too large"),
    ProblemKind.UNSUPPORTED_MEDIA: (415, "Unsupported media type or encoding"),
    ProblemKind.UNKNOWN_CONNECTOR: (422, "Unknown connector"),
    ProblemKind.IDEMPOTENCY_KEY_REUSED: (422, "Idempotency key used before with another body"),
    ProblemKind.TOO_MANY_FAILURES: (429, "Too many failed authentications"),
    ProblemKind.BACKPRESSURE: (429, "Too many alerts are waiting"),
    ProblemKind.UNAVAILABLE: (503, "A part that is needed is down"),
    ProblemKind.INTERNAL: (500, "Internal error"),
}


class ProblemError(WatchfloorError):
    """Ends a request with one problem response."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, Json] | None = None,
    ) -> None:
        self.kind = kind
        self.detail = detail
        self.headers: Mapping[str, str] = headers or {}
        self.extensions: Mapping[str, Json] = extensions or {}
        super().__init__(detail)

    @property
    def status(self) -> int:
        return _STATUS_AND_TITLE[self.kind][0]


def retry_after(seconds: int = RETRY_AFTER_S) -> dict[str, str]:
    """The header that tells a client when to come again."""
    return {"Retry-After": str(seconds)}


def problem_response(problem: ProblemError, request_id: str) -> Response:
    """The ``application/problem+json`` response for ``problem``."""
    status, title = _STATUS_AND_TITLE[problem.kind]
    body = {
        "type": TYPE_PREFIX + problem.kind,
        "title": title,
        "status": status,
        "detail": problem.detail,
        "request_id": request_id,
        **problem.extensions,
    }
    return Response(orjson.dumps(body), status_code=status, media_type=MEDIA_TYPE, headers=dict(problem.headers))


def problem_of(error: WatchfloorError) -> ProblemError | None:
    """The problem that an expected error amounts to; None where the error is a defect or the operator's to mend."""
    if isinstance(error.__cause__, SQLAlchemyError) and isinstance(error, _STORE_DOWN):
        # The store's own words name hosts, paths and users: they go to the log, not to the client.
        return ProblemError(ProblemKind.UNAVAILABLE, "the store does not answer; try again", headers=retry_after())
    match error:
        case ProblemError():
            return error
        case NotFoundError():
            return ProblemError(ProblemKind.NOT_FOUND, str(error))
        case ConflictError():
            return ProblemError(ProblemKind.CONFLICT, str(error))
        case RefusedError():
            return ProblemError(ProblemKind.REFUSED, str(error))
        case UnavailableError():
            return ProblemError(
                ProblemKind.UNAVAILABLE, "a part that is needed does not answer; try again", headers=retry_after()
            )
        case _:
            return None


def invalid_request(error: RequestValidationError) -> ProblemError:
    """Every mistake in a request at once, by place and message, without the values sent."""
    return ProblemError(
        ProblemKind.INVALID_REQUEST,
        "the request has fields that are missing, wrong or unknown; see errors",
        extensions={
            "errors": [
                {"path": _path(mistake["loc"]), "message": str(mistake["msg"])}
                for mistake in error.errors()[:MAX_MISTAKES]
            ]
        },
    )


def _path(location: Sequence[str | int]) -> str:
    # The name of an unknown field is the client's own text.
    return ".".join(escape_untrusted(str(part)[:60]) for part in location)


def _http_problem(error: HTTPException) -> ProblemError:
    match error.status_code:
        case 404:
            return ProblemError(ProblemKind.NOT_FOUND, "there is no such address")
        case 405:
            return ProblemError(ProblemKind.METHOD_NOT_ALLOWED, "see Allow", headers=error.headers)
        case 413:
            return ProblemError(ProblemKind.TOO_LARGE, "the body is larger than this address takes")
        case _:
            return ProblemError(ProblemKind.MALFORMED_BODY, "the request cannot be read")


def request_id_of(request: Request) -> str:
    """The id that stands in the response's ``X-Request-Id`` and in the log."""
    return str(getattr(request.state, "request_id", ""))


def install_problem_handlers(app: FastAPI) -> None:
    """Make every expected error of ``app`` a problem response; unexpected ones are the request boundary's."""

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 -- registered for this type only
        return problem_response(invalid_request(error), request_id_of(request))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 -- registered for this type only
        return problem_response(_http_problem(error), request_id_of(request))

    async def on_expected(request: Request, error: Exception) -> Response:
        assert isinstance(error, WatchfloorError)  # noqa: S101 -- registered for this type only
        problem = problem_of(error)
        if problem is None:
            raise error
        if problem is not error:
            _LOG.info("request %s: %s", request_id_of(request), error)
        return problem_response(problem, request_id_of(request))

    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(WatchfloorError, on_expected)
