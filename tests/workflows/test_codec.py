"""The codec alone: what it hides, what it refuses, and the form that other tools of Temporal know."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.keys.payload import PayloadKey, PayloadKeyRing, format_ring, new_key
from watchfloor_core.keys.payload_file import change_ring, ensure_ring, ring_file
from watchfloor_core.keys.payload_in_use import PayloadKeys
from watchfloor_core.keys.sources import FixedSecret, PrivateFile
from watchfloor_core.settings import Settings
from watchfloor_workflows import client, plugin
from watchfloor_workflows.codec import EncryptionCodec, decrypt, encrypt
from watchfloor_workflows.payload_keys import payload_keys

anyio = pytest.mark.anyio

KEY = PayloadKey("0a1b2c3d", b"\x07" * 32, 1)
SECRET = Payload(metadata={"encoding": b"json/plain"}, data=b'"hunter2"')


def codec(ring: PayloadKeyRing) -> EncryptionCodec:
    return EncryptionCodec(PayloadKeys(FixedSecret("here", format_ring(ring))))


@given(st.dictionaries(st.text(max_size=20), st.binary(max_size=40), max_size=4), st.binary(max_size=300))
def test_a_payload_comes_back_as_it_was_with_all_its_metadata(metadata: dict[str, bytes], data: bytes) -> None:
    payload = Payload(metadata=metadata, data=data)
    assert decrypt(encrypt(payload, KEY), KEY) == payload


def test_only_the_kind_of_encryption_and_the_keys_id_are_in_the_clear() -> None:
    once, again = encrypt(SECRET, KEY), encrypt(SECRET, KEY)

    assert dict(once.metadata) == {"encoding": b"binary/encrypted", "encryption-key-id": b"0a1b2c3d"}
    assert b"hunter2" not in once.SerializeToString()
    assert b"json/plain" not in once.SerializeToString()
    assert once.data[:12] != again.data[:12]
    # Nonce and tag; nothing is compressed and nothing is padded.
    assert len(once.data) == 12 + SECRET.ByteSize() + 16


@given(st.data())
def test_a_payload_that_was_changed_in_any_bit_is_refused(data: st.DataObject) -> None:
    sealed = encrypt(SECRET, KEY)
    changed = bytearray(sealed.data)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ConfigurationError, match="does not decrypt with key 0a1b2c3d"):
        decrypt(Payload(metadata=sealed.metadata, data=bytes(changed)), KEY)


@pytest.mark.parametrize("length", [0, 11, 12, 27])
def test_a_payload_that_was_cut_off_is_refused(length: int) -> None:
    sealed = encrypt(SECRET, KEY)
    with pytest.raises(ConfigurationError, match="does not decrypt"):
        decrypt(Payload(metadata=sealed.metadata, data=sealed.data[:length]), KEY)


def test_a_key_under_another_id_does_not_decrypt() -> None:
    with pytest.raises(ConfigurationError):
        decrypt(encrypt(SECRET, KEY), replace(KEY, id="ffffffff"))


@anyio
async def test_what_older_keys_encrypted_is_read_and_new_payloads_get_the_current_key() -> None:
    first = PayloadKeyRing(KEY)
    second = first.rotated()
    old = await codec(first).encode([SECRET, SECRET])
    new = await codec(second).encode([SECRET])

    assert await codec(second).decode([*old, *new]) == [SECRET] * 3
    assert new[0].metadata["encryption-key-id"] == second.current.id.encode()


@anyio
async def test_a_key_that_is_nowhere_is_named_with_those_that_are_there() -> None:
    sealed = await codec(PayloadKeyRing(KEY)).encode([SECRET])
    other = PayloadKeyRing(new_key())
    with pytest.raises(UnavailableError, match=rf"key '0a1b2c3d', and here holds {other.current.id}"):
        await codec(other).decode(sealed)


@anyio
async def test_plaintext_is_read_only_where_the_ring_says_that_older_histories_go_on() -> None:
    assert await codec(PayloadKeyRing(KEY, accepts_plaintext=True)).decode([SECRET]) == [SECRET]
    with pytest.raises(ConfigurationError, match="keys accept-plaintext") as refused:
        await codec(PayloadKeyRing(KEY)).decode([SECRET])
    assert "hunter2" not in str(refused.value)


@anyio
async def test_a_rotation_by_another_process_is_noticed_when_encrypting_and_when_decrypting(tmp_path: Path) -> None:
    path = ring_file(tmp_path)
    ensure_ring(path)
    here, there = (EncryptionCodec(PayloadKeys(PrivateFile(path))) for _ in range(2))
    before = await here.encode([SECRET])
    assert await there.decode(before) == [SECRET]

    ring = change_ring(path, PayloadKeyRing.rotated)
    after = await here.encode([SECRET])
    assert after[0].metadata["encryption-key-id"] == ring.current.id.encode()
    assert await there.decode([*before, *after]) == [SECRET] * 2


def test_the_settings_name_where_the_keys_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    default = payload_keys(Settings(data_dir=tmp_path))
    assert default.refresh().older == ()
    assert default.reference == f"file:{tmp_path}/keys/payload.json"

    ring = PayloadKeyRing(KEY)
    monkeypatch.setenv("PAYLOAD_RING", format_ring(ring).decode())
    assert payload_keys(Settings(data_dir=tmp_path, payload_keys="env:PAYLOAD_RING")).refresh() == ring
    given = tmp_path / "ring"
    given.write_bytes(format_ring(ring))
    given.chmod(0o400)
    assert payload_keys(Settings(data_dir=tmp_path, payload_keys=f"file:{given}")).refresh() == ring
    with pytest.raises(ConfigurationError, match="no variable NOWHERE"):
        payload_keys(Settings(data_dir=tmp_path, payload_keys="env:NOWHERE"))


def test_nobody_gets_a_plugin_or_a_client_without_keys() -> None:
    keys = inspect.signature(plugin.watchfloor_plugin).parameters["keys"]
    assert keys.default is inspect.Parameter.empty
    assert list(inspect.signature(client.connect).parameters) == ["settings"]
