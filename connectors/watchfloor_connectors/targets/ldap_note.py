"""What Watchfloor leaves in an attribute that people write in too: a part of a value, put there and taken away alone.

::

    Anna from accounting [wf:5f70bf18…c3c6ef]
    Anna from accounting [wf:5f70bf18…c3c6ef was 20261126010203Z]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from watchfloor_connectors.targets.base import MARK
from watchfloor_core.errors import UnavailableError

TIME: Final = re.compile(r"[0-9]{10,14}(?:\.[0-9]{1,9})?Z")
"""RFC 4517, 3.3.13, in UTC."""
_PART: Final = re.compile(rf" ?\[{MARK}([0-9a-f]{{64}})(?: was ({TIME.pattern}))?\]".encode())


@dataclass(frozen=True, slots=True)
class Note:
    """Whose act it is, and what it took the place of."""

    key: str
    was: str | None = None
    """The time of a lock that the server had set by itself."""

    def text(self) -> bytes:
        return f"[{MARK}{self.key}{'' if self.was is None else f' was {self.was}'}]".encode()


def note_in(values: tuple[bytes, ...]) -> Note | None:
    """The one note in an attribute's values. Raises `UnavailableError` where there are several."""
    found = [match for value in values for match in _PART.finditer(value)]
    if len(found) > 1:
        raise UnavailableError("the entry holds several notes of Watchfloor; look at it and leave the right one")
    if not found:
        return None
    was = found[0][2]
    return Note(found[0][1].decode(), None if was is None else was.decode())


def with_note(values: tuple[bytes, ...], note: Note) -> tuple[bytes, ...]:
    """Behind the text where there is one; several values are left, and the note is one more."""
    if len(values) == 1:
        return (values[0] + b" " + note.text(),)
    return (*values, note.text())


def without_note(values: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """What people wrote, as it was."""
    return tuple(rest for value in values if (rest := _PART.sub(b"", value)))
