"""Entry points of the stack's own processes: ``python -m watchfloor_service.process worker|executor|correlator|api``.

The same four run under the supervisor and, at scale, under whatever runs containers; settings come from the
environment. Exit code 0 after SIGTERM, 2 where an operator must mend something, 75 (EX_TEMPFAIL of sysexits.h) where a
part that is needed is down.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from typing import TYPE_CHECKING, Final, assert_never

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.telemetry.logs import configure_logging
from watchfloor_service.collector import rare_collections
from watchfloor_service.invocation import current_settings
from watchfloor_service.supervision.heartbeat import BEAT_EVERY_S, Heartbeat
from watchfloor_service.supervision.part import PartName

if TYPE_CHECKING:
    from watchfloor_core.settings import Settings

CONFIGURATION: Final = 2
UNAVAILABLE: Final = 75
GRACE_S: Final = 5
"""So long the API finishes requests after SIGTERM."""


def main() -> None:
    """Run one part until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m watchfloor_service.process")
    parser.add_argument("part", choices=[part.value for part in PartName if part is not PartName.TEMPORAL])
    parser.add_argument("--heartbeat", type=int, metavar="FD", help="descriptor of the supervisor's pipe")
    arguments = parser.parse_args()
    heartbeat = Heartbeat(arguments.heartbeat)
    try:
        settings = current_settings()
        configure_logging(settings, f"watchfloor-{arguments.part}")
        run_part(PartName(arguments.part), settings, heartbeat)
    except ConfigurationError as error:
        heartbeat.failed(str(error))
        print(f"watchfloor {arguments.part}: {error}", file=sys.stderr)
        sys.exit(CONFIGURATION)
    except UnavailableError as error:
        print(f"watchfloor {arguments.part}: {error}", file=sys.stderr)
        sys.exit(UNAVAILABLE)


def run_part(part: PartName, settings: Settings, heartbeat: Heartbeat) -> None:
    """Run it in this process until SIGTERM."""
    match part:
        case PartName.WORKER:
            asyncio.run(_work(settings, heartbeat))
        case PartName.EXECUTOR:
            asyncio.run(_execute(settings, heartbeat))
        case PartName.CORRELATOR:
            _correlate(settings, heartbeat)
        case PartName.API:
            _serve(settings)
        case PartName.TEMPORAL:
            raise ConfigurationError("temporal is a program of its own; start `temporal server`")
        case unknown:
            assert_never(unknown)


async def _work(settings: Settings, heartbeat: Heartbeat) -> None:
    from watchfloor_workflows.worker import run_worker

    beating = asyncio.create_task(_beat(heartbeat))
    try:
        with rare_collections():
            await run_worker(settings, on_ready=heartbeat.ready)
    finally:
        beating.cancel()


async def _execute(settings: Settings, heartbeat: Heartbeat) -> None:
    from watchfloor_workflows.executor import run_executor

    beating = asyncio.create_task(_beat(heartbeat))
    try:
        with rare_collections():
            await run_executor(settings, on_ready=heartbeat.ready)
    finally:
        beating.cancel()


async def _beat(heartbeat: Heartbeat) -> None:
    """From the event loop itself: a loop that is blocked makes no progress, and is seen to be silent."""
    while True:
        heartbeat.beat()
        await asyncio.sleep(BEAT_EVERY_S)


def _correlate(settings: Settings, heartbeat: Heartbeat) -> None:
    from watchfloor_agents.correlation.sequencer import Sequencer
    from watchfloor_core.store.engine import open_store
    from watchfloor_core.telemetry.setup import configure_telemetry
    from watchfloor_service.correlator import Correlator

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = open_store(settings.store_url)
    try:
        # A thread's beat here: one advance over a long backlog is a single call.
        with configure_telemetry(settings, store, "watchfloor-correlator"), heartbeat:
            heartbeat.ready()
            Correlator(store, Sequencer(store, settings).advance).run(stop)
    finally:
        store.close()


def _serve(settings: Settings) -> None:
    import uvicorn

    from watchfloor_service.api.app import create_app

    uvicorn.Server(
        uvicorn.Config(
            create_app(settings),
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_S,
        )
    ).run()


if __name__ == "__main__":
    main()
