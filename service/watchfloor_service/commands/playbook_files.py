"""Playbooks and the keys that may sign them, as files and as the store has them."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.loading import MAX_BYTES
from watchfloor_playbooks.signature import TrustedKey
from watchfloor_service.runs.export import replacing

_PEM: Final = re.compile(rb"-----BEGIN (PUBLIC KEY|CERTIFICATE)-----\r?\n.*?-----END \1-----", re.DOTALL)


def read_playbook(path: Path) -> bytes:
    """Raises `ConfigurationError` where it cannot be read, or is larger than a playbook can be."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error.strerror}); name a readable file") from error
    return data


def write_out(data: bytes, out: Path | None, *, is_new: bool = False) -> None:
    """To a file, whole or not at all, or to standard output. Raises `ConfigurationError`."""
    if out is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    if is_new and out.exists():
        raise ConfigurationError(f"{str(out)!r} is there already; name a new file")
    with replacing(out) as file:
        file.write(data)


def keys_in_file(path: Path) -> list[TrustedKey]:
    """Public keys and certificates in PEM form. A certificate only holds the key: naming it here is the trust."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read ({error.strerror}); name a readable file") from error
    found = list(_PEM.finditer(data))
    if not found:
        raise ConfigurationError(f"{str(path)!r} has no public key in PEM form; a private one is not asked for here")
    keys = []
    for number, match in enumerate(found, start=1):
        name = path.name if len(found) == 1 else f"{path.name} #{number}"
        try:
            is_certificate = match.group(1) == b"CERTIFICATE"
            pem = match.group()
            key = x509.load_pem_x509_certificate(pem).public_key() if is_certificate else load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(f"key {number} of {str(path)!r} cannot be read ({error})") from error
        if not isinstance(key, (Ed25519PublicKey, Ed448PublicKey, EllipticCurvePublicKey, RSAPublicKey)):
            raise ConfigurationError(f"key {number} of {str(path)!r} is of a kind that signs no playbooks")
        keys.append(TrustedKey(name, key))
    return keys
