"""Checkpoints beside the worker: at the interval and at the end, copied to the witness, and held against it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select

from watchfloor_core.errors import ConfigurationError, LedgerError
from watchfloor_core.keys.signing import CHECKPOINT_KEY, public_key, signing_key
from watchfloor_core.ledger import Decision, Trust, Witness, make_checkpoint, record_decisions, verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import ledger_checkpoint, ledger_checkpoint_chain
from watchfloor_workflows import checkpointing
from watchfloor_workflows.checkpointing import WitnessCopies, checkpoint_now, checkpoints_kept, keep_checkpoints


def record(store: Store, tenant: str = "acme") -> None:
    with store.write() as connection:
        record_decisions(connection, tenant, [Decision("inc-1", "verdict", {}, "verdict", 1, 1)])


def count(store: Store) -> int:
    with store.read() as connection:
        return connection.scalar(select(func.count()).select_from(ledger_checkpoint)) or 0


def cut(store: Store, after: int) -> None:
    """What somebody with the database does to get another history signed."""
    with store.write() as connection:
        for table in (ledger_checkpoint, ledger_checkpoint_chain):
            connection.execute(delete(table).where(table.c.number > after))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "witness").mkdir()
    return Settings(data_dir=tmp_path, checkpoint_witness=tmp_path / "witness")


@pytest.fixture
def witness(settings: Settings) -> Witness:
    assert settings.checkpoint_witness is not None
    return Witness(settings.checkpoint_witness)


async def run_once(store: Store, settings: Settings) -> None:
    """The turn at a clean stop."""
    stop = asyncio.Event()
    stop.set()
    await keep_checkpoints(store, settings, stop)


@pytest.mark.anyio
async def test_every_tenant_gets_a_checkpoint_and_the_witness_a_copy(
    store: Store, settings: Settings, witness: Witness
) -> None:
    record(store)
    record(store, "globex")
    await run_once(store, settings)
    record(store)
    await run_once(store, settings)
    await run_once(store, settings)

    assert (witness.numbers("acme"), witness.numbers("globex")) == ({1, 2}, {1})
    key = public_key(settings.data_dir / "keys" / f"{CHECKPOINT_KEY}.pub")
    signer = signing_key(settings.data_dir / "keys", CHECKPOINT_KEY)
    with store.read() as connection:
        report = verify_store(connection, "acme", Trust({signer.key_id: key}, witness))
    assert report.ok
    assert report.coverage is not None
    assert (report.coverage.entries, report.coverage.witnessed) == (2, 2)


@pytest.mark.anyio
async def test_what_is_recorded_while_all_stops_is_covered_by_a_last_checkpoint(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = asyncio.Event()
    loop = asyncio.get_running_loop()
    real = checkpointing._make_all

    def noting(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]  # passed on as they came
        loop.call_soon_threadsafe(made.set)

    monkeypatch.setattr(checkpointing, "_make_all", noting)
    record(sqlite_store)
    async with checkpoints_kept(sqlite_store, settings):
        await asyncio.wait_for(made.wait(), 10)
        assert count(sqlite_store) == 1
        record(sqlite_store)
    assert count(sqlite_store) == 2


@pytest.mark.anyio
async def test_without_a_usable_key_nothing_starts(sqlite_store: Store, settings: Settings) -> None:
    signing_key(settings.data_dir / "keys", CHECKPOINT_KEY)
    (settings.data_dir / "keys" / f"{CHECKPOINT_KEY}.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        async with checkpoints_kept(sqlite_store, settings):
            pytest.fail("it began")
    with pytest.raises(ConfigurationError, match="chmod 600"):
        await run_once(sqlite_store, settings)


@pytest.mark.anyio
async def test_a_defect_ends_neither_the_checkpoints_nor_the_worker(
    sqlite_store: Store, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fail(*_: object) -> None:
        loop.call_soon_threadsafe(failed.set)
        raise ZeroDivisionError

    record(sqlite_store)
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing, "_make_all", fail)
        async with checkpoints_kept(sqlite_store, settings):
            await asyncio.wait_for(failed.wait(), 10)
            patch.undo()
    assert count(sqlite_store) == 1
    assert "checkpoints are put off to the next interval" in caplog.text


@pytest.mark.anyio
async def test_a_witness_that_cannot_be_written_is_named_loudly_and_gets_its_copies_later(
    sqlite_store: Store, settings: Settings, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    witness.folder.rmdir()
    record(sqlite_store)
    await run_once(sqlite_store, settings)
    assert count(sqlite_store) == 1
    errors = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert errors[0].startswith("checkpoints of tenant acme are not with the witness yet: ")

    witness.folder.mkdir()
    await run_once(sqlite_store, settings)
    assert witness.numbers("acme") == {1}


@pytest.fixture
def hanging(witness: Witness) -> Iterator[Path]:
    """A copy whose reading does not return, as on a mount whose server is gone."""
    pipe = witness.folder / "acme-1.json"
    os.mkfifo(pipe)
    yield pipe
    os.close(os.open(pipe, os.O_WRONLY))
    for thread in threading.enumerate():
        if thread.name == "witness":
            thread.join(10)


@pytest.mark.anyio
async def test_a_witness_that_hangs_holds_up_neither_signatures_nor_the_stop(
    sqlite_store: Store,
    settings: Settings,
    hanging: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(checkpointing, "WITNESS_WAIT_S", 0.05)
    signer = signing_key(settings.data_dir / "keys", CHECKPOINT_KEY)
    record(sqlite_store)
    make_checkpoint(sqlite_store, "acme", signer)
    record(sqlite_store)
    await asyncio.wait_for(run_once(sqlite_store, settings), 10)
    assert count(sqlite_store) == 2
    assert "the witness folder does not answer" in caplog.text


@pytest.mark.anyio
async def test_a_store_that_was_cut_back_gets_no_other_history_signed(
    store: Store, settings: Settings, witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        record(store)
        await run_once(store, settings)
    cut(store, after=1)
    await run_once(store, settings)
    assert count(store) == 1
    assert "the witness has checkpoint 3, the store none after 1" in caplog.text
    with pytest.raises(LedgerError, match="the witness has checkpoint 3"):
        checkpoint_now(store, settings, "acme")
    assert witness.numbers("acme") == {1, 2, 3}


@pytest.mark.anyio
async def test_a_running_worker_notices_the_cut_as_well(store: Store, settings: Settings, witness: Witness) -> None:
    copies = WitnessCopies(store, witness)
    for _ in range(2):
        record(store)
        checkpointing._make_all(store, signing_key(settings.data_dir / "keys", CHECKPOINT_KEY), copies)
        copies.bring_up()
    copies.raise_for_contradiction("acme")
    cut(store, after=0)
    copies.bring_up()
    with pytest.raises(LedgerError, match="the witness has checkpoint 2, the store none after 0"):
        copies.raise_for_contradiction("acme")


@pytest.mark.anyio
async def test_a_newest_checkpoint_that_is_not_the_witness_s_is_noticed_at_the_next_start(
    store: Store, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    record(store)
    await run_once(store, settings)
    cut(store, after=0)
    make_checkpoint(store, "acme", signing_key(settings.data_dir / "keys", CHECKPOINT_KEY))
    record(store)
    await run_once(store, settings)
    assert count(store) == 1
    assert "the witness has another checkpoint as" in caplog.text


def test_a_machine_without_the_key_makes_no_checkpoint_of_its_own(sqlite_store: Store, tmp_path: Path) -> None:
    record(sqlite_store)
    with pytest.raises(ConfigurationError, match=r"holds no checkpoint\.key; call this where a worker runs"):
        checkpoint_now(sqlite_store, Settings(data_dir=tmp_path / "elsewhere"), "acme")
    assert count(sqlite_store) == 0


def test_one_checkpoint_at_once_is_copied_too(store: Store, settings: Settings, witness: Witness) -> None:
    signing_key(settings.data_dir / "keys", CHECKPOINT_KEY)
    record(store)
    made = checkpoint_now(store, settings, "acme")
    assert made is not None
    assert witness.numbers("acme") == {made.number} == {1}
    assert checkpoint_now(store, settings, "acme") is None
