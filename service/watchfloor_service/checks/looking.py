"""The store as a check needs it: there and at this version's schema, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import current_revision
from watchfloor_core.store.migrations import HEAD


@contextmanager
def existing_store(settings: Settings) -> Iterator[Store | None]:
    """None where there is no store yet, or one of another version: the check of the database says so.

    Makes and upgrades nothing. Raises `WatchfloorError` where the database cannot be asked.
    """
    is_missing = settings.database_url is None and not (settings.data_dir / "watchfloor.db").exists()
    if is_missing or current_revision(settings.store_url) != HEAD:
        yield None
        return
    store = open_store(settings.store_url)
    try:
        yield store
    finally:
        store.close()
