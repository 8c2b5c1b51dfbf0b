"""Secrets of a tool's options: the file says where one is kept, never what it is."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr

from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_connectors.targets.files import absolute
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.keys.sources import FORMS, parse_reference

_SCHEME: Final = "file:"
_SOUNDS_SECRET: Final = re.compile(r"password|passphrase|secret|token|api_?key|private_?key|credential", re.IGNORECASE)
_MAX_BYTES: Final = 64 * 1024


def reference(text: str) -> str:
    """``file:/absolute/path``, ``env:NAME`` or ``vault:<mount>/<path>#<field>``.

    Raises ValueError, which does not repeat the text: it may be the secret itself.
    """
    if text.startswith(_SCHEME):
        return file_reference(text)
    try:
        parse_reference(text)
    except ConfigurationError:
        raise ValueError(f"a secret stands in a place of its own; give {FORMS}") from None
    return text


def file_reference(text: str) -> str:
    """``file:/absolute/path`` alone, for what another program reads by itself. Raises ValueError, as `reference`."""
    if not text.startswith(_SCHEME):
        raise ValueError("a secret stands in a file of its own; give file:/absolute/path")
    absolute(text.removeprefix(_SCHEME))
    return text


SecretReference = Annotated[str, AfterValidator(reference)]
"""The type of an option that names a secret."""


class _Stores:
    """How this process reads secrets that are not in files; set once, where its tools are loaded."""

    read: Callable[[str], str] | None = None


def use_stores(read: Callable[[str], str]) -> None:
    """``read`` gives the secret behind a reference. It raises `ConfigurationError` and `UnavailableError`."""
    _Stores.read = read


def sounds_secret(option: str) -> bool:
    """Whether an option's name promises a secret, so that its value has to be a reference."""
    return _SOUNDS_SECRET.search(option) is not None


def read_secret(text: str) -> SecretStr:
    """The secret behind a reference, without the line feed at its end. Read it where it is used: it may be renewed.

    Raises `NotReadyError` where the file is missing, or others than its owner may read it.
    """
    if not text.startswith(_SCHEME):
        return SecretStr(_from_store(text))
    file = Path(text.removeprefix(_SCHEME))
    try:
        with file.open("rb") as stream:
            if os.fstat(stream.fileno()).st_mode & 0o077:
                raise NotReadyError(f"others than its owner may read the secret {str(file)!r}: chmod 600")
            return SecretStr(stream.read(_MAX_BYTES).decode().rstrip("\r\n"))
    except (OSError, UnicodeDecodeError) as error:
        raise NotReadyError(f"the secret {str(file)!r} cannot be read: {error}") from error


def _from_store(text: str) -> str:
    if _Stores.read is None:
        raise NotReadyError(f"the secret {text!r} is not in a file, and no other place of secrets is in use here")
    try:
        return _Stores.read(text)
    except (ConfigurationError, UnavailableError) as error:
        raise NotReadyError(f"the secret {text!r} cannot be read: {error}") from error
