"""Secrets of a tool's options: the file says where one is kept, never what it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_connectors.targets.files import absolute

_SCHEME: Final = "file:"
_SOUNDS_SECRET: Final = re.compile(r"password|passphrase|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_MAX_BYTES: Final = 64 * 1024


def reference(text: str) -> str:
    """``file:/absolute/path``. Raises ValueError, which does not repeat the text: it may be the secret itself."""
    if not text.startswith(_SCHEME):
        raise ValueError("a secret stands in a file of its own; give file:/absolute/path")
    absolute(text.removeprefix(_SCHEME))
    return text


SecretReference = Annotated[str, AfterValidator(reference)]
"""The type of an option that names a secret."""


def sounds_secret(option: str) -> bool:
    """Whether an option's name promises a secret, so that its value has to be a reference."""
    return _SOUNDS_SECRET.search(option) is not None


def read_secret(text: str) -> SecretStr:
    """The secret behind a reference, without the line feed at its end. Read it where it is used: it may be renewed.

    Raises `NotReadyError` where the file is missing, or others than its owner may read it.
    """
    file = Path(text.removeprefix(_SCHEME))
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise NotReadyError(f"others than its owner may read the secret {str(file)!r}: chmod 600")
            return SecretStr(stream.read(_MAX_BYTES).decode().rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadyError(f"the secret {str(file)!r} cannot be read: {error}") from error
