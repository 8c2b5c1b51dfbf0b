"""Copies of checkpoints in a folder: added, never changed, and loud where they cannot be made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from watchfloor_core.errors import ConfigurationError, LedgerError, UnavailableError
from watchfloor_core.ledger import Witness


def test_a_copy_is_the_envelope_under_its_tenant_and_number(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    witness.keep("acme", 12, '{"payload":"x"}')
    assert (tmp_path / "acme-12.json").read_text() == '{"payload":"x"}\n'
    assert (tmp_path / "acme-12.json").stat().st_mode & 0o222 == 0
    assert witness.read("acme", 12) == '{"payload":"x"}'
    assert witness.read("acme", 13) is None
    witness.keep("acme", 12, '{"payload":"x"}')


def test_a_copy_is_never_changed(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    witness.keep("acme", 1, "one")
    with pytest.raises(LedgerError, match=r"another checkpoint as .*acme-1\.json"):
        witness.keep("acme", 1, "two")
    assert witness.read("acme", 1) == "one"


def test_a_copy_that_was_not_finished_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "acme-1.json").write_text("on")
    with pytest.raises(UnavailableError, match=r"is not whole; where it stays so, remove it"):
        Witness(tmp_path).keep("acme", 1, "one")


def test_the_copies_of_one_tenant_are_not_those_of_another(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    for name in ("acme-1.json", "acme-22.json", "acme-2-3.json", "acme.x-4.json", "acme-05.json", "acme-6.txt"):
        (tmp_path / name).write_text("x")
    assert witness.numbers("acme") == {1, 22}
    assert witness.numbers("acme-2") == {3}


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    witness = Witness(tmp_path / "missing")
    with pytest.raises(ConfigurationError, match=r"cannot be read \(No such file or directory\)"):
        witness.numbers("acme")
    with pytest.raises(UnavailableError, match=r"cannot be made \(No such file or directory\)"):
        witness.keep("acme", 1, "one")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here, so no full disk to write to")
def test_a_full_disk_is_said_so_and_the_next_try_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def open_full(path: Path, flags: int, mode: int) -> int:
        os.close(real(path, flags, mode))
        return real("/dev/full", os.O_WRONLY)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", open_full)
        with pytest.raises(UnavailableError, match=r"was not written \(No space left on device\)"):
            Witness(tmp_path).keep("acme", 1, "one")
    Witness(tmp_path).keep("acme", 1, "one")
