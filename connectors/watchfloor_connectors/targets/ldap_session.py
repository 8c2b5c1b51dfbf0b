"""A conversation with an LDAP server that may change an entry.

Imported where it is needed: it takes the extra ``ldap``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Literal

from ldap3 import BASE, MODIFY_ADD, MODIFY_DELETE
from ldap3.core.results import (
    RESULT_INSUFFICIENT_ACCESS_RIGHTS,
    RESULT_NO_SUCH_OBJECT,
    RESULT_OPERATIONS_ERROR,
    RESULT_OTHER,
    RESULT_SUCCESS,
)

from watchfloor_connectors.context.accounts import Raw
from watchfloor_connectors.context.answer_bounds import Bounds
from watchfloor_connectors.context.directory_session import LdapSession, Place, bound, seconds, telling
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_guardrails.effect import NotDoneError

Change = tuple[Literal["delete", "add"], str, bytes]
"""Of one value of an attribute."""

_VERBS: Final = {"delete": MODIFY_DELETE, "add": MODIFY_ADD}
_UNCLEAR: Final = (RESULT_OPERATIONS_ERROR, RESULT_OTHER)
"""Results that do not say what went wrong, and so not how far it went."""


class WritingSession(LdapSession):
    """Searches, reads one entry, and changes one."""

    def __init__(self, connection: Any, place: Place, bounds: Bounds) -> None:  # the library has no types
        super().__init__(connection, place, bounds)
        self._writer, self._at, self._limits = connection, place, bounds

    def entry(self, dn: str, attributes: Sequence[str]) -> Raw:
        """The attributes of the entry of that name. Raises `NotFoundError`, `UnavailableError`."""
        self._limits.begin_answer()
        with telling(self._at, self._limits):
            self._writer.search(
                dn,
                "(objectClass=*)",
                search_scope=BASE,
                attributes=list(attributes),
                size_limit=1,
                time_limit=seconds(self._at),
            )
        code = self._writer.result["result"]
        found = [one for one in self._writer.response or () if one.get("type") == "searchResEntry"]
        if code == RESULT_NO_SUCH_OBJECT or (code == RESULT_SUCCESS and not found):
            raise NotFoundError(f"the directory has no entry {dn!r}, or does not show it to the bind account")
        if code != RESULT_SUCCESS:
            raise UnavailableError(f"it answers a search with {self._writer.result['description']}")
        return {str(name).lower(): list(values) for name, values in found[0]["raw_attributes"].items()}

    def modify(self, dn: str, changes: Sequence[Change]) -> None:
        """All of the changes or none (RFC 4511, 4.6). A value to delete has to be there still.

        Raises `NotDoneError` where the server refuses, `UnavailableError` where its answer does not come.
        """
        by_attribute: dict[str, list[tuple[str, list[bytes]]]] = {}
        for verb, attribute, value in changes:
            by_attribute.setdefault(attribute, []).append((_VERBS[verb], [value]))
        self._limits.begin_answer()
        with telling(self._at, self._limits):
            self._writer.modify(dn, by_attribute)
        result: Mapping[str, Any] = self._writer.result
        code, name = result["result"], result["description"]
        if code == RESULT_SUCCESS:
            return
        if code in _UNCLEAR:
            raise UnavailableError(f"the directory answers the change with {name}")
        remedy = "; give the bind account that right" if code == RESULT_INSUFFICIENT_ACCESS_RIGHTS else ""
        raise NotDoneError(f"the directory refuses the change and did none of it: {name}{remedy}")


@contextmanager
def writing_session(place: Place, password: Callable[[], str]) -> Iterator[WritingSession]:
    """Raises `UnavailableError` where the server is away, is not the one that it should be, or refuses the account."""
    with bound(place, password, read_only=False) as (connection, bounds):
        yield WritingSession(connection, place, bounds)
