"""What the routes work with, built once by `watchfloor_service.api.app.create_app`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from fastapi import Request

from watchfloor_core.store.engine import Store
from watchfloor_guardrails.assertion import RelyingParty
from watchfloor_service.api.approval_desk import ApprovalDesk
from watchfloor_service.api.authentication import Authenticator
from watchfloor_service.api.backpressure import Backpressure
from watchfloor_service.api.bodies import BodyBudget
from watchfloor_service.api.delivery import Deliveries
from watchfloor_service.api.identity import IdentityParts
from watchfloor_service.api.incident_desk import IncidentDesk
from watchfloor_service.intake.webhook_file import Webhook
from watchfloor_workflows.playbooks.shelf import FolderShelf

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiParts:
    store: Store
    authenticator: Authenticator
    identity: IdentityParts
    backpressure: Backpressure
    deliveries: Deliveries
    desk: IncidentDesk
    approvals: ApprovalDesk
    party: RelyingParty | None
    """For what passkeys are made; None where no browser could use one."""
    webhooks: Mapping[str, Webhook]
    max_request_bytes: int
    bodies: BodyBudget
    """For callers who have proved who they are."""
    strangers_bodies: BodyBudget
    """For senders who prove it by the body itself."""
    workers: Executor
    """Parses and writes; its size bounds how many bodies are worked on at once."""
    shelf: FolderShelf
    """The playbooks that may be run."""

    async def work(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Parse and write in a worker thread, so that the event loop stays free to answer."""
        return await asyncio.get_running_loop().run_in_executor(self.workers, partial(function, *args, **kwargs))


def parts_of(request: Request) -> ApiParts:
    """The parts of the application that a request came to."""
    parts = request.app.state.parts
    if not isinstance(parts, ApiParts):
        raise TypeError(f"app.state.parts is {parts!r}, expected ApiParts")
    return parts
