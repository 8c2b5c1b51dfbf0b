"""Log files loaded into a DuckDB database: one row an event, one column a field of the vocabulary.

What was loaded once is found again by the digest of the files' contents, so that a restart need not read them again.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import orjson

from watchfloor_connectors.logs.files import Unreadable
from watchfloor_connectors.logs.mapping import to_log_event
from watchfloor_connectors.logs.reading import read_logs
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.logs.event import LogEvent
from watchfloor_core.logs.fields import INTEGERS, Field

logger = logging.getLogger(__name__)

VERSION: Final = 1
"""Of the tables and of the mapping: what was loaded by another is loaded anew."""
KEPT_COMPLAINTS: Final = 200
"""Of what could not be read, kept in full; the rest is counted."""
_META: Final = ("id", "time_us", "precision", "type", "original")
COLUMNS: Final = (*_META, *(name.value for name in Field))


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading."""

    events: int
    unreadable: tuple[Unreadable, ...]
    unreadable_total: int


def content_digest(paths: Sequence[Path], name: str) -> str:
    """SHA-256 (64 hex digits) over the source's name, the version of the mapping, and every file's name and content.

    Raises `ConfigurationError` for a path that does not exist.
    """
    digest = hashlib.sha256(f"{VERSION}\n{name}\n".encode())
    for path in paths:
        if not path.exists():
            raise ConfigurationError(f"no such file or folder: {path}")
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in files:
            inside = str(file.relative_to(path)) if path.is_dir() else file.name
            try:
                with file.open("rb") as stream:
                    content = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                content = f"unreadable {error.errno}"
            digest.update(f"{inside}\0{content}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def load(paths: Sequence[Path], name: str, database: str) -> Loaded:
    """Read everything into the database at a path, or ``:memory:`` in `load_into`. Raises `ConfigurationError`."""
    with duckdb.connect(database) as connection:
        return load_into(connection, paths, name)


def load_into(connection: duckdb.DuckDBPyConnection, paths: Sequence[Path], name: str) -> Loaded:
    """Make the tables ``event`` and ``unreadable``, and fill them."""
    complaints: list[Unreadable] = []
    total = 0

    def complain(one: Unreadable) -> None:
        nonlocal total
        total += 1
        if len(complaints) < KEPT_COMPLAINTS:
            complaints.append(one)

    count = fill(connection, (to_log_event(raw, name) for raw in read_logs(paths, complain)))
    connection.execute("CREATE TABLE unreadable (file VARCHAR, reason VARCHAR, position BIGINT)")
    if complaints:
        connection.executemany(
            "INSERT INTO unreadable VALUES (?, ?, ?)", [(one.file, one.reason, one.position) for one in complaints]
        )
    connection.execute("CREATE TABLE loaded AS SELECT ? AS unreadable_total", [total])
    return Loaded(count, tuple(complaints), total)


def fill(connection: duckdb.DuckDBPyConnection, events: Iterable[LogEvent]) -> int:
    """Make the table ``event`` of these; returns how many it holds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.json"
        _write(events, file)
        connection.execute(f"CREATE TABLE event ({', '.join(_column(one) for one in COLUMNS)})")
        connection.execute(_COPY.format(columns=_struct()), [str(file)])
    count = connection.execute("SELECT count(*) FROM event").fetchone()
    return int(count[0]) if count else 0


def loaded_before(connection: duckdb.DuckDBPyConnection) -> Loaded:
    """What an earlier `load_into` came to."""
    events = connection.execute("SELECT count(*) FROM event").fetchone()
    total = connection.execute("SELECT unreadable_total FROM loaded").fetchone()
    rows = connection.execute("SELECT file, reason, position FROM unreadable").fetchall()
    return Loaded(events[0] if events else 0, tuple(Unreadable(*row) for row in rows), total[0] if total else 0)


def load_once(paths: Sequence[Path], name: str, folder: Path) -> Path:
    """The database of these files in a folder, loaded if it is not there.

    Raises `ConfigurationError`, and `UnavailableError` where the folder cannot be written.
    """
    database = folder / f"{name}-{content_digest(paths, name)[:32]}.duckdb"
    if database.exists():
        return database
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Beside its place, then moved there: a crash leaves nothing half loaded under the name that counts.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".loading-") as aside:
            part = Path(aside) / "events.duckdb"
            load(paths, name, str(part))
            os.replace(part, database)
    except (OSError, duckdb.Error) as error:
        raise UnavailableError(f"logs cannot be loaded into {folder}: {error}") from error
    return database


def quoted(name: str) -> str:
    """A column's name in SQL."""
    return '"' + name.replace('"', '""') + '"'


# The same record twice is one event. Each line is one JSON object: whatever an attacker writes stays inside its string.
_COPY: Final = (
    "INSERT INTO event SELECT DISTINCT ON (id) * FROM read_json(?, format='newline_delimited', "
    "maximum_object_size=268435456, columns={columns})"
)


def _write(events: Iterable[LogEvent], file: Path) -> None:
    with file.open("wb") as out:
        for one in events:
            row = {
                "id": one.id,
                "time_us": one.time_us,
                "precision": one.precision.value,
                "type": one.type.value,
                "original": orjson.dumps(one.original).decode(),
                **{name.value: value for name, value in one.fields.items()},
            }
            out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


def _column(name: str) -> str:
    return f"{quoted(name)} {_type(name)}"


def _struct() -> str:
    return "{" + ", ".join(f"'{name}': '{_type(name)}'" for name in COLUMNS) + "}"


def _type(name: str) -> str:
    return "BIGINT" if name == "time_us" or name in INTEGERS else "VARCHAR"
