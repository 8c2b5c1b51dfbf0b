"""The ring of payload keys: made once, kept private, rotated without losing a key, followed by running processes."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.keys import payload_in_use
from watchfloor_core.keys.payload import PayloadKey, PayloadKeyRing, format_ring, new_key, parse_ring
from watchfloor_core.keys.payload_file import change_ring, ensure_ring, read_ring, ring_file
from watchfloor_core.keys.payload_in_use import PayloadKeys
from watchfloor_core.keys.sources import (
    EnvironmentReference,
    FileReference,
    FixedSecret,
    GivenFile,
    PrivateFile,
    VaultReference,
    parse_reference,
)

KEYS = st.builds(
    PayloadKey,
    st.text("0123456789abcdef", min_size=8, max_size=64),
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**53 - 1),
)


@given(st.lists(KEYS, min_size=1, max_size=5, unique_by=lambda key: key.id), st.booleans())
def test_a_ring_is_read_as_it_was_written(keys: list[PayloadKey], accepts: bool) -> None:
    ring = PayloadKeyRing(keys[0], tuple(sorted(keys[1:], key=lambda key: -key.made_us)), accepts)
    assert parse_ring(format_ring(ring), "here") == ring


def test_rotation_keeps_every_older_key() -> None:
    first = PayloadKeyRing(new_key(), accepts_plaintext=True)
    third = first.rotated().rotated()

    assert third.older[-1] == first.current
    assert len({key.secret for key in third.keys}) == 3
    assert third.accepts_plaintext


def written(**changes: object) -> bytes:
    document = json.loads(format_ring(PayloadKeyRing(PayloadKey("0a1b2c3d", b"S" * 32, 1))))
    return json.dumps(document | changes).encode()


KEY = {"id": "0a1b2c3d", "key": "U1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1NTU1M=", "made_us": 1}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JSON"),
        (b"[]", "expected an object"),
        (written(extra=1), "expected an object"),
        (written(current="99999999"), "no key has the id of current"),
        (written(keys=[]), "no key has the id"),
        (written(keys=[KEY, KEY]), "more than once"),
        (written(keys=[{**KEY, "id": "no-hex!!"}]), "8 to 64 lower-case hex"),
        (written(keys=[{**KEY, "key": "U1NT"}]), "3 bytes, expected 32"),
        (written(keys=[{**KEY, "key": "*"}]), "no base64"),
        (written(keys=[{**KEY, "made_us": "1"}]), "no integer"),
        (written(keys=[{**KEY, "more": 1}]), "exactly"),
        (written(accepts_plaintext="no"), "true or false"),
    ],
)
def test_a_damaged_ring_is_refused_and_its_keys_are_not_shown(data: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as refused:
        parse_ring(data, "file:/ring")
    assert "U1NT" not in str(refused.value)
    assert "file:/ring" in str(refused.value)


def test_a_key_does_not_show_itself() -> None:
    ring = PayloadKeyRing(PayloadKey("0a1b2c3d", b"S" * 32, 1))
    assert "SSS" not in repr(ring)
    assert "SSS" not in repr(FixedSecret("env:X", b"SSSS"))


def test_the_first_start_makes_a_ring_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = ring_file(tmp_path / "data")
    ensure_ring(path)

    modes = {each: stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)}
    assert modes == {path: 0o600, path.parent: 0o700, path.parent.parent: 0o700}
    assert not read_ring(path).accepts_plaintext
    assert [each.name for each in path.parent.iterdir()] == ["payload.json"]


PROCESS = """
import sys
from pathlib import Path
from watchfloor_core.keys.payload import PayloadKeyRing
from watchfloor_core.keys.payload_file import change_ring, ensure_ring, read_ring
path = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
ensure_ring(path)
print(read_ring(path).keys[-1].id)
for _ in range(5):
    print(change_ring(path, PayloadKeyRing.rotated).current.id)
"""


def test_of_processes_that_are_first_one_makes_the_ring_and_of_rotations_at_once_none_is_lost(tmp_path: Path) -> None:
    path = ring_file(tmp_path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 4
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    told = [process.communicate(timeout=30)[0].split() for process in processes]

    first = {made for made, *_ in told}
    rotated = [each for _, *ids in told for each in ids]
    assert len(first) == 1
    assert len(set(rotated)) == 20
    assert {key.id for key in read_ring(path).keys} == first | set(rotated)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_ring_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = ring_file(tmp_path)
    ensure_ring(path)
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_ring(path)


def test_a_link_in_the_rings_place_is_refused(tmp_path: Path) -> None:
    ensure_ring(ring_file(tmp_path / "other"))
    path = ring_file(tmp_path)
    path.parent.mkdir(0o700)
    path.symlink_to(ring_file(tmp_path / "other"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_ring(path)


def test_a_mounted_secret_may_be_a_link_and_open_to_a_group_but_never_to_all(tmp_path: Path) -> None:
    (tmp_path / "..data").write_bytes(b"secret")
    (tmp_path / "ring").symlink_to("..data")
    source = GivenFile(tmp_path / "ring")
    (tmp_path / "..data").chmod(0o440)
    assert source.read() == b"secret"
    (tmp_path / "..data").chmod(0o444)
    with pytest.raises(ConfigurationError, match="others cannot read"):
        source.read()
    with pytest.raises(ConfigurationError, match="No such file"):
        GivenFile(tmp_path / "none").read()


def test_a_file_of_a_megabyte_is_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"x" * (1024 * 1024 + 1))
    path.chmod(0o600)
    for source in (PrivateFile(path), GivenFile(path)):
        with pytest.raises(ConfigurationError, match="larger than"):
            source.read()


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("file:/run/secrets/ring", FileReference(Path("/run/secrets/ring"))),
        ("env:PAYLOAD_RING", EnvironmentReference("PAYLOAD_RING")),
        ("vault:secret/soc/watchfloor#ring", VaultReference("secret", "soc/watchfloor", "ring")),
    ],
)
def test_references_name_their_source(text: str, reference: object) -> None:
    assert parse_reference(text) == reference


@pytest.mark.parametrize(
    "text",
    [
        *("", "ring", "file:ring", "FILE:/a", "env:", "env:A B", "aws:x"),
        *("vault:secret#f", "vault:secret/a", "vault:secret/../a#f", "vault:secret//a#f", "vault:secret/a?b#f"),
    ],
)
def test_anything_else_is_refused_with_the_forms_that_there_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match="expected file:"):
        parse_reference(text)


def test_a_variable_among_our_settings_is_refused_since_it_reaches_no_other_process() -> None:
    with pytest.raises(ConfigurationError, match="another name"):
        parse_reference("env:WATCHFLOOR_RING")


def test_a_running_process_takes_up_a_new_key_when_the_file_changed(tmp_path: Path) -> None:
    path = ring_file(tmp_path)
    ensure_ring(path)
    keys = PayloadKeys(PrivateFile(path))
    assert keys.fresh() is None
    first = keys.refresh()
    assert keys.fresh() is first
    assert not keys.may_have_more()

    change_ring(path, PayloadKeyRing.rotated)
    assert keys.fresh() is None
    assert keys.refresh().older == (first.current,)


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"{")], ids=["gone", "damaged"])
def test_nothing_is_encrypted_any_more_with_a_key_that_is_gone_from_the_disk(tmp_path: Path, damage: object) -> None:
    path = ring_file(tmp_path)
    ensure_ring(path)
    keys = PayloadKeys(PrivateFile(path))
    keys.refresh()
    damage(path)  # type: ignore[operator]  # a function of the path
    for _ in range(2):
        assert keys.fresh() is None
        with pytest.raises(ConfigurationError):
            keys.refresh()


class Remote:
    """A store that cannot tell without a call whether the secret changed."""

    reference = "remote:ring"

    def __init__(self) -> None:
        self.ring = PayloadKeyRing(new_key())
        self.is_down = False
        self.asked = 0

    def mark(self) -> None:
        return None

    def read(self) -> bytes:
        self.asked += 1
        if self.is_down:
            raise UnavailableError("down")
        return format_ring(self.ring)


def test_a_store_that_is_down_stops_a_start_but_not_what_runs() -> None:
    now = [1_000.0]
    remote = Remote()
    remote.is_down = True
    keys = PayloadKeys(remote, clock=lambda: now[0])
    with pytest.raises(UnavailableError):
        keys.refresh()

    remote.is_down = False
    first = keys.refresh()
    remote.is_down = True
    now[0] += payload_in_use.FRESH_S
    assert keys.fresh() is None
    assert keys.refresh() is first
    # And it is left in peace for a while.
    assert keys.fresh() is first


def test_a_store_is_asked_again_after_a_minute_and_for_unknown_keys_once_a_second() -> None:
    now = [1_000.0]
    remote = Remote()
    keys = PayloadKeys(remote, clock=lambda: now[0])
    first = keys.refresh()
    remote.ring = replace(first.rotated())
    assert keys.fresh() is first
    assert not keys.may_have_more()
    assert keys.refresh() is first

    now[0] += payload_in_use.AGAIN_S
    assert keys.may_have_more()
    assert keys.fresh() is first
    assert keys.refresh() == remote.ring
    assert remote.asked == 2
