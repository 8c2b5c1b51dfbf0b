"""Copies of checkpoints in a folder that whoever rewrites the store cannot reach: a WORM mount, another machine's.

Signatures show that a checkpoint was not forged, not that none is missing at the end: that needs a memory elsewhere.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from watchfloor_core.dsse import MAX_ENVELOPE
from watchfloor_core.errors import ConfigurationError, LedgerError, UnavailableError

_NUMBER: Final = r"([1-9][0-9]{0,17})\.json"


class Witness:
    """A folder of envelopes, ``<tenant>-<number>.json`` each, in which files are only ever added."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder

    def numbers(self, tenant: str) -> set[int]:
        """The checkpoints of which there is a copy. Raises `ConfigurationError` where the folder cannot be read."""
        pattern = re.compile(re.escape(tenant) + "-" + _NUMBER)
        try:
            with os.scandir(self.folder) as found:
                matches = [pattern.fullmatch(item.name) for item in found]
        except OSError as error:
            raise ConfigurationError(
                f"the witness folder {str(self.folder)!r} cannot be read ({error.strerror}); name the folder of "
                "setting `checkpoint_witness`"
            ) from error
        return {int(match.group(1)) for match in matches if match}

    def read(self, tenant: str, number: int) -> str | None:
        """The copy of one envelope, None where there is none. Raises `ConfigurationError` where it cannot be read."""
        path = self._path(tenant, number)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_ENVELOPE + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigurationError(f"the witness's copy {str(path)!r} cannot be read ({error.strerror})") from error
        return data.decode("utf-8", "replace").removesuffix("\n")

    def keep(self, tenant: str, number: int, envelope: str) -> None:
        """Add a copy, durable on return. The same copy may be there already.

        A file is made and written, never renamed: a folder that allows no more is enough. Raises
        `UnavailableError` where it cannot be written now, and `LedgerError` where another envelope stands there.
        """
        path = self._path(tenant, number)
        data = envelope.encode() + b"\n"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        except FileExistsError:
            self._must_be(path, envelope, self.read(tenant, number) or "")
            return
        except OSError as error:
            raise UnavailableError(f"the witness's copy {str(path)!r} cannot be made ({error.strerror})") from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            # Out of the way of the next try. Where the folder allows no removal, the next try names the remedy.
            with suppress(OSError):
                path.unlink()
            raise UnavailableError(f"the witness's copy {str(path)!r} was not written ({error.strerror})") from error

    def _must_be(self, path: Path, envelope: str, copy: str) -> None:
        if copy == envelope:
            return
        if envelope.startswith(copy):
            # Another process is writing it at this moment, or died over it.
            raise UnavailableError(
                f"the witness's copy {str(path)!r} is not whole; where it stays so, remove it and it is written anew"
            )
        raise LedgerError(
            f"the witness has another checkpoint as {str(path)!r} than the store: one of the two was rewritten"
        )

    def _path(self, tenant: str, number: int) -> Path:
        return self.folder / f"{tenant}-{number}.json"
