"""A PostgreSQL database that a test has used, made as its template is: fit for another test, or known not to be.

To copy a database and to remove it takes a few hundred milliseconds, to empty it takes a tenth of that.
"""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection, sql

MAX_BYTES = 1_000_000
"""Of a table: removed rows still take their place, and one that had many is not as fast as a new one."""

_CATALOGS = (
    "pg_class", "pg_attribute", "pg_attrdef", "pg_constraint", "pg_index", "pg_trigger", "pg_proc", "pg_type",
    "pg_rewrite", "pg_namespace", "pg_policy", "pg_extension", "pg_event_trigger", "pg_default_acl",
)  # fmt: skip
_WRITTEN = "SELECT count(*), max(xmin::text::bigint) FROM {}"
"""How many rows a catalogue has, and the last transaction that wrote one."""
_SETTINGS = """
SELECT datacl::text, (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = pg_database.oid)
FROM pg_database WHERE datname = current_database()
"""
_NAMES = """
SELECT relname FROM pg_class
WHERE relkind = %s AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
AND relpersistence = 'p' AND relname NOT LIKE 'pg\\_toast%%' ORDER BY relname
"""
_LARGEST = "SELECT coalesce(max(pg_total_relation_size(oid)), 0) FROM pg_class WHERE relkind = 'r' AND oid >= 16384"


@dataclass(frozen=True, slots=True)
class Emptying:
    """What the template is: nothing else is left of what a test did."""

    schema: list[object]
    tables: dict[str, bytes]
    """What each holds, as COPY writes it."""
    sequences: dict[str, tuple[int, bool]]
    """The last number, and whether it was given out."""

    @classmethod
    def of(cls, template: Connection) -> Emptying:
        tables = {name: _rows_of(template, name) for name in _named(template, "r")}
        read = sql.SQL("SELECT last_value, is_called FROM {}")
        sequences = {}
        for name in _named(template, "S"):
            number, is_called = template.execute(read.format(sql.Identifier(name))).fetchall()[0]
            sequences[name] = (number, is_called)
        return cls(_schema_of(template), tables, sequences)

    def is_possible(self, used: Connection) -> bool:
        """Whether a test left nothing but rows, and not too many of them."""
        return _schema_of(used) == self.schema and used.execute(_LARGEST).fetchall()[0][0] <= MAX_BYTES

    def empty(self, used: Connection) -> None:
        # Foreign keys would ask for an order.
        used.execute("SET LOCAL session_replication_role = replica")
        # Not by TRUNCATE: that writes the catalogue, and new files.
        removes = [sql.SQL("DELETE FROM {}").format(sql.Identifier(name)) for name in self.tables]
        restarts = [
            sql.SQL("SELECT setval({}, {}, {})").format(f'"{name}"', *at) for name, at in self.sequences.items()
        ]
        used.execute(sql.SQL("; ").join([*removes, *restarts]))
        for name, rows in self.tables.items():
            if rows:
                with used.cursor().copy(sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(name))) as copy:
                    copy.write(rows)


def _named(connection: Connection, kind: str) -> list[str]:
    return [name for (name,) in connection.execute(_NAMES, [kind])]


def _rows_of(connection: Connection, name: str) -> bytes:
    with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))) as copy:
        return b"".join(bytes(block) for block in copy)


def _schema_of(connection: Connection) -> list[object]:
    written = [sql.SQL(_WRITTEN).format(sql.Identifier(name)) for name in _CATALOGS]
    told = connection.execute(sql.SQL(" UNION ALL ").join(written)).fetchall()
    return [told, connection.execute(_SETTINGS).fetchall()]
