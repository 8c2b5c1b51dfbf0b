"""Statements that nobody waits for: on PostgreSQL they are sent, and their answers are taken with those of later ones.

A statement with the execution options `UNAWAITED` has to succeed, and tells nothing else: neither rows nor a rowcount.
The next statement without them, or the commit, waits for all that were sent before and raises the first error among
them, so that a transaction with a failed statement is never committed. Order, locks and what each statement sees are
those of statements that are waited for one by one. A savepoint whose failure is to be caught ends with `settle_sent`:
SQLAlchemy does not roll back to one that cannot be released. SQLite, which is no round trip away, takes no notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, Final

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPICursor, ExecutionContext
from sqlalchemy.exc import DBAPIError

_OPTION: Final = "watchfloor_is_unawaited"
_ABORTED: Final = "the transaction is aborted by an earlier failure"
UNAWAITED: Final[Mapping[str, Any]] = {_OPTION: True}


class PipelinedConnection(psycopg.Connection[Any]):
    """A connection that is in psycopg's pipeline mode for as long as answers are outstanding."""

    _outstanding: ExitStack | None = None

    def send_only(self) -> None:
        """From now on statements are sent and not waited for."""
        if self._outstanding is None:
            stack = ExitStack()
            stack.enter_context(self.pipeline())
            self._outstanding = stack

    def settle(self) -> None:
        """Wait for all answers. Raises the error of the first statement that failed."""
        stack, self._outstanding = self._outstanding, None
        if stack is None:
            return
        try:
            stack.close()
        except psycopg.errors.PipelineAborted as error:
            # What came after the failure was not run and says only that.
            cause = error.__context__
            if isinstance(cause, psycopg.Error):
                raise cause from None
            # The failure itself was raised as soon as its answer was there, and whoever sent the statement caught it.
            raise psycopg.errors.InFailedSqlTransaction(_ABORTED) from None

    def commit(self) -> None:
        if self._outstanding is None:
            if self.info.transaction_status is TransactionStatus.INERROR:
                # The server would answer with a rollback, and that is no error to the driver.
                raise psycopg.errors.InFailedSqlTransaction(_ABORTED)
            super().commit()
            return
        # Sent with the rest, so that one answer is waited for. After a failed statement the server does not run it.
        self.execute("COMMIT", prepare=False)
        self.settle()

    def rollback(self) -> None:
        with suppress(psycopg.Error):
            self.settle()
        super().rollback()


def pipeline_unawaited(engine: Engine) -> None:
    """Have an engine of psycopg's take notice of `UNAWAITED`."""

    @event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, cargs: Any, cparams: Any) -> PipelinedConnection:
        return PipelinedConnection.connect(*cargs, **cparams)

    @event.listens_for(engine, "before_cursor_execute")
    def before(
        _: Connection, cursor: DBAPICursor, _statement: str, _given: object, context: ExecutionContext, _many: bool
    ) -> None:
        if _OPTION in context.execution_options:
            _connection_of(cursor).send_only()
        elif isinstance(cursor, psycopg.ServerCursor):
            # One that streams its rows cannot be opened while answers are outstanding.
            _connection_of(cursor).settle()

    @event.listens_for(engine, "after_cursor_execute")
    def after(
        _: Connection, cursor: DBAPICursor, _statement: str, _given: object, context: ExecutionContext, _many: bool
    ) -> None:
        if _OPTION not in context.execution_options:
            _connection_of(cursor).settle()


def settle_sent(connection: Connection) -> None:
    """Wait for what was sent in this transaction. Raises the error of the first statement that failed."""
    driver = connection.connection.driver_connection
    if isinstance(driver, PipelinedConnection):
        try:
            driver.settle()
        except psycopg.Error as error:
            raise DBAPIError.instance(None, None, error, psycopg.Error, dialect=connection.dialect) from error


def _connection_of(cursor: Any) -> PipelinedConnection:
    connection: PipelinedConnection = cursor.connection
    return connection
