"""The store's connections: one transaction to write, one snapshot to read, the same on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from watchfloor_core.store.address import Dialect, dialect_of, parse_address, sqlite_path
from watchfloor_core.store.checkpointer import Checkpointer, checkpoint
from watchfloor_core.store.failures import database_errors
from watchfloor_core.store.liveness import replace_dead_connections
from watchfloor_core.store.pipelining import pipeline_unawaited
from watchfloor_core.store.sqlite_file import WAIT_S, prepare_file, writers_turn

CONNECT_S: Final = 10

_AFTER_COMMIT: Final = "watchfloor.after_commit"

_PRAGMAS: Final = (
    f"PRAGMA busy_timeout = {int(WAIT_S * 1000)}",
    # NORMAL: with WAL a commit survives the death of any process; only a power cut may lose the last commits, never
    # the file's consistency. FULL costs one fsync a transaction and would halve the rate of small ones.
    "PRAGMA synchronous = NORMAL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -65536",  # KiB
    "PRAGMA mmap_size = 268435456",
    # Pages. A thread copies the log into the file (`watchfloor_core.store.checkpointer`); a commit does so itself, and
    # takes tens of milliseconds, only where writing never pauses and the log has come to 64 MB.
    "PRAGMA wal_autocheckpoint = 16000",
    "PRAGMA journal_size_limit = 67108864",
)


def dumps(value: object) -> str:
    """JSON text as the store's columns hold it."""
    return orjson.dumps(value).decode()


class Store:
    """A database that holds the schema; thread-safe, and shared by processes."""

    def __init__(self, address: URL) -> None:
        self.address: Final = address
        self.dialect: Final[Dialect] = dialect_of(address)
        self._checkpointer: Checkpointer | None = None
        match self.dialect:
            case "sqlite":
                self.engine: Engine = _sqlite_engine(address, begin="BEGIN IMMEDIATE", is_reader=False)
                self._reader: Engine = _sqlite_engine(address, begin="BEGIN", is_reader=True)
                self._checkpointer = Checkpointer(partial(checkpoint, sqlite_path(address)))
            case "postgresql":
                self.engine = _postgresql_engine(address)
                # The same pool; SQLAlchemy sets the mode with the BEGIN and takes it back on return to the pool.
                self._reader = self.engine.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed when the block ends and rolled back when it raises.

        SQLite takes the write lock at once (no other writer can come between a read and a write of the block);
        PostgreSQL runs READ COMMITTED. Raises `UnavailableError` where the lock or the server cannot be had.
        """
        with database_errors(self.address), self.engine.connect() as connection:
            callbacks: list[Callable[[], None]] = []
            with self._turn():
                transaction = connection.begin()
            connection.info[_AFTER_COMMIT] = callbacks
            try:
                with transaction:
                    yield connection
            finally:
                connection.info.pop(_AFTER_COMMIT, None)
            if self._checkpointer is not None:
                self._checkpointer.note_commit()
            for callback in callbacks:
                callback()

    def _turn(self) -> AbstractContextManager[None]:
        return writers_turn(sqlite_path(self.address)) if self.dialect == "sqlite" else nullcontext()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only snapshot: everything read in the block is of one moment, that of its first read."""
        with database_errors(self.address), self._reader.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give all connections back."""
        if self._checkpointer is not None:
            self._checkpointer.close()
        self._reader.dispose()
        self.engine.dispose()


def open_store(url: str) -> Store:
    """The store at ``url``; an SQLite file is made where there is none (mode 0600, its folder 0700).

    The schema is not looked at: `watchfloor_core.store.migrate` brings it up. Raises `ConfigurationError` where the
    URL, the file or the login is wrong and `UnavailableError` where the server does not answer.
    """
    address = parse_address(url)
    if dialect_of(address) == "sqlite":
        with database_errors(address):
            prepare_file(sqlite_path(address))
    store = Store(address)
    try:
        with store.read() as connection:
            connection.exec_driver_sql("SELECT 1")
    except BaseException:
        store.close()
        raise
    return store


def after_commit(connection: Connection, callback: Callable[[], None]) -> None:
    """Call back once the transaction of `Store.write` is durable; never where it is rolled back.

    What was written inside a savepoint may still be undone by itself, so nothing is called back for it.
    """
    callbacks = connection.info.get(_AFTER_COMMIT)
    if callbacks is not None and not connection.in_nested_transaction():
        callbacks.append(callback)


def _sqlite_engine(address: URL, *, begin: str, is_reader: bool) -> Engine:
    engine = create_engine(
        address.set(database=str(sqlite_path(address))),
        json_serializer=dumps,
        json_deserializer=orjson.loads,
        pool_size=5,
        max_overflow=10,
        pool_timeout=WAIT_S,
        # Connections move between threads, one at a time.
        connect_args={"check_same_thread": False, "timeout": WAIT_S, "cached_statements": 256},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # None: the driver begins no transactions of its own accord; the event below does, for reads too.
        connection.isolation_level = None
        for pragma in (*_PRAGMAS, "PRAGMA query_only = ON") if is_reader else _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _postgresql_engine(address: URL) -> Engine:
    defaults: dict[str, Any] = {  # psycopg's keyword arguments, of several types
        "connect_timeout": CONNECT_S,
        "application_name": "watchfloor",
    }
    engine = create_engine(
        address,
        json_serializer=dumps,
        json_deserializer=orjson.loads,
        pool_size=5,
        max_overflow=5,
        pool_timeout=WAIT_S,
        # The one that was used last: its prepared statements are ready, and it has hardly been idle.
        pool_use_lifo=True,
        pool_recycle=1800,
        connect_args={name: value for name, value in defaults.items() if name not in address.query},
    )
    replace_dead_connections(engine)
    pipeline_unawaited(engine)
    return engine
