"""Alembic's entry: runs on the connection that `watchfloor_core.store.migrate` hands over, in its transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from watchfloor_core.store.tables import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite can roll back DDL too; Alembic assumes it cannot.
    transactional_ddl=True,
)
context.run_migrations()
