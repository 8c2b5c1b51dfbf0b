"""The API on a real socket over a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_service.testing import Api, served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a data directory of the test's own."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    return Settings(data_dir=folder)


@pytest.fixture
def api(sqlite_store: Store, settings: Settings) -> Iterator[Api]:
    """On SQLite, with a desk that decides at once."""
    with served(sqlite_store, settings) as running:
        yield running


@pytest.fixture
def api_on_each(store: Store, settings: Settings) -> Iterator[Api]:
    """The same on each database in turn."""
    with served(store, settings) as running:
        yield running
