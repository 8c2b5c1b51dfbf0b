"""What a database error means to the caller, as Watchfloor's own types."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from watchfloor_core.errors import ConfigurationError, ConflictError, UnavailableError, WatchfloorError
from watchfloor_core.store.address import dialect_of, shown, sqlite_path

_CONFLICTS: Final = frozenset({"40001", "40P01"})
"""Serialization failure, deadlock."""
_REFUSED: Final = ("28", "3D", "3F")
"""Invalid authorization, unknown database, unknown schema."""
_DOWN: Final = ("08", "53", "57", "58")
"""Connection lost, resources exhausted, operator intervention, system error."""


@contextmanager
def database_errors(address: URL) -> Iterator[None]:
    """Raise `ConfigurationError`, `ConflictError` or `UnavailableError` for the database errors that mean so.

    Every other database error is a defect of ours and passes unchanged.
    """
    try:
        yield
    except PoolTimeoutError as error:
        raise UnavailableError(f"all connections to {shown(address)!r} are in use; retry later") from error
    except DisconnectionError as error:
        raise UnavailableError(f"the connection to {shown(address)!r} was lost; retry later") from error
    except (DBAPIError, sqlite3.Error) as error:
        meaning = _sqlite(address, error) if dialect_of(address) == "sqlite" else _postgresql(address, error)
        if meaning is None:
            raise
        raise meaning from error


def _sqlite(address: URL, error: DBAPIError | sqlite3.Error) -> WatchfloorError | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    place = f"the store {str(sqlite_path(address))!r}"
    # Extended codes refine a primary one: SQLITE_BUSY_SNAPSHOT, SQLITE_READONLY_DBMOVED.
    match "_".join(str(getattr(cause, "sqlite_errorname", "")).split("_")[:2]):
        case "SQLITE_NOTADB":
            return ConfigurationError(f"{place} is not an SQLite database; move it away or name another file")
        case "SQLITE_CANTOPEN" | "SQLITE_READONLY" | "SQLITE_PERM" | "SQLITE_AUTH":
            return ConfigurationError(f"{place} cannot be written ({cause}); give this user write access to it")
        case "SQLITE_CORRUPT":
            return ConfigurationError(f"{place} is damaged ({cause}); restore it from a copy")
        case "SQLITE_BUSY" | "SQLITE_LOCKED" | "SQLITE_PROTOCOL":
            return UnavailableError(f"{place} was held by another writer for too long; retry later")
        case "SQLITE_FULL" | "SQLITE_IOERR" | "SQLITE_NOMEM":
            return UnavailableError(f"{place} cannot be written ({cause}); free disk space and retry")
    return None


def _postgresql(address: URL, error: DBAPIError | sqlite3.Error) -> WatchfloorError | None:
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    # libpq gives no SQLSTATE for what fails while connecting: only its text tells a refusal from a server that is down.
    state = str(getattr(error.orig, "sqlstate", None) or "")
    reason = str(error.orig).strip().partition("\n")[0]
    place = f"PostgreSQL at {shown(address)!r}"
    if state in _CONFLICTS:
        return ConflictError(f"{place} gave way to a concurrent change ({reason}); do it again")
    refused = not state and ("authentication failed" in reason or "does not exist" in reason or "no pg_hba" in reason)
    if refused or state.startswith(_REFUSED):
        return ConfigurationError(f"{place} refuses the login ({reason}); mend database_url")
    if error.connection_invalidated or not state or state.startswith(_DOWN):
        return UnavailableError(f"{place} cannot be reached ({reason}); start it or mend database_url")
    return None
