"""Whether the process lives (for anyone) and whether it can work (for a token with ``health:read``)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.caller import Caller
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.parts import ApiParts, parts_of

open_router = APIRouter()
router = APIRouter()


@open_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process answers. Says nothing about anything else."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(_caller: Annotated[Caller, Depends(Requires(Scope.HEALTH_READ))], request: Request) -> dict[str, str]:
    """200 where alerts can be taken in; Temporal is reported, for without it only decisions have to wait.

    That the caller's token could be looked up is the proof that the store answers; where it does not, the answer has
    been 503.
    """
    parts: ApiParts = parts_of(request)
    return {"store": "ok", "temporal": "ok" if await parts.desk.is_reachable() else "unreachable"}
