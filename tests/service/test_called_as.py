"""How hints name the program."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from watchfloor_service.invocation import called_as


def called(monkeypatch: pytest.MonkeyPatch, program: Path | str, path: Path) -> str:
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    monkeypatch.setenv("PATH", str(path))
    return called_as()


def test_a_program_that_the_shell_does_not_find_is_named_by_its_path(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "my venv" / "watchfloor"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, program, tmp_path) == "'./my venv/watchfloor'"
    monkeypatch.chdir(program.parent)
    assert called(monkeypatch, "./watchfloor", tmp_path) == "./watchfloor"
    monkeypatch.chdir("/")
    assert called(monkeypatch, program, tmp_path) == f"'.{program}'"


def test_one_that_it_finds_is_named_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "watchfloor"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert called(monkeypatch, program, tmp_path) == "watchfloor"
    assert called(monkeypatch, "/somewhere/pytest", Path("/nowhere")) == "watchfloor"
