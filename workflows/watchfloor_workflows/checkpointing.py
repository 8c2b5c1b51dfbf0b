"""Checkpoints of the ledger: one at each interval and at a clean stop, and a copy of each with the witness.

A witness that does not answer never holds up a signature or a stop: copies are made in a thread that nobody waits for
longer than `WITNESS_WAIT_S`. A witness that contradicts the store does: a store that was cut back and goes on would get
another history signed by the true key, and only the witness can tell.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Final

from watchfloor_core.dsse import Signer
from watchfloor_core.errors import (
    ConfigurationError,
    ConflictError,
    LedgerError,
    UnavailableError,
    WatchfloorError,
)
from watchfloor_core.keys.signing import CHECKPOINT_KEY, signing_key
from watchfloor_core.ledger import (
    Checkpoint,
    Witness,
    last_checkpoint,
    ledger_tenants,
    make_checkpoint,
    read_checkpoints,
)
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store

logger = logging.getLogger(__name__)

WITNESS_WAIT_S: Final = 5.0
COPIES: Final = 500
"""Checkpoints that are read at once; the store is let go before they are written."""


@asynccontextmanager
async def checkpoints_kept(store: Store, settings: Settings) -> AsyncIterator[None]:
    """Keep checkpoints while the block runs, and make a last one after it. Put it around what records decisions.

    Raises `ConfigurationError` where the signing key cannot be used.
    """
    signing_key(settings.data_dir / "keys", CHECKPOINT_KEY)
    stop = asyncio.Event()
    keeping = asyncio.create_task(keep_checkpoints(store, settings, stop))
    try:
        yield
    finally:
        stop.set()
        await keeping


async def keep_checkpoints(store: Store, settings: Settings, stop: asyncio.Event) -> None:
    """Make a checkpoint of every tenant at each interval until ``stop``, and a last one then. Safe beside others.

    What keeps one from being made is logged as an error and tried again at the next interval. Raises
    `ConfigurationError` where the signing key cannot be used.
    """
    signer = signing_key(settings.data_dir / "keys", CHECKPOINT_KEY)
    copies = _copies(store, settings)
    thread = _CopyThread(copies) if copies is not None else None
    is_last = False
    while not is_last:
        is_last = stop.is_set()
        try:
            if thread is not None:
                await thread.run()
            await asyncio.to_thread(_make_all, store, signer, copies)
            if thread is not None:
                await thread.run()
        except Exception:
            # Whatever it is: no checkpoints ever again would be worse, and nobody waits for this task before the end.
            logger.exception("checkpoints are put off to the next interval")
        if not is_last:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), settings.checkpoint_interval_s)


def checkpoint_now(store: Store, settings: Settings, tenant: str) -> Checkpoint | None:
    """One checkpoint at once, of one tenant, with its copy; None where nothing came since the last one.

    Raises `ConfigurationError` where this machine has not the key, `LedgerError` where the ledger or the witness
    contradicts what was signed before.
    """
    folder = settings.data_dir / "keys"
    if not (folder / f"{CHECKPOINT_KEY}.key").exists():
        raise ConfigurationError(
            f"{str(folder)!r} holds no {CHECKPOINT_KEY}.key; call this where a worker runs, with its data directory: "
            "another key's signature would be a stranger's to whoever pinned that one"
        )
    copies = _copies(store, settings)
    if copies is not None:
        copies.bring_up()
        copies.raise_for_contradiction(tenant)
    made = make_checkpoint(store, tenant, signing_key(folder, CHECKPOINT_KEY))
    if copies is not None:
        copies.bring_up()
    return made


class WitnessCopies:
    """Copies to the witness what it has not, and remembers of which tenants it contradicts the store."""

    def __init__(self, store: Store, witness: Witness) -> None:
        self._store: Final = store
        self._witness: Final = witness
        self._known: Final[dict[str, set[int]]] = {}
        self._contradictions: Final[dict[str, str]] = {}

    def bring_up(self) -> None:
        """Copy what is missing. What cannot be copied now is logged as an error and left for the next time."""
        try:
            with self._store.read() as connection:
                tenants = ledger_tenants(connection)
        except UnavailableError as error:
            logger.warning("checkpoints are copied to the witness later: %s", error)
            return
        for tenant in tenants:
            try:
                self._bring_up(tenant)
            except LedgerError as error:
                self._contradictions[tenant] = str(error)
                logger.error("the ledger of tenant %s does not hold against its witness: %s", tenant, error)
            except WatchfloorError as error:
                logger.error("checkpoints of tenant %s are not with the witness yet: %s", tenant, error)
            else:
                self._contradictions.pop(tenant, None)

    def raise_for_contradiction(self, tenant: str) -> None:
        """Raise `LedgerError` where the witness last contradicted the store."""
        if tenant in self._contradictions:
            raise LedgerError(self._contradictions[tenant])

    def _bring_up(self, tenant: str) -> None:
        # In this order: what the witness had before the store is read, the store has, unless it was cut.
        known = self._known.get(tenant)
        if known is None:
            known = self._witness.numbers(tenant)
        with self._store.read() as connection:
            last = last_checkpoint(connection, tenant)
        newest = 0 if last is None else last.number
        if (kept := max(known, default=0)) > newest:
            raise LedgerError(
                f"the witness has checkpoint {kept}, the store none after {newest}: it was cut, or restored from a "
                "copy; nothing more is signed until that is cleared up. To go on after a restore, keep this witness "
                "folder as it is and set `checkpoint_witness` to a new one"
            )
        if tenant not in self._known:
            # Once for each process the newest copy is held against the store: it stands for all before it.
            known.discard(kept)
            self._known[tenant] = known
        whole = next(number for number in range(newest + 1) if number + 1 not in known)
        while missing := self._missing(tenant, whole, known):
            for number, envelope in missing:
                self._witness.keep(tenant, number, envelope)
                known.add(number)

    def _missing(self, tenant: str, after: int, known: set[int]) -> list[tuple[int, str]]:
        with self._store.read() as connection:
            there = read_checkpoints(connection, tenant, after)
            return list(islice(((one.number, one.envelope) for one in there if one.number not in known), COPIES))


class _CopyThread:
    """Runs the copying beside everything else: a mount that hangs must hold up neither the worker nor its end."""

    def __init__(self, copies: WitnessCopies) -> None:
        self._copies: Final = copies
        self._thread: threading.Thread | None = None

    async def run(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._bring_up, name="witness", daemon=True)
            self._thread.start()
        await asyncio.to_thread(self._thread.join, WITNESS_WAIT_S)
        if self._thread.is_alive():
            logger.error("the witness folder does not answer; checkpoints are signed, but not copied yet")

    def _bring_up(self) -> None:
        try:
            self._copies.bring_up()
        except Exception:
            logger.exception("checkpoints are not copied to the witness; the next interval tries again")


def _copies(store: Store, settings: Settings) -> WitnessCopies | None:
    folder = settings.checkpoint_witness
    return None if folder is None else WitnessCopies(store, Witness(folder))


def _make_all(store: Store, signer: Signer, copies: WitnessCopies | None) -> None:
    try:
        with store.read() as connection:
            tenants = ledger_tenants(connection)
    except UnavailableError as error:
        logger.warning("checkpoints are put off: %s", error)
        return
    for tenant in tenants:
        try:
            if copies is not None:
                copies.raise_for_contradiction(tenant)
            made = make_checkpoint(store, tenant, signer)
        except LedgerError as error:
            logger.error("the ledger of tenant %s gets no checkpoint: %s", tenant, error)
        except (UnavailableError, ConflictError) as error:
            logger.warning("the checkpoint of tenant %s is put off: %s", tenant, error)
        else:
            if made is not None:
                logger.info("checkpoint %d of tenant %s covers %d entries", made.number, tenant, made.entries)
