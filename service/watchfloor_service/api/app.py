"""The HTTP API: alerts in, incidents out, and people's decisions to the workflows.

Here it is only put together. Every route names the scope that it needs, but for ``/healthz``, the signed webhooks and
what people sign in by; an application in which another does not is not built.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from typing import Final

import anyio.to_thread
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from watchfloor_connectors.channels.config import FILE as CHANNEL_FILE
from watchfloor_connectors.channels.config import load_channels
from watchfloor_connectors.registry import Registry
from watchfloor_connectors.secrets.resolve import secret_text
from watchfloor_core.errors import WatchfloorError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.telemetry.setup import configure_telemetry
from watchfloor_service.access.oidc_provider import OidcProvider
from watchfloor_service.access.oidc_settings import oidc_settings
from watchfloor_service.access.operator_token import operator_token
from watchfloor_service.access.passwords import Passwords
from watchfloor_service.api.approval_desk import ApprovalDesk, temporal_approval_desk
from watchfloor_service.api.authentication import Authenticator, Known, Requires
from watchfloor_service.api.backpressure import Backpressure
from watchfloor_service.api.bodies import BODIES_IN_MEMORY, BodyBudget
from watchfloor_service.api.boundary import RequestBoundary
from watchfloor_service.api.delivery import Deliveries
from watchfloor_service.api.identity import IdentityParts
from watchfloor_service.api.incident_desk import IncidentDesk, temporal_desk
from watchfloor_service.api.parts import ApiParts
from watchfloor_service.api.problems import install_problem_handlers
from watchfloor_service.api.refusals import Refusals
from watchfloor_service.api.routes import (
    actions,
    alerts,
    approver_keys,
    channels,
    corrections,
    deadletters,
    first_login,
    health,
    incidents,
    kill,
    oidc,
    playbooks,
    session,
    webhooks,
)
from watchfloor_service.api.routes import approvals as approvals_routes
from watchfloor_service.api.throttle import FailureThrottle
from watchfloor_service.channels.parts import AccountRoles, ChannelParts
from watchfloor_service.collector import rare_collections
from watchfloor_service.intake.folder import FolderIntake
from watchfloor_service.intake.webhook_file import FILE as WEBHOOK_FILE
from watchfloor_service.intake.webhook_file import load_webhooks
from watchfloor_service.intake.webhooks import MAX_BODY_BYTES
from watchfloor_workflows.passkeys import relying_party
from watchfloor_workflows.playbooks.shelf import FolderShelf

_LOG = logging.getLogger(__name__)

WITH_TOKEN: Final = (
    alerts.router,
    incidents.router,
    incidents.evidence_router,
    corrections.router,
    approvals_routes.router,
    actions.router,
    actions.freezes_router,
    playbooks.router,
    playbooks.runs_router,
    playbooks.tasks_router,
    approver_keys.router,
    kill.router,
    deadletters.router,
    health.router,
)
FOR_ONESELF: Final = (session.router,)
"""Any known caller may call them, about themselves."""
SIGN_IN: Final = (session.open_router, first_login.router, oidc.router)
"""Prove a person by a password, a one-time link or the identity provider."""
SELF_PROVING: Final = (webhooks.router, channels.router)
"""Prove the sender by a signature over the body."""
OPEN: Final = (health.open_router,)

WORKERS: Final = {"sqlite": 2, "postgresql": 4}
"""Threads that parse and write bodies: one parses while another waits for the store, which takes longer over a network.
More would only contend for the interpreter: a third one on SQLite cost 10 % more CPU time for each alert."""
READERS: Final = 10
"""Threads for everything else; not more than the store has connections for."""


def create_app(
    settings: Settings,
    store: Store | None = None,
    *,
    registry: Registry | None = None,
    desk: IncidentDesk | None = None,
    approvals: ApprovalDesk | None = None,
) -> FastAPI:
    """The application over a migrated store; where none is given, over that of the settings, closed at shutdown.

    Raises `ConfigurationError` where a connector, a mapping, ``webhooks.yaml``, ``channels.yaml`` or single sign-on is
    set wrongly, and what `open_store` raises.
    """
    connectors = registry or Registry.load(settings)
    hooks = load_webhooks(settings.data_dir / WEBHOOK_FILE, frozenset(connectors.names()))
    reached = load_channels(settings.data_dir / CHANNEL_FILE, secret_text(settings))
    sign_on = oidc_settings(settings)
    provider = None if sign_on is None else OidcProvider(sign_on)
    used = store or open_store(settings.store_url)
    refusals = Refusals(used)
    folder = None
    if settings.watch_folder is not None:
        folder = FolderIntake(used, settings, connectors, settings.watch_folder)
    workers = ThreadPoolExecutor(WORKERS[used.dialect], thread_name_prefix="intake")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = READERS
        _make_operator_token(used, settings)
        with (
            rare_collections(),
            configure_telemetry(settings, used, "watchfloor-api"),
            folder.running() if folder is not None else nullcontext(),
        ):
            yield
        workers.shutdown()
        if provider is not None:
            provider.close()
        if store is None:
            used.close()

    app = FastAPI(
        title="Watchfloor",
        lifespan=lifespan,
        # The reference is in the documentation; a description for strangers is not served.
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Spans come from `RequestBoundary`, through the allow-list of what may stand in one.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.parts = ApiParts(
        store=used,
        authenticator=Authenticator(used, FailureThrottle(), refusals),
        identity=IdentityParts(Passwords(), refusals, settings.tenant, provider),
        backpressure=Backpressure(used, settings.max_pending_alerts),
        deliveries=Deliveries(used, connectors, settings),
        desk=desk or temporal_desk(settings),
        approvals=approvals or temporal_approval_desk(settings),
        party=relying_party(settings),
        webhooks=hooks,
        max_request_bytes=settings.max_request_bytes,
        bodies=BodyBudget(BODIES_IN_MEMORY * settings.max_request_bytes),
        strangers_bodies=BodyBudget(BODIES_IN_MEMORY * MAX_BODY_BYTES),
        workers=workers,
        shelf=FolderShelf(settings, used),
    )
    app.state.channel_parts = ChannelParts(reached, AccountRoles(used))
    install_problem_handlers(app)
    app.add_middleware(RequestBoundary)
    _refuse_open_routes(WITH_TOKEN, Requires)
    _refuse_open_routes(FOR_ONESELF, Known)
    for router in (*WITH_TOKEN, *FOR_ONESELF, *SIGN_IN, *SELF_PROVING, *OPEN):
        app.include_router(router)
    return app


def required_scope(route: APIRoute) -> Requires | None:
    """What a route asks of its caller; None where it names no scope."""
    return next((call for call in dependencies_of(route) if isinstance(call, Requires)), None)


def dependencies_of(route: APIRoute) -> Iterator[object]:
    """What is called before a route's function: its dependencies, and theirs."""
    waiting = list(route.dependant.dependencies)
    while waiting:
        dependency = waiting.pop(0)
        yield dependency.call
        waiting = [*dependency.dependencies, *waiting]


def _refuse_open_routes(routers: Iterable[APIRouter], guard: type[Requires | Known]) -> None:
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute) or not any(isinstance(call, guard) for call in dependencies_of(route)):
                raise TypeError(f"route {route!r} names no scope; give its function a parameter with Requires(...)")


def _make_operator_token(store: Store, settings: Settings) -> None:
    """At first start, so that the command line and curl find it. Where there is no data directory, nobody needs it."""
    if not settings.data_dir.is_dir():
        return
    try:
        operator_token(store, settings.data_dir, settings.tenant)
    except (WatchfloorError, OSError) as error:
        _LOG.warning("no operator's token: %s", error)
