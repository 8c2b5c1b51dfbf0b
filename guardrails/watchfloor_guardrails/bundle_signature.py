"""The signature of a policy bundle: who wrote which version, over the very bytes of every file.

What is signed is the canonical JSON of ``{v, version, author, made_us, files: {name: SHA-256}}`` in a DSSE envelope,
by an Ed25519 key with which the author signs approvals as well.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from watchfloor_core import dsse
from watchfloor_core.canonical import JsonValue, canonical, parse_canonical
from watchfloor_core.errors import RefusedError
from watchfloor_guardrails.assertion import ApproverKey, KeyKind
from watchfloor_guardrails.decision import MAX_PRINCIPAL

PAYLOAD_TYPE: Final = "application/vnd.watchfloor.policy+json"
SIGNATURE_FILE: Final = "signature.json"
MAX_VERSION: Final = 2**31 - 1

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_FORMAT: Final = 1

KeyLookup: TypeAlias = Callable[[str], ApproverKey | None]
"""The key of this id, revoked or not, as the store has it; None where there is none."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the author of a policy signs."""

    version: int
    """1 or more; only goes up."""
    author: str
    """The person's principal."""
    made_us: int
    files: Mapping[str, str]
    """Name of each file but the signature, and the SHA-256 (64 hex digits) of its bytes."""

    def payload(self) -> bytes:
        return canonical(
            {
                "v": _FORMAT,
                "version": self.version,
                "author": self.author,
                "made_us": self.made_us,
                "files": dict(self.files),
            }
        )


def manifest_of(files: Mapping[str, bytes], *, version: int, author: str, made_us: int) -> Manifest:
    """What there is to sign about these files. Raises `RefusedError` where version or author is out of range."""
    manifest = Manifest(version, author, made_us, _digests(files))
    fault = _fault(manifest)
    if fault is not None:
        raise RefusedError(fault)
    return manifest


def sign_bundle(manifest: Manifest, signer: dsse.Signer) -> str:
    """The text of ``signature.json``."""
    return dsse.sign(PAYLOAD_TYPE, manifest.payload(), signer) + "\n"


def verify_bundle(files: Mapping[str, bytes], key_of: KeyLookup, now_us: int) -> Manifest:
    """The manifest that a live key of its author has signed over exactly these files.

    ``files`` are all files of the folder, the signature among them. Raises `RefusedError` with the reason where the
    signature is missing, not of a known, live key of the author, or not over these bytes.
    """
    if SIGNATURE_FILE not in files:
        raise RefusedError(f"{SIGNATURE_FILE} is missing; sign the bundle with `watchfloor policy sign`")
    envelope = files[SIGNATURE_FILE].decode("utf-8", "replace")
    key_id = _key_id(envelope)
    if key_id is None:
        raise RefusedError(f"{SIGNATURE_FILE} is not a DSSE envelope with one signature; sign the bundle anew")
    key = key_of(key_id)
    if key is None or key.kind is not KeyKind.ED25519 or len(key.public_key) != 32:
        raise RefusedError(f"key {key_id!r:.80} is not an Ed25519 key of anybody here; register it, or sign with one")
    # Nothing of the payload is looked at before the signature holds.
    payload, _ = dsse.verify(envelope, PAYLOAD_TYPE, {key_id: Ed25519PublicKey.from_public_bytes(key.public_key)})
    manifest = parse_manifest(payload)
    if key.principal != manifest.author:
        raise RefusedError(f"the policy names {manifest.author!r} as its author and is signed by {key.principal!r}")
    if not key.is_live(now_us):
        raise RefusedError(f"key {key_id} of {key.principal!r} is revoked; sign the policy with a live key")
    _compare(manifest.files, _digests(files))
    return manifest


def parse_manifest(payload: bytes) -> Manifest:
    """Raises `RefusedError` where it is not a manifest in canonical form."""
    try:
        content = parse_canonical(payload)
    except ValueError as error:
        raise RefusedError(f"the signed payload {error}") from error
    match content:
        case {
            "v": 1,
            "version": int(version),
            "author": str(author),
            "made_us": int(made_us),
            "files": dict(files),
            **others,
        } if not others:
            manifest = Manifest(version, author, made_us, {name: str(digest) for name, digest in files.items()})
        case _:
            raise RefusedError("the signed payload is no policy manifest of a format that this version reads")
    fault = _fault(manifest)
    if fault is not None:
        raise RefusedError(fault)
    return manifest


def _fault(manifest: Manifest) -> str | None:
    if isinstance(manifest.version, bool) or not 1 <= manifest.version <= MAX_VERSION:
        return f"version {manifest.version!r} is not a number from 1 to {MAX_VERSION}"
    if not 1 <= len(manifest.author) <= MAX_PRINCIPAL:
        return f"the author's name has {len(manifest.author)} characters; 1 to {MAX_PRINCIPAL} are expected"
    if manifest.made_us < 0:
        return f"made_us is {manifest.made_us}; microseconds since 1970 are expected"
    wrong = [name for name, digest in manifest.files.items() if not _DIGEST.fullmatch(digest)]
    return f"the digest of {wrong[0]!r} is not 64 hex digits" if wrong else None


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != SIGNATURE_FILE}


def _compare(signed: Mapping[str, str], found: Mapping[str, str]) -> None:
    faults = [f"{name!r} is missing" for name in sorted(signed.keys() - found.keys())]
    faults += [f"{name!r} is not signed" for name in sorted(found.keys() - signed.keys())]
    faults += [
        f"{name!r} was changed since it was signed"
        for name in sorted(signed.keys() & found.keys())
        if signed[name] != found[name]
    ]
    if faults:
        raise RefusedError(f"{'; '.join(faults)}: the bundle is not what its author signed")


def _key_id(envelope: str) -> str | None:
    """The id of the key that an envelope says signed it, true or not; one author, one signature."""
    if len(envelope) > dsse.MAX_ENVELOPE:
        return None
    try:
        content: JsonValue = json.loads(envelope)
    except (ValueError, RecursionError):
        return None
    match content:
        case {"signatures": [{"keyid": str(key_id)}]}:
            return key_id
        case _:
            return None
