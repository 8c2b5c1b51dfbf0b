"""Signs of life of executions that are under way, from one thread for all of an executor's."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import bindparam, update

from watchfloor_core.clock import now_us
from watchfloor_core.errors import UnavailableError
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import execution

logger = logging.getLogger(__name__)

BEAT_S: Final = 2.0
"""How often an executor says that it is still at it."""
IDLE_S: Final = 60.0
"""How long the thread stays for the next execution; starting one takes longer than many a step of the gate."""
_BEAT: Final = (
    update(execution)
    .where(
        execution.c.tenant == bindparam("of_tenant"),
        execution.c.grant_id == bindparam("of_grant"),
        execution.c.phase == "acting",
    )
    .values(beat_us=bindparam("at"))
)


class Pulse:
    """Meanwhile the rows say that somebody is at it, so that a stop waits and nobody takes over. Thread-safe."""

    def __init__(self, store: Store, *, beat_s: float = BEAT_S, idle_s: float = IDLE_S) -> None:
        self._store = store
        self._beat_s = beat_s
        self._idle_s = idle_s
        self._changed = threading.Condition()
        self._alive: set[tuple[str, str]] = set()
        self._ready = 0
        self._thread: threading.Thread | None = None
        self._is_idle = False

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Until the block ends, signs of life can be given. Raises `UnavailableError` where they cannot: then nothing
        must be begun, for nobody would know that it is under way."""
        with self._changed:
            self._ensure_thread()
            self._ready += 1
        try:
            yield
        finally:
            with self._changed:
                self._ready -= 1

    @contextmanager
    def beating(self, tenant: str, grant_id: str) -> Iterator[None]:
        """Until the block ends, this execution is said to be under way. Raises `UnavailableError` where that cannot be
        said; not within `ready`."""
        with self._changed:
            self._ensure_thread()
            self._alive.add((tenant, grant_id))
            if self._is_idle:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._alive.discard((tenant, grant_id))

    def _ensure_thread(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        thread = threading.Thread(target=self._run, name="execution-beat", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise UnavailableError(f"no sign of life can be given ({error}); ask again") from None
        self._thread = thread

    def _run(self) -> None:
        while self._wait():
            # Whoever consumed a grant has just said so in its row, so the first beat is due an interval later.
            time.sleep(self._beat_s)
            with self._changed:
                beating = sorted(self._alive)
            if beating:
                self._beat(beating)

    def _wait(self) -> bool:
        """Until something is under way; False where nothing was for long, and the thread is to end."""
        with self._changed:
            self._is_idle = True
            while not (has_more := bool(self._changed.wait_for(lambda: self._alive, timeout=self._idle_s))):
                if not self._ready:
                    self._thread = None
                    break
            self._is_idle = False
        return has_more

    def _beat(self, beating: list[tuple[str, str]]) -> None:
        now = now_us()
        rows = [{"of_tenant": tenant, "of_grant": grant_id, "at": now} for tenant, grant_id in beating]
        try:
            with self._store.write() as connection:
                connection.execute(_BEAT, rows)
        except Exception as error:  # noqa: BLE001 - the others' next signs of life come from this thread
            logger.warning("the store did not take a sign of life: %s", error)
