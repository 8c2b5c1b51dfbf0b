"""A person's own signing key: an Ed25519 key as a PEM file (PKCS #8) of mode 0600, encrypted with a passphrase.

The format's own derivation is weak (PBKDF2 with 2,048 rounds), so the PEM's password is not the passphrase itself but
what argon2id makes of it. How stands above the PEM, as RFC 7468 lets explanatory text stand::

    Watchfloor-Passphrase: argon2id v=19 m=65536 t=3 p=4 salt=<hex>
    -----BEGIN ENCRYPTED PRIVATE KEY-----
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from argon2.low_level import ARGON2_VERSION, Type, hash_secret_raw
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from watchfloor_core.dsse import Signer
from watchfloor_core.errors import ConfigurationError, NotFoundError, RefusedError
from watchfloor_core.keys.private_file import create_private, read_private

SUFFIX: Final = ".pem"
USUAL: Final = "default"
"""Name of the key that is taken where none is named."""
MIN_PASSPHRASE: Final = 12
"""Characters."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HEADER: Final = re.compile(
    rb"Watchfloor-Passphrase: argon2id v=(\d{1,3}) m=(\d{1,7}) t=(\d{1,2}) p=(\d{1,2}) salt=([0-9a-f]{32})\n"
)
_MOST_MEMORY: Final = 1 << 20
"""KiB that reading a key may cost: a file of someone else's making must not take the machine down."""


@dataclass(frozen=True, slots=True)
class Stretching:
    """How a passphrase becomes the PEM's password. The defaults are the second choice of RFC 9106, section 4."""

    salt: bytes
    memory: int = 65_536
    """KiB."""
    rounds: int = 3
    lanes: int = 4

    def password(self, passphrase: str) -> bytes:
        raw = hash_secret_raw(
            passphrase.encode("utf-8", "surrogatepass"), self.salt, self.rounds, self.memory, self.lanes, 32, Type.ID
        )
        return raw.hex().encode()

    def header(self) -> bytes:
        return (
            f"Watchfloor-Passphrase: argon2id v={ARGON2_VERSION} m={self.memory} t={self.rounds} p={self.lanes} "
            f"salt={self.salt.hex()}\n"
        ).encode()


def key_folder(home: Path | None = None) -> Path:
    """Where a person's keys are unless they say otherwise."""
    return (home or Path.home()) / ".config" / "watchfloor" / "keys"


def key_path(name: str, folder: Path) -> Path:
    """The file of the key ``name``. Raises `ConfigurationError` for a name that is none."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"a key's name has letters, digits and . _ - only, up to 64; {name[:80]!r} is none")
    return folder / f"{name}{SUFFIX}"


def make_approver_key(path: Path, passphrase: str | None, stretching: Stretching | None = None) -> Signer:
    """Make a key and its file. Raises `ConfigurationError` where the file is there or the passphrase is too short."""
    encryption: KeySerializationEncryption = NoEncryption()
    header = b""
    if passphrase is not None:
        if len(passphrase) < MIN_PASSPHRASE:
            raise ConfigurationError(
                f"the passphrase has {len(passphrase)} characters; at least {MIN_PASSPHRASE} are expected"
            )
        used = stretching or Stretching(secrets.token_bytes(16))
        encryption, header = BestAvailableEncryption(used.password(passphrase)), used.header()
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    if not create_private(path, header + pem):
        raise ConfigurationError(f"there is a key in {str(path)!r} already; give another --name or --out")
    return Signer(key)


def load_approver_key(path: Path, passphrase: Callable[[], str]) -> Signer:
    """The key in a file; ``passphrase`` is asked where it is encrypted.

    Raises `NotFoundError` where there is none, `ConfigurationError` where the file is not private or no such key, and
    `RefusedError` for a wrong passphrase.
    """
    if not path.exists():
        raise NotFoundError(f"there is no key in {str(path)!r}; `watchfloor keys new` makes one")
    data = read_private(path)
    header = _HEADER.match(data)
    stretched = None if header is None else _stretching(header, path)
    password = None if stretched is None else stretched.password(passphrase())
    try:
        key = load_pem_private_key(data if header is None else data[header.end() :], password)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{str(path)!r} is not a key of `watchfloor keys new`: {error}") from error
    except ValueError as error:
        if stretched is not None:
            raise RefusedError(f"the passphrase is not that of {str(path)!r}, or the file is damaged") from error
        raise ConfigurationError(
            f"{str(path)!r} is no private key in PEM form; `watchfloor keys new` makes one"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{str(path)!r} is a {type(key).__name__}, expected an Ed25519 private key")
    return Signer(key)


def only_key(folder: Path) -> Path:
    """The one key in a folder, or of several that of the name ``default``.

    Raises `NotFoundError` where there is none, `ConfigurationError` where several are and none has that name.
    """
    found = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not found:
        raise NotFoundError(f"there is no key in {str(folder)!r}; `watchfloor keys new` makes one")
    usual = folder / f"{USUAL}{SUFFIX}"
    if len(found) > 1 and usual in found:
        return usual
    if len(found) > 1:
        names = ", ".join(one.stem for one in found)
        raise ConfigurationError(f"there are several keys in {str(folder)!r} ({names}); name one by --key")
    return found[0]


def _stretching(header: re.Match[bytes], path: Path) -> Stretching:
    version, memory, rounds, lanes = (int(header[group]) for group in range(1, 5))
    if version != ARGON2_VERSION or memory > _MOST_MEMORY or not 1 <= lanes <= 16 or rounds < 1 or memory < 8 * lanes:
        raise ConfigurationError(f"the first line of {str(path)!r} asks for an argon2id that is not computed here")
    return Stretching(bytes.fromhex(header[5].decode()), memory, rounds, lanes)
