"""Which database a URL names: parsed once, refused early, shown without its password."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from watchfloor_core.errors import ConfigurationError

Dialect: TypeAlias = Literal["sqlite", "postgresql"]

EXPECTED: Final = "expected sqlite:////absolute/path.db or postgresql://user:password@host:5432/database"
_POSTGRESQL: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_SQLITE: Final = frozenset({"sqlite", "sqlite+pysqlite"})


def parse_address(url: str) -> URL:
    """The URL with the driver that Watchfloor uses.

    Raises `ConfigurationError` for another database, an in-memory SQLite and anything that is no URL.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # The text may hold a password, and what cannot be parsed cannot be hidden: it is not repeated.
        raise ConfigurationError(f"database_url is not a database URL; {EXPECTED}") from error
    if parsed.drivername in _POSTGRESQL:
        if not parsed.database:
            raise ConfigurationError(f"database_url {shown(parsed)!r} names no database; {EXPECTED}")
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in _SQLITE:
        if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
            raise ConfigurationError(
                f"database_url {shown(parsed)!r} is not a file; several processes share the store, "
                "so it cannot be in memory: give sqlite:////absolute/path.db"
            )
        return parsed.set(drivername="sqlite+pysqlite")
    raise ConfigurationError(f"database_url {shown(parsed)!r} is of another kind; {EXPECTED}")


def dialect_of(address: URL) -> Dialect:
    """The kind of database behind a parsed address."""
    return "sqlite" if address.drivername == "sqlite+pysqlite" else "postgresql"


def sqlite_path(address: URL) -> Path:
    """The database file of a parsed SQLite address."""
    return Path(address.database or "").expanduser().absolute()


def shown(address: URL) -> str:
    """The address as messages show it: with ``***`` for the password, also where it stands in the query."""
    hidden = {name: "***" for name in address.query if "password" in name.lower()}
    return address.update_query_dict(hidden).render_as_string(hide_password=True)
