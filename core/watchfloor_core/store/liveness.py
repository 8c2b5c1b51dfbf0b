"""Whether a pooled connection still leads to a server, mostly without asking the server.

A server that goes away closes its connections, which makes their sockets readable at once: what lies unread in the
socket of an idle connection is its end, or a message that the next question takes with it. Only what vanished without a
word is not seen so (a cable, a firewall that forgot), and whatever has been idle for long is asked therefore.
"""

from __future__ import annotations

import select
import time
from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError

IDLE_S: Final = 5.0
"""Idle for longer, a connection is asked before it is used."""
_GIVEN_BACK: Final = "watchfloor.given_back"


def replace_dead_connections(engine: Engine) -> None:
    """Before a connection of psycopg's leaves the pool, replace it, and all as old, where it is dead."""

    @event.listens_for(engine, "checkin")
    def note(_connection: object, entry: Any) -> None:
        entry.info[_GIVEN_BACK] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def look(connection: Any, entry: Any, _proxy: object) -> None:
        given_back = entry.info.get(_GIVEN_BACK)
        if given_back is None:
            return  # it was just made
        try:
            if time.monotonic() - given_back >= IDLE_S or _has_unread(connection.fileno()):
                engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _has_unread(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
