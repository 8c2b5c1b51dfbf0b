"""What a tool remembers of its acts where the vendor has no room for a note: one small file for each target.

The file is written before the target is changed and removed after it was put back. Without it, it was another hand.
The folder belongs to the executor; executors on several machines need a shared one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from watchfloor_connectors.targets.base import NotReadyError, Slot
from watchfloor_connectors.targets.files import locked, read_small, replace_file
from watchfloor_core.errors import UnavailableError

_MAX_BYTES: Final = 16 * 1024


class Note(BaseModel):
    """By which action a target was changed, and what else has to be known to put it back."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target: str
    """Kind and value of the target, or what else the note is about."""
    id: str
    """What the vendor calls it and never uses again: another one of the same name is not it."""
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    details: tuple[str, ...] = ()


class Notes:
    """Of one tool for one tenant. Thread-safe, and safe among processes of one machine."""

    def __init__(self, slot: Slot, folder: str | None, timeout_s: float) -> None:
        """``folder`` None stands for ``targets/<tool>/<tenant>`` in the data directory."""
        self.folder = Path(folder) if folder else slot.data_dir / "targets" / slot.tool / slot.tenant
        self._timeout_s = timeout_s

    @contextmanager
    def alone(self, target: str) -> Iterator[None]:
        """Nobody else changes this target by this folder meanwhile. Raises `NotReadyError`."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = locked(self._file(target), self._timeout_s)
            lock.__enter__()
        except OSError as error:
            raise NotReadyError(f"the folder of notes {str(self.folder)!r} cannot be used: {error.strerror}") from error
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def read(self, target: str) -> Note | None:
        """None: Watchfloor did nothing to it, or has taken it back. Raises `UnavailableError`."""
        content = read_small(self._file(target), _MAX_BYTES)
        if content is None:
            return None
        try:
            note = Note.model_validate_json(content)
        except ValidationError as error:
            raise UnavailableError(f"{self._file(target)} is not readable: mend or remove it") from error
        return note if note.target == target else None

    def write(self, note: Note) -> None:
        """Raises `NotReadyError`: nothing may be done then."""
        try:
            replace_file(self._file(note.target), note.model_dump_json().encode())
        except OSError as error:
            raise NotReadyError(f"the folder of notes {str(self.folder)!r} cannot be used: {error.strerror}") from error

    def remove(self, target: str) -> None:
        """One that stays, because it cannot be removed, is overwritten by the next."""
        with suppress(OSError):
            self._file(target).unlink()

    def _file(self, target: str) -> Path:
        # A value may hold what no file's name does, and an attacker may have written it.
        return self.folder / f"{hashlib.sha256(target.encode()).hexdigest()}.json"
