"""Signatures of playbooks: the JSON Signature Scheme of CACAO v2.0, section 10.15 and appendix A (ITU-T X.590).

::

    value = base64url(sign(algorithm, key, hex(hash(JCS(playbook with this signature, without its value, alone)))))

Each signature covers the whole playbook and its own properties, and no other signature. A key in the document says only
which of the keys that we trust is meant; none is trusted for standing there, and none is fetched.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, assert_never

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import JsonValue

from watchfloor_core.canonical import canonical
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import RefusedError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_playbooks.objects import Signature
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.vocabulary import comparable_time

PublicKey: TypeAlias = Ed25519PublicKey | Ed448PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

MIN_RSA_BITS: Final = 2_048

_HASHES: Final = {"sha-256": hashlib.sha256, "sha-384": hashlib.sha384, "sha-512": hashlib.sha512}
_SHA2: Final[Mapping[str, type[hashes.SHA256] | type[hashes.SHA384] | type[hashes.SHA512]]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
_CURVES: Final = {"ES256": ("secp256r1", 32), "ES384": ("secp384r1", 48), "ES512": ("secp521r1", 66)}
ALGORITHMS: Final = ("Ed25519", "Ed448", *_CURVES, *(f"{kind}{size}" for kind in ("RS", "PS") for size in _SHA2))
"""What is verified here. Nothing symmetric, and nothing that is no algorithm at all."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key that the operator holds for good, with the name by which people know it."""

    name: str
    key: PublicKey = field(repr=False)

    @property
    def der(self) -> bytes:
        return self.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class SignedBy:
    """One signature that holds: who, by which key, and what."""

    key: str
    """The name of the trusted key: this says who it was."""
    signee: str
    """What the signature says of its maker. Attested by nobody but them."""
    signature_id: str
    algorithm: str
    created: str
    playbook_id: str
    version: str
    """The playbook's ``modified``."""
    digest: str
    """SHA-256, in hex, of the canonical playbook without signatures: of what was signed, and nothing else."""


@dataclass(frozen=True, slots=True)
class Verification:
    """At least one signature holds."""

    signed: tuple[SignedBy, ...]
    others: tuple[str, ...]
    """Why each of the other signatures does not count."""


def digest_of(content: Mapping[str, JsonValue]) -> str:
    """SHA-256, in hex, of the canonical playbook without its signatures."""
    return hashlib.sha256(canonical(_bare(content))).hexdigest()


def verify(playbook: Playbook, trusted: Sequence[TrustedKey], now_us: int) -> Verification:
    """Who of those that we trust has signed exactly this playbook.

    Raises `RefusedError` with the reason for each signature where none counts, and where there is none.
    """
    if not playbook.signatures:
        raise RefusedError(f"playbook {playbook.id} is not signed; have it signed with `watchfloor playbook sign`")
    if not trusted:
        raise RefusedError("no key is trusted to sign playbooks; name one")
    signed: list[SignedBy] = []
    others: list[str] = []
    raw = playbook.content["signatures"]
    for signature, one in zip(playbook.signatures, raw if isinstance(raw, list) else (), strict=True):
        fault = _fault(signature, playbook, now_us)
        key = None if fault or not isinstance(one, dict) else _signer(signature, one, playbook.content, trusted)
        if isinstance(key, TrustedKey):
            signed.append(_signed_by(key, signature, playbook))
        else:
            others.append(
                f"{quote_untrusted(signature.id, 60)} of {quote_untrusted(signature.signee, 60)}: {fault or key}"
            )
    if not signed:
        raise RefusedError("\n".join((f"no signature of playbook {playbook.id} counts", *others)))
    return Verification(tuple(signed), tuple(others))


def sign(
    content: Mapping[str, JsonValue],
    key: Ed25519PrivateKey,
    *,
    signature_id: str,
    signee: str,
    now_us: int,
    created_by: str | None = None,
    valid_until: str | None = None,
) -> dict[str, JsonValue]:
    """The playbook with one signature more. ``content`` is that of a playbook that was found right."""
    moment = f"{to_iso(now_us)[:19]}.{now_us // 1_000 % 1_000:03d}Z"
    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature: dict[str, JsonValue] = {
        "type": "jss",
        "id": signature_id,
        "created": moment,
        "modified": moment,
        "signee": signee,
        "related_to": content["id"],
        "related_version": content["modified"],
        "hash_algorithm": "sha-256",
        "algorithm": "Ed25519",
        "public_key": base64.b64encode(der).decode(),
    }
    if created_by is not None:
        signature["created_by"] = created_by
    if valid_until is not None:
        signature["valid_until"] = valid_until
    value = key.sign(_message(content, signature, "sha-256"))
    signature["value"] = base64.urlsafe_b64encode(value).decode().rstrip("=")
    before = content.get("signatures")
    return {**content, "signatures": [*(before if isinstance(before, list) else ()), signature]}


def signs(key: PublicKey, algorithm: str, value: bytes, message: bytes) -> bool:
    """Whether ``value`` is the signature of the message by this key; False as well where the key is of another kind."""
    try:
        match key:
            case Ed25519PublicKey() | Ed448PublicKey():
                if algorithm != ("Ed25519" if isinstance(key, Ed25519PublicKey) else "Ed448"):
                    return False
                key.verify(value, message)
            case ec.EllipticCurvePublicKey():
                curve, size = _CURVES.get(algorithm, ("", 0))
                if key.curve.name != curve or len(value) != 2 * size:
                    return False
                r, s = int.from_bytes(value[:size], "big"), int.from_bytes(value[size:], "big")
                key.verify(encode_dss_signature(r, s), message, ec.ECDSA(_SHA2[algorithm[2:]]()))
            case rsa.RSAPublicKey():
                if algorithm[:2] not in ("RS", "PS") or key.key_size < MIN_RSA_BITS:
                    return False
                sha = _SHA2[algorithm[2:]]()
                pss = padding.PSS(padding.MGF1(sha), sha.digest_size)
                key.verify(value, message, padding.PKCS1v15() if algorithm.startswith("RS") else pss, sha)
            case _:
                assert_never(key)
    except InvalidSignature:
        return False
    return True


def _fault(signature: Signature, playbook: Playbook, now_us: int) -> str | None:
    """Why it does not count whatever its value is."""
    now = comparable_time(to_iso(now_us))
    begins = comparable_time(signature.valid_from or signature.created)
    ends = comparable_time(signature.valid_until) if signature.valid_until else None
    if signature.algorithm not in ALGORITHMS:
        return f"algorithm {quote_untrusted(signature.algorithm, 40)} is not verified here; {', '.join(ALGORITHMS)} are"
    if signature.hash_algorithm not in _HASHES:
        return f"hash algorithm {quote_untrusted(signature.hash_algorithm, 40)} is none of {', '.join(_HASHES)}"
    if signature.related_to != playbook.id or signature.related_version != playbook.head.modified:
        return "it belongs to another playbook or version"
    if signature.revoked:
        return "it is revoked"
    if now is None or begins is None or (signature.valid_until and ends is None):
        return "its times cannot be read"
    if now < begins:
        return f"it is valid from {signature.valid_from or signature.created} on"
    if ends is not None and ends <= now:
        return f"it was valid until {signature.valid_until}"
    return None


def _signer(
    signature: Signature, raw: Mapping[str, JsonValue], content: Mapping[str, JsonValue], trusted: Sequence[TrustedKey]
) -> TrustedKey | str:
    """The trusted key that made it, or why there is none."""
    candidates = trusted
    if signature.public_key is not None:
        try:
            der = base64.b64decode("".join(signature.public_key.split()), validate=True)
        except binascii.Error:
            return "its public key is not base64"
        candidates = [one for one in trusted if one.der == der]
        if not candidates:
            return "its key is not among those that are trusted"
    try:
        value = base64.b64decode(signature.value + "=" * (-len(signature.value) % 4), b"-_", validate=True)
    except (binascii.Error, ValueError):
        return "its value is not base64url"
    message = _message(content, raw, signature.hash_algorithm)
    for one in candidates:
        if signs(one.key, signature.algorithm, value, message):
            return one
    if signature.public_key is None:
        return "no trusted key has made it, or the playbook was altered since"
    return f"the playbook was altered since {candidates[0].name} signed it, or the signature was"


def _message(content: Mapping[str, JsonValue], signature: Mapping[str, JsonValue], algorithm: str) -> bytes:
    """What is signed. A countersignature came after it, and is left out as its value is."""
    alone = {name: value for name, value in signature.items() if name not in ("value", "signature")}
    whole = canonical({**_bare(content), "signatures": [alone]})
    return _HASHES[algorithm](whole).hexdigest().encode()


def _bare(content: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return {name: value for name, value in content.items() if name != "signatures"}


def _signed_by(key: TrustedKey, signature: Signature, playbook: Playbook) -> SignedBy:
    return SignedBy(
        key=key.name,
        signee=signature.signee,
        signature_id=signature.id,
        algorithm=signature.algorithm,
        created=signature.created,
        playbook_id=playbook.id,
        version=playbook.head.modified,
        digest=digest_of(playbook.content),
    )
