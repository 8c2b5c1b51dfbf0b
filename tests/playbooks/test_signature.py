"""Signatures: as the standard makes them, by keys that are trusted, over exactly this playbook."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from tests.playbooks.books import Book, book, data_of, step
from watchfloor_core.canonical import canonical
from watchfloor_core.errors import RefusedError
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.signature import PublicKey, TrustedKey, Verification, digest_of, sign, signs, verify

NOW = 1_800_000_000_000_000
ANA = Ed25519PrivateKey.from_private_bytes(b"a" * 32)
EVE = Ed25519PrivateKey.from_private_bytes(b"e" * 32)
TRUSTED = [TrustedKey("ana", ANA.public_key())]


def signed(content: Book | None = None, key: Ed25519PrivateKey = ANA, number: int = 1, **others: Any) -> Book:
    named = {"signature_id": step("jss", number), "signee": "Ana of the SOC", "now_us": NOW, **others}
    return sign(content or book(), key, **named)


def verified(content: Book, trusted: list[TrustedKey] | None = None, now_us: int = NOW) -> Verification:
    return verify(playbook(content), TRUSTED if trusted is None else trusted, now_us)


def playbook(content: Book) -> Playbook:
    return load(data_of(content), "x.json")


def refused(content: Book, trusted: list[TrustedKey] | None = None, now_us: int = NOW) -> str:
    with pytest.raises(RefusedError) as caught:
        verified(content, trusted, now_us)
    return str(caught.value)


# The worked example of the standard's authors: an RSA key, a playbook, its canonical form, hash and signature.
KEY = (
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAptKZyFPStvmOlb0WihOBhlHUr6wFDHC+tW7hJAudfTQ5mHZQpB8PoMz07udZA+dG8dhUIPkmX"
    "lp1TgREeYTHdhxhuf0y/GhbpZv5JPYHx3watO+HWO2qYkjRMEcrWhPMdaVkS/Xe/liaMcow4jYoWaFm8VobeYsyVD2bWWdyl4joTEETm1Z47RnnfR15kV"
    "hVudVrDzEFmM4nXV/6dmIg184RJE4httwBFxR8qZCQCwTiJmsoyJxfUR0Gs4ePKc5sB0NTkmFZc5klQSitd67RJn2ldhbqE7EpDl4XlIt+UyLJm1guCBlt"
    "ia8Agke7dXuhpB7hQ6LJwY4EjzthkJ8IPwIDAQAB"
)
VALUE = (
    "gXyPW--uUKvGXRh_oDC7IYlx13hGmkiQw6XX3YX_V_i4Y39OPilf0q0qf46aO3IrvG-5_fgeQ3dIunmizYneaVJKjsXo-gkJczvGDehlTjS7MBUIGyD9DRd4"
    "1DnaxWWwzU-T4sZCur664_3J0C-WRCDgZxiB_ItFpeSnPJ8rR8GRFO6M9YS-ejEGJl-sd_hfZUqjZOE_S_UWp_Fd9QYlP2cWDvGH8vFhx2ek9KovEob5Bh2L"
    "X_Gaf7t237B34wKeN4B8aqapyTh3Q8v_Z61bDTNLyi6ZA8zcrUOgCVLVMx_EFizx31WIDZrePsSpX4bfRurcvRyvNNVdWLaS96JYog"
)
EXAMPLE: Book = {
    "type": "playbook",
    "spec_version": "cacao-2.0",
    "id": "playbook--a0777575-5c4c-4710-9f01-15776103837f",
    "name": "Playbook 1",
    "created_by": "identity--5abe695c-7bd5-4c31-8824-2528696cdbf1",
    "created": "2022-05-18T11:31:31.319Z",
    "modified": "2022-05-18T11:31:31.319Z",
    "signatures": [
        {
            "type": "jss",
            "id": "jss--af892292-c4b4-47eb-9be6-4897ff4b9388",
            "created_by": "identity--5abe695c-7bd5-4c31-8824-2528696cdbf1",
            "created": "2023-01-10T17:39:31.319Z",
            "modified": "2023-01-10T17:39:31.319Z",
            "signee": "ACME Cyber Company",
            "valid_from": "2023-01-10T17:39:31.319Z",
            "valid_until": "2023-06-10T17:39:31.319Z",
            "related_to": "playbook--a0777575-5c4c-4710-9f01-15776103837f",
            "related_version": "2022-05-18T11:31:31.319Z",
            "hash_algorithm": "sha-256",
            "algorithm": "RS256",
            "public_key": KEY,
        }
    ],
}


def test_the_standards_example_has_its_hash_and_its_signature_holds() -> None:
    hashed = hashlib.sha256(canonical(EXAMPLE)).hexdigest()
    key = load_der_public_key(base64.b64decode(KEY))
    value = base64.urlsafe_b64decode(VALUE + "==")

    assert hashed == "973bb6492184e4681b1eab9df1f56926fc1a91582e3529bfd0bfb231e1c51b0a"
    assert isinstance(key, rsa.RSAPublicKey)
    assert signs(key, "RS256", value, hashed.encode())


def test_what_is_signed_says_who_signed_and_what() -> None:
    content = signed()

    [found] = verified(content).signed
    assert (found.key, found.signee, found.algorithm) == ("ana", "Ana of the SOC", "Ed25519")
    assert (found.playbook_id, found.version) == (content["id"], content["modified"])
    assert found.digest == digest_of(book())


def test_the_value_is_made_as_the_example_is() -> None:
    content = signed()
    [signature] = content["signatures"]
    value = base64.urlsafe_b64decode(signature.pop("value") + "==")

    ANA.public_key().verify(value, hashlib.sha256(canonical(content)).hexdigest().encode())


def test_several_sign_the_same_and_no_signature_is_over_another() -> None:
    content = signed(signed(key=EVE, number=2))
    both = [*TRUSTED, TrustedKey("eve", EVE.public_key())]

    assert [one.key for one in verified(content, both).signed] == ["eve", "ana"]
    assert [one.key for one in verified(content).signed] == ["ana"]
    content["signatures"].pop(0)
    assert [one.key for one in verified(content, both).signed] == ["ana"]


def test_the_order_of_properties_and_a_way_through_canonical_form_change_nothing() -> None:
    content = json.loads(canonical(signed()))

    assert verified(dict(reversed(content.items()))).signed


@pytest.mark.parametrize(
    "change",
    [
        lambda book: book.update(name="Another"),
        lambda book: book.update(x_new=1),
        lambda book: book["workflow"][step("action", 2)]["commands"][0].update(command="rm -rf /"),
        lambda book: book["signatures"][0].update(signee="Somebody else"),
        lambda book: book["signatures"][0].update(valid_until="2999-01-01T00:00:00.000Z"),
        lambda book: book["signatures"][0].update(hash_algorithm="sha-512"),
        lambda book: book["signatures"][0].update(value="AAAA"),
    ],
)
def test_what_was_altered_since_is_refused(change: Callable[[Book], None]) -> None:
    content = signed()
    change(content)

    assert "the playbook was altered since ana signed it, or the signature was" in refused(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"algorithm": "none"}, 'algorithm "none" is not verified here'),
        ({"algorithm": "HS256"}, 'algorithm "HS256" is not verified here'),
        ({"algorithm": "RS256"}, "altered since ana signed it"),
        ({"hash_algorithm": "md5"}, 'hash algorithm "md5" is none of'),
        ({"revoked": True}, "it is revoked"),
        ({"related_to": step("playbook", 9)}, "it belongs to another playbook or version"),
        ({"related_version": "2020-01-01T00:00:00.000Z"}, "it belongs to another playbook or version"),
        ({"valid_from": "2999-01-01T00:00:00.000Z"}, "it is valid from 2999"),
        ({"public_key": "not base64!"}, "its public key is not base64"),
        ({"value": "*"}, "its value is not base64url"),
        ({"value": "A"}, "its value is not base64url"),
    ],
)
def test_a_signature_that_cannot_count_says_why(change: dict[str, Any], said: str) -> None:
    content = signed()
    content["signatures"][0].update(change)

    assert said in refused(content)


def test_a_signature_counts_from_when_it_is_made_until_it_ends() -> None:
    content = signed(valid_until="2027-06-30T00:00:00.000Z")

    assert verified(content).signed
    assert "it was valid until 2027-06-30" in refused(content, now_us=NOW + 400 * 86_400_000_000)
    assert "it is valid from 2027-01-15" in refused(content, now_us=NOW - 1_000_000)


def test_a_key_is_not_trusted_because_it_stands_in_the_playbook() -> None:
    assert "its key is not among those that are trusted" in refused(signed(key=EVE))


def test_the_key_of_one_who_is_trusted_does_not_lend_itself_to_the_signature_of_another() -> None:
    content = signed(key=EVE)
    ana = ANA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    content["signatures"][0]["public_key"] = base64.b64encode(ana).decode()

    assert "altered since ana signed it" in refused(content)


def test_without_a_signature_or_a_trusted_key_nothing_is_verified() -> None:
    assert "is not signed" in refused(book())
    assert "no key is trusted" in refused(signed(), [])


def test_one_signature_that_holds_is_enough_and_the_others_are_told() -> None:
    content = signed(signed(key=EVE, number=2))

    found = verified(content)

    assert [one.key for one in found.signed] == ["ana"]
    assert "its key is not among those that are trusted" in found.others[0]


def _raw(signature: bytes, size: int) -> bytes:
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_PUBLIC = RSA_KEY.public_key()
P256, P384, P521 = (ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()))
ED448 = Ed448PrivateKey.generate()
MADE: list[tuple[str, PublicKey, Callable[[bytes], bytes]]] = [
    ("Ed25519", ANA.public_key(), ANA.sign),
    ("Ed448", ED448.public_key(), ED448.sign),
    ("ES256", P256.public_key(), lambda m: _raw(P256.sign(m, ec.ECDSA(hashes.SHA256())), 32)),
    ("ES384", P384.public_key(), lambda m: _raw(P384.sign(m, ec.ECDSA(hashes.SHA384())), 48)),
    ("ES512", P521.public_key(), lambda m: _raw(P521.sign(m, ec.ECDSA(hashes.SHA512())), 66)),
    ("RS384", RSA_PUBLIC, lambda m: RSA_KEY.sign(m, padding.PKCS1v15(), hashes.SHA384())),
    (
        "PS256",
        RSA_PUBLIC,
        lambda m: RSA_KEY.sign(m, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()),
    ),
]


@pytest.mark.parametrize(("algorithm", "key", "make"), MADE, ids=[name for name, _, _ in MADE])
def test_each_algorithm_is_verified_with_its_own_kind_of_key_alone(
    algorithm: str, key: PublicKey, make: Callable[[bytes], bytes]
) -> None:
    value = make(b"message")

    assert signs(key, algorithm, value, b"message")
    assert not signs(key, algorithm, value, b"another")
    for other, other_key, _ in MADE:
        if other != algorithm:
            assert not signs(key, other, value, b"message")
        if other_key is not key:
            assert not signs(other_key, algorithm, value, b"message")


def test_a_short_rsa_key_signs_nothing() -> None:
    short = rsa.generate_private_key(65537, 1024)  # noqa: S505  # that is what is tested
    value = short.sign(b"message", padding.PKCS1v15(), hashes.SHA256())

    assert not signs(short.public_key(), "RS256", value, b"message")


def test_a_signature_that_names_no_key_is_looked_for_among_the_trusted_ones() -> None:
    content = signed()
    signature = content["signatures"][0]
    del signature["public_key"], signature["value"]
    signature["thumbprint"] = "x"
    value = ANA.sign(hashlib.sha256(canonical(content)).hexdigest().encode())
    signature["value"] = base64.urlsafe_b64encode(value).decode().rstrip("=")

    assert [one.key for one in verified(content).signed] == ["ana"]
    assert "no trusted key has made it" in refused(content, [TrustedKey("eve", EVE.public_key())])
