"""Bring a database to the schema of this version, whoever else is starting at the same time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.store.address import shown
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrations import HEAD
from watchfloor_core.store.tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK_KEY: Final = 0x57_41_54_43_48_46_4C_52  # "WATCHFLR"
_VERSION_TABLE: Final = "alembic_version"


def migrate(url: str) -> None:
    """Upgrade the database at ``url`` to the newest schema; nothing happens where it is there already.

    All in one transaction: a process that dies in the middle leaves the database as it was. Of several processes that
    start at once one upgrades and the others wait for it.

    Raises `ConfigurationError` where the database was made by a newer version or by another program.
    """
    store = open_store(url)
    try:
        with store.read() as connection:
            if _revision(connection) == HEAD:
                return
        with store.write() as connection:
            if store.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            # Read again: another process may have upgraded it while this one waited.
            if _revision(connection) != HEAD:
                _upgrade(store, connection)
    finally:
        store.close()


def current_revision(url: str) -> str | None:
    """The revision that the database at ``url`` is at; None where it has no schema yet."""
    store = open_store(url)
    try:
        with store.read() as connection:
            return _revision(connection)
    finally:
        store.close()


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar_one_or_none()  # noqa: S608  # a constant


def _upgrade(store: Store, connection: Connection) -> None:
    # Loading Alembic takes longer than all else that a start does with the store.
    from alembic import command
    from alembic.script import ScriptDirectory

    config = alembic_config(connection)
    revision = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    place = repr(shown(store.address))
    if revision is None:
        foreign = sorted(set(inspect(connection).get_table_names()) & set(metadata.tables))
        if foreign:
            raise ConfigurationError(
                f"{place} holds tables ({', '.join(foreign[:5])}) but no record of their revision: it was not made by "
                "Watchfloor's migrations; name an empty database"
            )
    elif revision not in known:
        raise ConfigurationError(
            f"{place} is at revision {revision!r}, which this version does not know (its newest is {HEAD!r}): a newer "
            "Watchfloor has upgraded it; install that version again or restore a copy"
        )
    command.upgrade(config, "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration in memory: the packaged scripts, run on ``connection``."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("file_template", "revision_%%(rev)s")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
