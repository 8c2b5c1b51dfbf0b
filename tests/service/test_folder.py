"""The watched folder: each complete file once, whatever dies, races or is dropped in."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select
from watchfiles import watch

from watchfloor_connectors.registry import Registry
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import register_source
from watchfloor_service.intake.dropped_file import ClaimedFile, Lanes
from watchfloor_service.intake.folder import SETTLE_S, FolderIntake
from watchfloor_service.testing import eve_lines, served


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


@pytest.fixture
def watcher(sqlite_store: Store, settings: Settings, folder: Path) -> Callable[..., FolderIntake]:
    registry = Registry.load(settings)

    def make(clock: Clock | None = None) -> FolderIntake:
        if clock is None:
            return FolderIntake(sqlite_store, settings, registry, folder)
        # By this wall clock no file is old, so only two looks tell that one has settled.
        return FolderIntake(sqlite_store, settings, registry, folder, monotonic=clock, wall=lambda: 0.0)

    return make


def drop(folder: Path, name: str, content: bytes) -> Path:
    """A file that is complete: it came by a rename, and its content is a minute old."""
    path = folder / name
    path.write_bytes(content)
    before = path.stat().st_mtime - 60
    os.utime(path, (before, before))
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def alerts(store: Store) -> int:
    with store.read() as connection:
        return connection.execute(select(func.count()).select_from(schema.alert)).scalar_one()


def test_a_complete_file_is_taken_in_and_moved_to_done(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path
) -> None:
    drop(folder, "a.ndjson", eve_lines(20))
    drop(folder, "b.ndjson.gz", gzip.compress(eve_lines(10, first=100)))
    assert watcher().look() == 2
    assert alerts(sqlite_store) == 30
    assert names(folder) == [".taking", "done", "failed"]
    assert [name[13:] for name in names(folder / "done")] in (["a.ndjson", "b.ndjson.gz"], ["b.ndjson.gz", "a.ndjson"])
    with sqlite_store.read() as connection:
        sources = connection.execute(select(schema.source)).all()
    assert all(source.is_bounded and source.closed_us for source in sources)


def test_the_same_content_again_changes_nothing(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path
) -> None:
    drop(folder, "a.ndjson", eve_lines(20))
    watcher().look()
    drop(folder, "again.ndjson", eve_lines(20))
    assert watcher().look() == 1
    with sqlite_store.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.record)).scalar_one() == 20
        assert connection.execute(select(func.count()).select_from(schema.batch)).scalar_one() == 1
    assert len(names(folder / "done")) == 2


def test_a_file_counts_as_complete_when_it_has_kept_its_size_for_a_second(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path
) -> None:
    clock = Clock()
    watching = watcher(clock)
    path = folder / "slow.ndjson"
    path.write_bytes(eve_lines(3))
    assert watching.look() == 0
    clock.now += SETTLE_S * 0.9
    with path.open("ab") as file:
        file.write(eve_lines(3, first=3))
    assert watching.look() == 0
    clock.now += SETTLE_S * 0.9
    assert watching.look() == 0
    clock.now += SETTLE_S * 0.2
    assert watching.look() == 1
    assert alerts(sqlite_store) == 6


def test_names_that_say_unfinished_are_left_alone(watcher: Callable[..., FolderIntake], folder: Path) -> None:
    drop(folder, ".hidden.ndjson", eve_lines(1))
    drop(folder, "half.ndjson.tmp", eve_lines(1))
    (folder / "sub").mkdir()
    drop(folder / "sub", "deep.ndjson", eve_lines(1))
    assert watcher().look() == 0
    assert {".hidden.ndjson", "half.ndjson.tmp", "sub"} <= set(names(folder))


def test_a_file_of_no_known_format_fails_with_the_reason_beside_it(
    watcher: Callable[..., FolderIntake], folder: Path
) -> None:
    drop(folder, "holiday.jpg", b"\xff\xd8\xff\xe0" + bytes(500))
    drop(folder, "empty.ndjson", b"")
    drop(folder, "good.ndjson", eve_lines(1))
    assert watcher().look() == 3
    failed = names(folder / "failed")
    assert len(failed) == 4
    for name in ("holiday.jpg", "empty.ndjson"):
        reason = next(path for path in (folder / "failed").iterdir() if path.name.endswith(f"{name}.reason.txt"))
        assert reason.read_text().strip()
    assert len(names(folder / "done")) == 1


def test_broken_records_become_dead_letters_and_the_file_is_done(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path
) -> None:
    drop(folder, "mixed.ndjson", eve_lines(5) + b"{broken\n" + eve_lines(5, first=5))
    watcher().look()
    assert alerts(sqlite_store) == 10
    with sqlite_store.read() as connection:
        assert connection.execute(select(schema.dead_letter.c.position)).scalars().all() == [6]
    assert len(names(folder / "done")) == 1


def test_links_and_pipes_are_refused_and_what_they_lead_to_is_not_read(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path, tmp_path: Path
) -> None:
    secret = drop(tmp_path, "secret.ndjson", eve_lines(3))
    (folder / "link.ndjson").symlink_to(secret)
    (folder / "nowhere.ndjson").symlink_to(tmp_path / "missing")
    os.mkfifo(folder / "pipe.ndjson")
    assert watcher().look() == 3
    assert alerts(sqlite_store) == 0
    assert secret.exists()
    assert len(names(folder / "failed")) == 6


def test_a_lane_that_leads_elsewhere_is_refused(
    watcher: Callable[..., FolderIntake], folder: Path, tmp_path: Path
) -> None:
    (folder / "done").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="done"):
        watcher()


def test_a_folder_that_is_none_is_refused(sqlite_store: Store, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="watch_folder"):
        FolderIntake(sqlite_store, settings, Registry.load(settings), tmp_path / "missing")


def test_what_a_killed_watcher_had_claimed_is_taken_by_the_next(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path
) -> None:
    path = drop(folder, "a.ndjson", eve_lines(5))
    claimed = ClaimedFile.claim(Lanes(folder), path)
    assert claimed is not None
    assert watcher().look() == 0, "its holder lives"
    # The kernel closes what a dead process had open.
    with claimed:
        pass
    assert watcher().look() == 1
    assert alerts(sqlite_store) == 5
    assert names(folder / ".taking") == []
    assert names(folder / "done")[0].endswith("-a.ndjson")


def test_of_watchers_at_the_same_time_each_file_has_one(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path
) -> None:
    for number in range(12):
        drop(folder, f"{number}.ndjson", eve_lines(5, first=number * 5))
    together, moved = threading.Barrier(3), list[int]()
    watchers = [watcher() for _ in range(3)]

    def look(watching: FolderIntake) -> None:
        together.wait()
        moved.append(watching.look())

    threads = [threading.Thread(target=look, args=(watching,)) for watching in watchers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(moved) == 12
    with sqlite_store.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.record)).scalar_one() == 60
    assert len(names(folder / "done")) == 12


def test_a_file_that_is_written_to_while_it_is_read_fails_and_what_was_read_is_in(
    sqlite_store: Store, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = FolderIntake(sqlite_store, settings, Registry.load(settings), folder)
    path = drop(folder, "a.ndjson", eve_lines(5))
    writer = path.open("ab")

    def register_and_write(*arguments: object, **named: object) -> None:
        writer.write(eve_lines(1, first=5))
        writer.close()
        register_source(*arguments, **named)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr("watchfloor_service.intake.folder.register_source", register_and_write)
    assert watching.look() == 1
    assert len(names(folder / "failed")) == 2
    assert alerts(sqlite_store) >= 5


def test_a_store_that_is_away_leaves_the_file_for_later(
    sqlite_store: Store, watcher: Callable[..., FolderIntake], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "a.ndjson", eve_lines(5))

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("the store is locked")

    with monkeypatch.context() as patched:
        patched.setattr("watchfloor_service.intake.folder.register_source", away)
        with pytest.raises(UnavailableError):
            watcher().look()
    assert len(names(folder / ".taking")) == 1
    assert watcher().look() == 1
    assert alerts(sqlite_store) == 5


def test_a_very_long_name_finds_its_way(watcher: Callable[..., FolderIntake], folder: Path) -> None:
    drop(folder, "x" * 248 + ".ndjson", eve_lines(1))
    drop(folder, "y" * 251 + ".bin", bytes(100))
    assert watcher().look() == 2
    assert (len(names(folder / "done")), len(names(folder / "failed"))) == (1, 2)


def test_the_api_watches_the_folder_of_its_settings(sqlite_store: Store, settings: Settings, folder: Path) -> None:
    drop(folder, "before.ndjson", eve_lines(5))
    with served(sqlite_store, settings.model_copy(update={"watch_folder": folder})):
        hidden = drop(folder, ".after.ndjson", eve_lines(5, first=5))
        hidden.rename(folder / "after.ndjson")
        for _ in watch(folder / "done", rust_timeout=200, yield_on_timeout=True):
            if len(names(folder / "done")) == 2:
                break
    assert alerts(sqlite_store) == 10
