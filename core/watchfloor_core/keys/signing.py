"""Signing keys as PEM files (PKCS #8, Ed25519): ``<name>.key`` mode 0600 and ``<name>.pub`` beside it.

Which process may read which private key is what separates duties: the worker signs grants, the executor only checks
them and so needs the public half alone.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from watchfloor_core.dsse import Signer
from watchfloor_core.errors import ConfigurationError

GRANT_KEY: Final = "grant"
"""Signs grants; held by the worker."""
CHECKPOINT_KEY: Final = "checkpoint"
"""Signs checkpoints of the ledger; held by the worker."""


def signing_key(folder: Path, name: str) -> Signer:
    """The key ``name`` in ``folder``, made at first use. Safe when several processes are first at once.

    Raises `ConfigurationError` where the file is not private or holds no Ed25519 key.
    """
    path = folder / f"{name}.key"
    if not path.exists():
        _make(folder, name)
    key = _parsed_private(_private_bytes(path), path)
    _write_public(folder / f"{name}.pub", key.public_key())
    return Signer(key)


def public_half(folder: Path, name: str) -> Ed25519PublicKey | None:
    """The public half of the private key ``name`` in ``folder``; None where there is none yet. Makes nothing.

    Raises `ConfigurationError` as `signing_key` does.
    """
    path = folder / f"{name}.key"
    return _parsed_private(_private_bytes(path), path).public_key() if os.path.lexists(path) else None


def public_key(path: Path) -> Ed25519PublicKey:
    """The key in a ``.pub`` file. Raises `ConfigurationError`."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"the public key {str(path)!r} cannot be read ({error.strerror})") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{str(path)!r} is no PEM public key: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigurationError(f"{str(path)!r} is a {type(key).__name__}, expected an Ed25519 public key")
    return key


def _make(folder: Path, name: str) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = folder / f".{name}.{secrets.token_hex(8)}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        # A link fails where another process was first; its key is then the one.
        os.link(draft, folder / f"{name}.key")
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _private_bytes(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigurationError(f"the key {str(path)!r} cannot be read ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode) or state.st_mode & 0o077 or state.st_uid != os.geteuid():
            raise ConfigurationError(f"{str(path)!r} must be yours and readable by you alone; chmod 600 it")
        return file.read(65_536)


def _parsed_private(data: bytes, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(f"{str(path)!r} is no unencrypted PEM private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{str(path)!r} is a {type(key).__name__}, expected an Ed25519 private key")
    return key


def _write_public(path: Path, key: Ed25519PublicKey) -> None:
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    if path.exists() and path.read_bytes() == pem:
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    draft.write_bytes(pem)
    draft.replace(path)
