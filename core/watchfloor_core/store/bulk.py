"""Rows into one table by one statement: the store's hot path.

Statements and values are the driver's own, past SQLAlchemy's per-row handling. Rows are written in the order given;
callers sort them by key, so that concurrent writers on PostgreSQL meet the same keys in the same order and cannot
deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import repeat
from typing import Any, Final, TypeAlias

from sqlalchemy import JSON, BigInteger, Connection, CursorResult, Float, Integer, LargeBinary, String, Table
from sqlalchemy.types import TypeEngine

from watchfloor_core.store.pipelining import UNAWAITED

Value: TypeAlias = "str | bytes | int | float | None"
Row: TypeAlias = tuple[Value, ...]


def insert_new(connection: Connection, table: Table, tenant: str, rows: Sequence[Row]) -> int:
    """Insert the rows whose keys the table does not hold; returns how many those were.

    A row has the table's columns in order, but ``tenant``, which comes first in the table, and but a generated id;
    JSON columns are given as JSON text.
    """
    return insert_new_columns(connection, table, tenant, list(zip(*rows, strict=True))) if rows else 0


def insert_new_columns(connection: Connection, table: Table, tenant: str, columns: Sequence[Sequence[Value]]) -> int:
    """As `insert_new`, the values given by column: for many rows, without a tuple for each until the driver's."""
    if not columns[0]:
        return 0
    return _insert(connection, table, tenant, columns, " ON CONFLICT DO NOTHING").rowcount


def insert_rows(connection: Connection, table: Table, tenant: str, rows: Sequence[Row]) -> None:
    """Insert rows, as `insert_new` has them, whose keys the table must not hold. Nobody waits for it.

    Raises SQLAlchemy's `IntegrityError` where it does hold one, as late as `watchfloor_core.store.pipelining` says.
    """
    _insert(connection, table, tenant, list(zip(*rows, strict=True)), "", UNAWAITED)


def _insert(
    connection: Connection,
    table: Table,
    tenant: str,
    columns: Sequence[Sequence[Value]],
    conflicts: str,
    options: Mapping[str, Any] | None = None,
) -> CursorResult[Any]:
    if connection.dialect.name == "sqlite":
        values = list(zip(repeat(tenant, len(columns[0])), *columns, strict=True))
        return connection.exec_driver_sql(_sqlite_statement(table) + conflicts, values, options)
    statement, encoders = _postgresql_statement(table)
    arrays = [encode(column) for encode, column in zip(encoders, columns, strict=True)]
    return connection.exec_driver_sql(statement + conflicts, (tenant, *arrays), options)


def _columns(table: Table) -> list[tuple[str, TypeEngine[object]]]:
    """What rows hold, in order."""
    generated = table.autoincrement_column
    return [
        (column.name, column.type) for column in table.columns if column.name != "tenant" and column is not generated
    ]


@cache
def _sqlite_statement(table: Table) -> str:
    names = [name for name, _ in _columns(table)]
    marks = ", ".join("?" * (len(names) + 1))
    return f"INSERT INTO {table.name} (tenant, {', '.join(names)}) VALUES ({marks})"  # noqa: S608


@cache
def _postgresql_statement(table: Table) -> tuple[str, tuple[Callable[[Iterable[Value]], str], ...]]:
    columns = _columns(table)
    names = ", ".join(name for name, _ in columns)
    kinds = [_array_kind(kind) for _, kind in columns]
    arrays = ", ".join(f"%s::{kind}[]" for kind, _ in kinds)
    values = ", ".join(f"{name}::json" if isinstance(kind, JSON) else name for name, kind in columns)
    statement = (
        f"INSERT INTO {table.name} (tenant, {names}) "  # noqa: S608
        f"SELECT %s, {values} FROM unnest({arrays}) AS given ({names})"
    )
    return statement, tuple(encode for _, encode in kinds)


def _array_kind(kind: TypeEngine[object]) -> tuple[str, Callable[[Iterable[Value]], str]]:
    if isinstance(kind, LargeBinary):
        return "bytea", _bytes_array
    if isinstance(kind, BigInteger):
        return "int8", _plain_array
    if isinstance(kind, Integer):
        return "int4", _plain_array
    if isinstance(kind, Float):
        return "float8", _plain_array
    if isinstance(kind, String | JSON):
        return "text", _text_array
    raise TypeError(f"no PostgreSQL array for columns of {kind!r}")


# Array literals are built here because psycopg adapts a list element by element: measured, that took longer than the
# insert itself.


def _bytes_array(values: Iterable[Value]) -> str:
    inner = ",".join(['"\\\\x' + value.hex() + '"' if isinstance(value, bytes) else "NULL" for value in values])
    return f"{{{inner}}}"


def _plain_array(values: Iterable[Value]) -> str:
    inner = ",".join(["NULL" if value is None else str(value) for value in values])
    return f"{{{inner}}}"


_ESCAPES: Final = str.maketrans({"\\": "\\\\", '"': '\\"'})


def _text_array(values: Iterable[Value]) -> str:
    inner = ",".join(["NULL" if value is None else '"' + str(value).translate(_ESCAPES) + '"' for value in values])
    return f"{{{inner}}}"
