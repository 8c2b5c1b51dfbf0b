"""JSON over HTTP: small bodies in, values out.

A body is a dependency, so that it is read only after the caller has been authenticated. FastAPI itself reads declared
bodies before it solves any dependency; a stranger would then learn from a 422 what an address expects, and make the
server read for nothing.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, ValidationError

from watchfloor_service.api.problems import ProblemError, ProblemKind

MAX_BYTES: Final = 64 * 1024

Model = TypeVar("Model", bound=BaseModel)


def json_answer(value: object, status: int = 200) -> Response:
    """``value`` (dataclasses too) as the response; text from alerts stands in it as JSON strings."""
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


class StrictModel(BaseModel):
    """Base of request bodies: unknown fields are refused, values are taken as they are or not at all."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class JsonBody(Generic[Model]):
    """Reads a body of at most 64 KiB as ``model``. To be declared after the dependency that authenticates."""

    def __init__(self, model: type[Model]) -> None:
        self._model = model

    async def __call__(self, request: Request) -> Model:
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise ProblemError(ProblemKind.UNSUPPORTED_MEDIA, "send the body as application/json")
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ProblemError(ProblemKind.TOO_LARGE, f"this body may have {MAX_BYTES:,} bytes")
        try:
            return self._model.model_validate_json(bytes(body))
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_context=False)) from None
