"""A person's signing key as a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from watchfloor_core.errors import ConfigurationError, NotFoundError, RefusedError
from watchfloor_core.keys.approver import (
    Stretching,
    key_folder,
    key_path,
    load_approver_key,
    make_approver_key,
    only_key,
)

PHRASE = "correct horse battery"
QUICK = Stretching(bytes(16), memory=64, rounds=1, lanes=1)


def never() -> str:
    raise AssertionError("the passphrase was asked for")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "config" / "keys" / "default.pem"


def test_a_key_comes_back_with_its_passphrase_and_with_no_other(path: Path) -> None:
    made = make_approver_key(path, PHRASE)
    assert load_approver_key(path, lambda: PHRASE).key_id == made.key_id
    with pytest.raises(RefusedError, match="passphrase"):
        load_approver_key(path, lambda: "correct horse staple")


def test_the_passphrase_itself_opens_nothing(path: Path) -> None:
    make_approver_key(path, PHRASE, QUICK)
    pem = path.read_bytes().partition(b"\n")[2]
    with pytest.raises(ValueError, match="password"):
        load_pem_private_key(pem, PHRASE.encode())
    assert PHRASE.encode() not in path.read_bytes()


def test_a_key_without_passphrase_asks_for_none(path: Path) -> None:
    made = make_approver_key(path, None)
    assert load_approver_key(path, never).key_id == made.key_id


def test_the_file_is_private_and_its_folder_too(path: Path) -> None:
    make_approver_key(path, None)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_approver_key(path, never)


def test_a_key_is_never_overwritten(path: Path) -> None:
    make_approver_key(path, None)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="already"):
        make_approver_key(path, None)
    assert path.read_bytes() == before


def test_a_short_passphrase_makes_no_key(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="at least 12"):
        make_approver_key(path, "short")
    assert not path.exists()


@pytest.mark.parametrize(
    "line",
    [
        b"Watchfloor-Passphrase: argon2id v=19 m=9999999 t=1 p=1 salt=%b\n" % (b"0" * 32),
        b"Watchfloor-Passphrase: argon2id v=18 m=64 t=1 p=1 salt=%b\n" % (b"0" * 32),
        b"Watchfloor-Passphrase: argon2id v=19 m=64 t=1 p=0 salt=%b\n" % (b"0" * 32),
        b"Watchfloor-Passphrase: argon2id v=19 m=64 t=0 p=1 salt=%b\n" % (b"0" * 32),
    ],
)
def test_a_file_that_asks_for_absurd_work_is_refused(path: Path, line: bytes) -> None:
    make_approver_key(path, PHRASE, QUICK)
    path.write_bytes(line + path.read_bytes().partition(b"\n")[2])
    with pytest.raises(ConfigurationError, match="argon2id"):
        load_approver_key(path, never)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"\xff\x00"])
def test_what_is_no_key_is_said_to_be_none(path: Path, content: bytes) -> None:
    make_approver_key(path, None)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        load_approver_key(path, never)


def test_of_several_keys_that_of_the_usual_name_is_taken_and_else_one_must_be_named(path: Path) -> None:
    folder = path.parent
    with pytest.raises(NotFoundError, match="keys new"):
        only_key(folder)
    make_approver_key(key_path("second", folder), None)
    assert only_key(folder) == key_path("second", folder)
    make_approver_key(key_path("third", folder), None)
    with pytest.raises(ConfigurationError, match="second, third"):
        only_key(folder)
    make_approver_key(path, None)
    assert only_key(folder) == path


@pytest.mark.parametrize("name", ["../evil", "", "a/b", ".hidden", "x" * 65])
def test_a_name_that_leads_elsewhere_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        key_path(name, tmp_path)


def test_keys_are_kept_in_the_persons_configuration(tmp_path: Path) -> None:
    assert key_folder(tmp_path) == tmp_path / ".config" / "watchfloor" / "keys"
