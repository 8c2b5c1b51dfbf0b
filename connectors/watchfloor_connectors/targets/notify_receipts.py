"""What is known of messages that were sent: one small file for each, written before and after.

The folder belongs to the executor; executors on several machines need a shared one, or one of them does not know what
another one sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_connectors.targets.files import read_small, replace_file
from watchfloor_core.errors import UnavailableError

MAX_EVIDENCE = 500
_MAX_BYTES = 16 * 1024


class Receipt(BaseModel):
    """How far one message came."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    channel: str
    phase: Literal["sending", "acknowledged", "refused"]
    """``sending`` is what a crash and a lost answer leave."""
    evidence: str = Field(default="", max_length=MAX_EVIDENCE)
    """What the other side said when it took the message, as that medium says it."""


class Receipts:
    """Of one tool for one tenant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str) -> Receipt | None:
        """None: no attempt was made. Raises `UnavailableError`."""
        content = read_small(self._file(key), _MAX_BYTES)
        if content is None:
            return None
        try:
            return Receipt.model_validate_json(content)
        except ValidationError as error:
            raise UnavailableError(f"{self._file(key)} is not readable: mend or remove it") from error

    def write(self, receipt: Receipt) -> None:
        """Raises `NotReadyError`: nothing may be sent then."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._file(receipt.key), receipt.model_dump_json().encode())
        except OSError as error:
            raise NotReadyError(f"the folder {str(self.folder)!r} cannot be written: {error.strerror}") from error

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"
