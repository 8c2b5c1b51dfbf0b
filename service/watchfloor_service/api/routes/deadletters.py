"""``GET /v1/deadletters``: what could not become an alert, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from watchfloor_core.clock import to_iso
from watchfloor_core.store.deadletters import DeadLetter, count_dead_letters, list_dead_letters
from watchfloor_guardrails.roles import Scope
from watchfloor_service.access.caller import Caller
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.http_json import json_answer
from watchfloor_service.api.parts import parts_of

router = APIRouter()

MAX_PAGE = 500


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    """One dead letter; ``reason`` may quote the record."""

    id: int
    connector: str
    source_id: str
    batch_id: int
    position: int
    path: str | None
    reason: str
    created_at: str
    attempts: int
    resolved_at: str | None

    @classmethod
    def of(cls, letter: DeadLetter) -> DeadLetterView:
        return cls(
            id=letter.id,
            connector=letter.connector,
            source_id=letter.source_id,
            batch_id=letter.batch_id,
            position=letter.position,
            path=letter.path,
            reason=letter.reason,
            created_at=to_iso(letter.created_us),
            attempts=letter.attempts,
            resolved_at=None if letter.resolved_us is None else to_iso(letter.resolved_us),
        )


@dataclass(frozen=True, slots=True)
class DeadLetterPage:
    dead_letters: list[DeadLetterView]
    total: int
    next: int | None
    """The ``after`` of the following page; none on the last."""


@router.get("/v1/deadletters")
def list_(
    caller: Annotated[Caller, Depends(Requires(Scope.DEADLETTERS_READ))],
    request: Request,
    connector: Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]+$")] = None,
    state: Annotated[Literal["open", "resolved", "all"], Query()] = "open",
    after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
) -> Response:
    """A page of the caller's tenant's dead letters, oldest first."""
    is_open = {"open": True, "resolved": False, "all": None}[state]
    with parts_of(request).store.read() as connection:
        found = list_dead_letters(
            connection, caller.tenant, connector=connector, is_open=is_open, after=after, limit=limit + 1
        )
        total = count_dead_letters(connection, caller.tenant, connector=connector, is_open=is_open)
    page = found[:limit]
    following = page[-1].id if len(found) > limit else None
    return json_answer(DeadLetterPage([DeadLetterView.of(letter) for letter in page], total, following))
