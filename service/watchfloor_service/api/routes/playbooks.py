"""Playbooks: what may be run; starting, following, stopping and taking back runs; answering their tasks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError

from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.decision import Principal
from watchfloor_guardrails.draft import MAX_PURPOSE
from watchfloor_guardrails.roles import Scope
from watchfloor_playbooks.extension import of_playbook
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_service.access.caller import Caller
from watchfloor_service.api.authentication import Requires
from watchfloor_service.api.http_json import JsonBody, StrictModel, json_answer
from watchfloor_service.api.parts import parts_of
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.api.routes.tracing import traced
from watchfloor_service.playbooks.asking import start, start_picked, stop, take_back
from watchfloor_service.playbooks.views import MAX_PAGE, list_runs, list_tasks, load_run, run_id_of
from watchfloor_workflows.playbooks.records import read_run
from watchfloor_workflows.playbooks.starting import loaded
from watchfloor_workflows.playbooks.tasks import MAX_COMMENT, MAX_VALUE, Answer, answer_task

router = APIRouter(prefix="/v1/playbooks")
runs_router = APIRouter(prefix="/v1/playbook-runs")
tasks_router = APIRouter(prefix="/v1/playbook-tasks")

Reader: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_READ))]
Asker: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_PROPOSE))]
Person: TypeAlias = Annotated[Caller, Depends(Requires(Scope.ACTIONS_PROPOSE, is_for_people=True))]

MAX_VALUES: Final = 200
_NO_NUL: Final = r"^[^\x00]*$"
Name: TypeAlias = Annotated[str, Field(pattern=r"^__[a-zA-Z][a-zA-Z0-9_-]{0,199}__$")]
Values: TypeAlias = Annotated[
    dict[Name, Annotated[str, Field(max_length=MAX_VALUE, pattern=_NO_NUL)]], Field(max_length=MAX_VALUES)
]
Reason: TypeAlias = Annotated[str, Field(min_length=1, max_length=MAX_PURPOSE, pattern=_NO_NUL)]


def named_run(run_id: str) -> str:
    """The id in a route's path."""
    return run_id_of(run_id)


RunId: TypeAlias = Annotated[str, Depends(named_run)]


class StartRequest(StrictModel):
    incident_id: str = Field(pattern=r"^inc-[0-9a-f]{16}$")
    playbook_id: str = Field(pattern=r"^playbook--[0-9a-fA-F-]{36}$")
    version: str | None = Field(default=None, max_length=40, pattern=_NO_NUL)
    """Its ``modified``; none: the latest."""
    values: Values = Field(default_factory=dict)
    reason: Reason


class FillRequest(StrictModel):
    values: Values = Field(default_factory=dict)
    """Beside or instead of what it was filled with."""


class ReasonRequest(StrictModel):
    reason: Reason


class AnswerRequest(StrictModel):
    is_done: bool
    values: Values = Field(default_factory=dict)
    comment: str = Field(default="", max_length=MAX_COMMENT, pattern=_NO_NUL)


@dataclass(frozen=True, slots=True)
class PlaybookView:
    """One file of the shelf."""

    file: str
    playbook_id: str | None
    name: str | None
    version: str | None
    attack: list[str]
    signers: list[str]
    problem: str | None
    """Why it cannot be run."""


@dataclass(frozen=True, slots=True)
class StartedView:
    run_id: str


@router.get("")
def playbooks(caller: Reader, request: Request) -> Response:  # noqa: ARG001 -- the guard is what it is for
    """The playbooks that are loaded here, and why one cannot be run."""
    found = [
        PlaybookView(
            file=one.file,
            playbook_id=None if one.playbook is None else one.playbook.id,
            name=None if one.playbook is None else one.playbook.head.name,
            version=None if one.playbook is None else one.playbook.head.modified,
            attack=[] if one.playbook is None else list(of_playbook(one.playbook).attack),
            signers=list(one.signers),
            problem=one.problem,
        )
        for one in parts_of(request).shelf.all()
    ]
    return json_answer({"playbooks": found})


@runs_router.get("")
def list_(
    caller: Reader,
    request: Request,
    status: Annotated[list[RunStatus], Query()] = [],  # noqa: B006 -- FastAPI copies the default
    incident_id: Annotated[str | None, Query(pattern=r"^inc-[0-9a-f]{16}$")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
) -> Response:
    """The tenant's runs, the newest first."""
    with parts_of(request).store.read() as connection:
        found = list_runs(connection, caller.tenant, incident_id=incident_id, statuses=status, limit=limit)
    return json_answer({"runs": found})


@runs_router.get("/{run_id}")
def show(caller: Reader, request: Request, run_id: RunId) -> Response:
    """One run, whole: its values with their labels, work, steps, and what it did."""
    with parts_of(request).store.read() as connection:
        found = load_run(connection, caller.tenant, run_id)
    return json_answer(found)


@runs_router.post("")
def start_(caller: Asker, body: Annotated[StartRequest, Depends(JsonBody(StartRequest))], request: Request) -> Response:
    """Start a playbook for an incident; 202. Each of its effects is a proposal, which the caller does not approve."""
    parts = parts_of(request)
    shelved = parts.shelf.find(body.playbook_id, body.version)
    with traced(request, caller.tenant, caller.principal), _asking(), parts.store.write() as connection:
        run_id = start(connection, caller, body.incident_id, shelved, body.values, body.reason)
    return json_answer(StartedView(run_id), 202)


@runs_router.post("/{run_id}/start")
def start_picked_(
    caller: Person,
    run_id: RunId,
    body: Annotated[FillRequest, Depends(JsonBody(FillRequest))],
    request: Request,
) -> Response:
    """Start a run that the response agent has picked and filled; 202. The caller approves nothing of it."""
    parts = parts_of(request)
    with parts.store.read() as connection:
        picked = read_run(connection, caller.tenant, run_id)
    # It may have been changed, withdrawn or revoked since, and a signature may be wanted by now.
    shelved = parts.shelf.find(picked.playbook_id, loaded(picked.content).head.modified)
    with traced(request, caller.tenant, caller.principal), _asking(), parts.store.write() as connection:
        start_picked(connection, caller, run_id, shelved, body.values)
    return json_answer(StartedView(run_id), 202)


@runs_router.post("/{run_id}/stop")
def stop_(
    caller: Person,
    run_id: RunId,
    body: Annotated[ReasonRequest, Depends(JsonBody(ReasonRequest))],
    request: Request,
) -> Response:
    """End a run: nothing of it is waited for any more. What it did stays, until it is taken back; 202."""
    with traced(request, caller.tenant, caller.principal), parts_of(request).store.write() as connection:
        stop(connection, caller, run_id, body.reason)
    return json_answer(StartedView(run_id), 202)


@runs_router.post("/{run_id}/rollback")
def rollback(
    caller: Asker,
    run_id: RunId,
    body: Annotated[ReasonRequest, Depends(JsonBody(ReasonRequest))],
    request: Request,
) -> Response:
    """Take a run back: its effects in reverse order, each undo a proposal of its own; 202."""
    with traced(request, caller.tenant, caller.principal), parts_of(request).store.write() as connection:
        undoing = take_back(connection, caller, run_id, body.reason)
    return json_answer(StartedView(undoing), 202)


@tasks_router.get("")
def tasks(caller: Reader, request: Request) -> Response:
    """What playbooks ask people to do, the oldest first."""
    with parts_of(request).store.read() as connection:
        found = list_tasks(connection, caller.tenant)
    return json_answer({"tasks": found})


@tasks_router.post("/{run_id}/{key}")
def answer(
    caller: Person,
    run_id: RunId,
    key: str,
    body: Annotated[AnswerRequest, Depends(JsonBody(AnswerRequest))],
    request: Request,
) -> Response:
    """A person's answer to a task; the run goes on with it."""
    said = Answer(body.is_done, body.values, body.comment)
    person = Principal(caller.principal, caller.kind)
    with traced(request, caller.tenant, caller.principal), _asking(), parts_of(request).store.write() as connection:
        answer_task(connection, caller.tenant, run_id, key[:16].replace("\0", ""), said, person)
    return json_answer(StartedView(run_id), 202)


@contextmanager
def _asking() -> Iterator[None]:
    """What is wrong with playbook or values is the caller's to mend."""
    try:
        yield
    except ConfigurationError as error:
        if isinstance(error.__cause__, SQLAlchemyError):
            raise
        raise ProblemError(ProblemKind.INVALID_REQUEST, str(error)) from error
