"""The store: SQLite (WAL) when embedded, PostgreSQL at scale, one schema through SQLAlchemy."""
