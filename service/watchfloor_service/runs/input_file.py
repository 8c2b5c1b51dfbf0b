"""The files that a run is given: which can be read, what they contain by digest, and the tenant made for them."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CHUNK_BYTES: Final = 1024 * 1024
STEM_CHARACTERS: Final = 51
"""What a tenant's 64 leave beside ``run-`` and the digest."""
NOT_A_FILE: Final = "not a regular file; a folder's files are named one by one, and a pipe's content is saved to a file"
"""Every file is read twice, for its digest and for its records. A pipe can be read once, and one that nobody writes to
would be waited for without end."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One readable file."""

    path: Path
    sha256: str

    @property
    def source_id(self) -> str:
        """The same content is the same source, wherever the file lies: a second run of it resumes the first."""
        return f"file:{self.sha256[:32]}"

    @property
    def stem(self) -> str:
        """The name without folder, compression and format."""
        return self.path.name.split(".", maxsplit=1)[0] or self.path.name.strip(".")


@dataclass(frozen=True, slots=True)
class UnreadableFile:
    """A file that a run goes on without."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """All files of one run, by what can be done with them."""

    files: tuple[InputFile, ...]
    """Each content once."""
    unreadable: tuple[UnreadableFile, ...]
    repeated: tuple[Path, ...]
    """Files with the content of an earlier one."""
    sha256: str
    """Of all readable bytes, in the order given."""

    def tenant(self, reading: bytes = b"") -> str:
        """The tenant of a run that is given none: these bytes, read in this way, and no others have it.

        `reading` stands for the connector or mapping that was asked for; none: the one that recognises them.
        """
        digest = hashlib.sha256(self.sha256.encode() + reading).hexdigest() if reading else self.sha256
        stem = re.sub(r"[^a-z0-9_.-]+", "-", self.files[0].stem.lower())[:STEM_CHARACTERS]
        return f"run-{stem}-{digest[:8]}"


def examine(paths: Sequence[Path]) -> Inputs:
    """Read every file once, for its digest."""
    whole = hashlib.sha256()
    files: dict[str, InputFile] = {}
    unreadable: list[UnreadableFile] = []
    repeated: list[Path] = []
    for path in paths:
        digest, so_far = hashlib.sha256(), whole.copy()
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                unreadable.append(UnreadableFile(path, NOT_A_FILE))
                continue
            with path.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    digest.update(chunk)
                    so_far.update(chunk)
        except OSError as error:
            unreadable.append(UnreadableFile(path, error.strerror or str(error)))
            continue
        whole = so_far
        found = InputFile(path, digest.hexdigest())
        if found.sha256 in files:
            repeated.append(path)
        else:
            files[found.sha256] = found
    return Inputs(tuple(files.values()), tuple(unreadable), tuple(repeated), whole.hexdigest())
