"""Takes planned files in and waits until the stack has decided on all that was in them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Final

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import current_revision
from watchfloor_core.store.migrations import HEAD
from watchfloor_core.store.sources import close_source, note_batch, register_source
from watchfloor_core.telemetry.setup import configure_telemetry
from watchfloor_service.runs.completion import Completion, look
from watchfloor_service.runs.input_file import UnreadableFile
from watchfloor_service.runs.inventory import write_inventory
from watchfloor_service.runs.plan import Plan
from watchfloor_service.runs.progress import Progress, Standing
from watchfloor_service.runs.reading import Reading, is_closed, read_in, taken_up_to
from watchfloor_service.supervision.claim import is_claimed
from watchfloor_service.supervision.running import RunningStack, find_running
from watchfloor_service.supervision.stack import LOG_FOLDER, embedded_stack, store_place

POLL_S: Final = 0.2
STARTING_S: Final = 15.0
"""How long a stack that another command is just starting is waited for."""
STILL_S: Final = 60.0
"""After so long without any change the person is told where to look."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the files."""

    readings: tuple[Reading, ...]
    unreadable: tuple[UnreadableFile, ...]
    """Files that turned out unreadable while they were read."""
    seconds: float
    """From the first record read to the last incident decided on."""

    @property
    def alerts(self) -> int:
        """Records of this run that became an alert."""
        return sum(reading.alerts for reading in self.readings)


@asynccontextmanager
async def some_stack(
    settings: Settings, command: str, plan: Plan, tell: Callable[[str], None], *, has_executor: bool = False
) -> AsyncIterator[RunningStack]:
    """The stack that runs on the data directory, or one of our own for as long as the block takes.

    The plan's sources are open before a correlator of ours looks at them: one that was left half read a while ago
    would count as abandoned. ``has_executor``: for tenants in which actions are proposed; a run over files proposes
    none. Raises `ConfigurationError` where the running one decides by another matrix or works on
    another database.
    """
    running = await lasting_stack(settings)
    if running is None:
        # Nobody needs to find this one's ports, so it takes free ones.
        async with embedded_stack(
            settings.model_copy(update={"temporal_port": 0}),
            command,
            has_api=False,
            has_executor=has_executor,
            tell=tell,
            prepare=lambda: open_sources(settings, plan),
        ) as stack:
            yield stack
        return
    check_fits(settings, running)
    await asyncio.to_thread(open_sources, settings, plan)
    yield running


def done_before(settings: Settings, plan: Plan) -> Outcome | None:
    """The outcome where earlier runs have done all of it, so that nothing has to be started; else None."""
    started = time.monotonic()
    if settings.database_url is None and not (settings.data_dir / "watchfloor.db").exists():
        return None
    if current_revision(settings.store_url) != HEAD:
        return None
    with closing(open_store(settings.store_url)) as store:
        if not all(is_closed(store, plan.tenant, source_id) for source_id in plan.source_ids):
            return None
        if not _look(store, plan).is_done:
            return None
        readings = tuple(
            Reading(
                planned.connector.name,
                skipped=taken_up_to(store, plan.tenant, planned.file.source_id),
                alerts=0,
                is_complete=True,
            )
            for planned in plan.files
        )
    return Outcome(readings, (), time.monotonic() - started)


def check_fits(settings: Settings, running: RunningStack) -> None:
    """Raises `ConfigurationError` where the stack decides by another matrix or works on another database."""
    if running.store != store_place(settings):
        raise ConfigurationError(
            f"`watchfloor {running.command}` (pid {running.pid}) works on {running.store}, this command on "
            f"{store_place(settings)}; give both the same WATCHFLOOR_DATABASE_URL"
        )
    wanted = settings.autonomy_file
    if wanted is not None and str(wanted.absolute()) != running.autonomy_file:
        raise ConfigurationError(
            f"`watchfloor {running.command}` (pid {running.pid}) decides by "
            f"{running.autonomy_file or 'another matrix'}, "
            f"not by {str(wanted)!r}; leave the matrix out, stop that stack, or give another --data-dir"
        )


async def work_off(settings: Settings, plan: Plan, stack: RunningStack, progress: Progress) -> Outcome:
    """Read the plan's files in and wait for the verdicts.

    What was read before an interruption stays; the same plan again goes on from there. Raises `UnavailableError`
    where the stack ends meanwhile.
    """
    started = time.monotonic()
    stop = threading.Event()
    with closing(open_store(settings.store_url)) as store, configure_telemetry(settings, store, "watchfloor-run"):
        reading = asyncio.create_task(asyncio.to_thread(_read_all, store, settings, plan, stop))
        try:
            await _until_done(store, settings, plan, stack, reading, progress)
            readings, unreadable = reading.result()
        finally:
            stop.set()
            await asyncio.gather(reading, return_exceptions=True)
    return Outcome(tuple(readings), tuple(unreadable), time.monotonic() - started)


async def _until_done(
    store: Store,
    settings: Settings,
    plan: Plan,
    stack: RunningStack,
    reading: asyncio.Task[tuple[list[Reading], list[UnreadableFile]]],
    progress: Progress,
) -> None:
    last: Completion | None = None
    changed = time.monotonic()
    while True:
        # In this order: what is looked at after the last batch was written holds it.
        has_read = reading.done()
        if has_read:
            reading.result()
        now = await asyncio.to_thread(_look, store, plan)
        progress.show(_standing(now, is_reading=not has_read))
        if has_read and now.is_done:
            return
        if now != last:
            last, changed = now, time.monotonic()
        elif time.monotonic() - changed > STILL_S:
            progress.note(f"Nothing has changed for {STILL_S:.0f} s; see {settings.data_dir / LOG_FOLDER}.")
            changed = time.monotonic()
        if not is_claimed(settings.data_dir):
            raise UnavailableError(
                f"`watchfloor {stack.command}` (pid {stack.pid}) ended; what was read is kept: "
                "start it again, or run the same command again to go on"
            )
        await asyncio.sleep(POLL_S)


def _read_all(
    store: Store, settings: Settings, plan: Plan, stop: threading.Event
) -> tuple[list[Reading], list[UnreadableFile]]:
    readings: list[Reading] = []
    unreadable: list[UnreadableFile] = []
    for planned in plan.files:
        try:
            readings.append(read_in(store, settings, plan.tenant, planned.file, planned.connector_for, stop=stop))
        except ConfigurationError as error:
            # Its source is open and would hold event time back for the others.
            with store.write() as connection:
                close_source(connection, plan.tenant, planned.file.source_id)
            unreadable.append(UnreadableFile(planned.file.path, str(error)))
    return readings, unreadable


def open_sources(settings: Settings, plan: Plan) -> None:
    """Before the first record of any: an open file holds event time back, whichever of them is read first."""
    with closing(open_store(settings.store_url)) as store, store.write() as connection:
        for planned in plan.files:
            source_id = planned.file.source_id
            register_source(connection, plan.tenant, source_id, planned.file.path.name, is_bounded=True)
            note_batch(connection, plan.tenant, source_id, now_us(), None)
        if plan.assets is not None:
            write_inventory(connection, plan.tenant, plan.assets)


def _look(store: Store, plan: Plan) -> Completion:
    with store.read() as connection:
        return look(connection, plan.tenant, plan.source_ids)


def _standing(now: Completion, *, is_reading: bool) -> Standing:
    return Standing(
        records=now.records,
        is_reading=is_reading,
        alerts=now.alerts,
        correlated=now.alerts - now.pending,
        incidents=now.incidents,
        triaged=now.incidents - now.untriaged,
    )


async def lasting_stack(settings: Settings) -> RunningStack | None:
    """A stack that outlives this command; one that is just starting is waited for."""
    deadline = time.monotonic() + STARTING_S
    while is_claimed(settings.data_dir) and time.monotonic() < deadline:
        running = find_running(settings.data_dir)
        if running is not None:
            return running if running.is_lasting else None
        await asyncio.sleep(POLL_S)
    return None
