"""The embedded stack: from settings to running processes and back, everything in one data directory."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from watchfloor_core.clock import now_us
from watchfloor_core.keys.payload_file import ensure_ring, ring_file
from watchfloor_core.settings import Settings
from watchfloor_service.supervision.claim import Claim
from watchfloor_service.supervision.environment import settings_environment
from watchfloor_service.supervision.health import http_probe
from watchfloor_service.supervision.listening import LOOPBACK, claimed_port
from watchfloor_service.supervision.part import Part, PartName
from watchfloor_service.supervision.running import RunningStack, forget_running
from watchfloor_service.supervision.supervisor import Supervisor
from watchfloor_service.supervision.temporal_server import DATABASE_FILE, temporal_part

LOG_FOLDER: Final = "logs"


@asynccontextmanager
async def embedded_stack(
    settings: Settings,
    command: str,
    *,
    has_api: bool,
    has_executor: bool = True,
    tell: Callable[[str], None],
    prepare: Callable[[], None] = lambda: None,
) -> AsyncIterator[RunningStack]:
    """A stack that is ready inside the block and stopped after it.

    ``command`` is what others are told holds the directory; ``tell`` takes lines about restarts; ``prepare`` is
    called once the store is there and before any process of ours works on it. Raises
    `ConfigurationError` where an operator must mend something first, `UnavailableError` where a part does not start.
    """
    claim = Claim.take(settings.data_dir, command)
    try:
        settings = _with_ports(settings, has_api=has_api)
        start = _Start(settings, claim, command, has_api, has_executor, tell, prepare)
        async with _supervised(start) as stack:
            yield stack
    finally:
        claim.release()


@dataclass(frozen=True, slots=True)
class _Start:
    """What a stack is started with."""

    settings: Settings
    """With ports on which one can listen."""
    claim: Claim
    command: str
    has_api: bool
    has_executor: bool
    tell: Callable[[str], None]
    prepare: Callable[[], None]
    since_us: int = field(default_factory=now_us)

    def describe(self, processes: dict[str, int]) -> RunningStack:
        settings = self.settings
        return RunningStack(
            pid=os.getpid(),
            command=self.command,
            since_us=self.since_us,
            temporal_address=settings.temporal_address or f"{LOOPBACK}:{settings.temporal_port}",
            api_url=f"http://{_url_host(settings.api_host)}:{settings.api_port}" if self.has_api else None,
            autonomy_file=str(settings.autonomy_file.absolute()) if settings.autonomy_file else None,
            store=store_place(settings),
            processes=processes,
        )


@asynccontextmanager
async def _supervised(start: _Start) -> AsyncIterator[RunningStack]:
    settings, is_ready = start.settings, False

    def write_down(processes: dict[str, int]) -> None:
        if is_ready:
            start.describe(processes).write(settings.data_dir)

    supervisor = Supervisor(
        settings.data_dir / LOG_FOLDER, inherited=(start.claim.descriptor,), tell=start.tell, changed=write_down
    )
    # Before the server makes it.
    has_history = (settings.data_dir / DATABASE_FILE).exists()
    if settings.payload_keys is None:
        # History without keys is of version 0.1, which wrote it in the clear; its workflows go on.
        ensure_ring(ring_file(settings.data_dir), accepts_plaintext=has_history and settings.temporal_address is None)
    try:
        if settings.temporal_address is None:
            supervisor.start(temporal_part(settings, await asyncio.to_thread(_search_attributes)))
        # While the server starts. The others find the tables made; a store that is too new or damaged stops us here.
        await asyncio.to_thread(_prepare_store, settings, has_history=has_history)
        await asyncio.to_thread(start.prepare)
        supervisor.start(*_own_parts(settings, has_api=start.has_api, has_executor=start.has_executor))
        await supervisor.until_ready()
        is_ready = True
        write_down(supervisor.processes)
        yield start.describe(supervisor.processes)
    finally:
        is_ready = False
        await supervisor.stop()
        forget_running(settings.data_dir)


def store_place(settings: Settings) -> str:
    """The database as messages show it, without its password."""
    from watchfloor_core.store.address import parse_address, shown

    return shown(parse_address(settings.store_url))


def _own_parts(settings: Settings, *, has_api: bool, has_executor: bool) -> list[Part]:
    def part(name: PartName, *, stop_s: float) -> Part:
        return Part(
            name=name,
            command=(sys.executable, "-m", "watchfloor_service.process", name.value),
            environment=settings_environment(settings, name),
            probe=None,
            has_heartbeat=True,
            silent_s=60.0,
            stop_s=stop_s,
        )

    parts = [part(PartName.WORKER, stop_s=15.0), part(PartName.CORRELATOR, stop_s=15.0)]
    if has_executor:
        parts.append(part(PartName.EXECUTOR, stop_s=25.0))
    if has_api:
        probe = http_probe(_reachable(settings.api_host), settings.api_port, "/healthz")
        parts.append(replace(part(PartName.API, stop_s=8.0), probe=probe))
    return parts


def _with_ports(settings: Settings, *, has_api: bool) -> Settings:
    """The settings with ports on which one can listen now."""
    ports: dict[str, int] = {}
    if settings.temporal_address is None:
        ports["temporal_port"] = claimed_port(LOOPBACK, settings.temporal_port, "temporal_port")
    if has_api:
        ports["api_port"] = claimed_port(settings.api_host, settings.api_port, "api_port")
    return settings.model_copy(update=ports)


def _search_attributes() -> list[str]:
    from watchfloor_workflows.search_attributes import server_arguments

    return server_arguments()


def _prepare_store(settings: Settings, *, has_history: bool) -> None:
    # Imported here: the migration tool takes half a second, in which the Temporal server starts.
    from watchfloor_core.keys.signing import GRANT_KEY, signing_key
    from watchfloor_core.store.engine import open_store
    from watchfloor_core.store.migrate import migrate
    from watchfloor_service.supervision.redelivery import deliver_actions_again, deliver_again

    migrate(settings.store_url)
    # Before worker and executor start side by side: the one signs with it, the other checks.
    signing_key(settings.data_dir / "keys", GRANT_KEY)
    if settings.temporal_address is not None:
        return
    store = open_store(settings.store_url)
    try:
        with store.write() as connection:
            deliver_again(connection, all_open=not has_history)
            if not has_history:
                deliver_actions_again(connection)
    finally:
        store.close()


def _reachable(host: str) -> str:
    """The address under which this machine reaches a server that listens on ``host``."""
    return {"0.0.0.0": LOOPBACK, "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound


def _url_host(host: str) -> str:
    shown = _reachable(host)
    return f"[{shown}]" if ":" in shown else shown
