"""What ``watchfloor playbook`` shows of files, signatures and changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import typer

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_playbooks.difference import Change, Difference
from watchfloor_playbooks.loading import examine
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.signature import Verification, digest_of
from watchfloor_service.commands.playbook_files import read_playbook


@dataclass(frozen=True, slots=True)
class Checked:
    """One file of `validate`."""

    file: Path
    is_right: bool
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    playbook: Playbook | None

    def lines(self) -> Iterator[str]:
        for problem in self.errors:
            yield f"wrong    {problem}"
        for problem in self.warnings:
            yield f"unusual  {problem}"
        if self.playbook is None:
            yield f"{self.file} is refused."
        else:
            steps = len(self.playbook.steps)
            verdict = "is right" if self.is_right else "is refused by --strict"
            yield f"{self.file} {verdict}: {self.playbook.head.name!r:.80}, {steps} steps."
            yield f"digest {digest_of(self.playbook.content)}"

    def as_json(self) -> dict[str, object]:
        return {
            "file": str(self.file),
            "ok": self.is_right,
            "name": None if self.playbook is None else self.playbook.head.name,
            "digest": None if self.playbook is None else digest_of(self.playbook.content),
            "errors": [_problem(one) for one in self.errors],
            "warnings": [_problem(one) for one in self.warnings],
        }


def check_file(file: Path, is_strict: bool) -> Checked:
    """All that is to be said of one file, one that cannot be read too."""
    try:
        found = examine(read_playbook(file), str(file))
    except ConfigurationError as error:
        return Checked(file, False, error.problems, (), None)
    report = found.report
    is_right = report.is_right and not (is_strict and report.warnings)
    return Checked(file, is_right, report.errors, report.warnings, found.playbook)


def _problem(problem: Problem) -> dict[str, object]:
    return {"file": problem.file, "line": problem.line, "path": problem.path, "message": problem.message}


def print_verified(found: Verification) -> None:
    """Who signed, which signatures do not count and why, and what was signed."""
    for one in found.signed:
        said = f"{one.key} has signed {one.playbook_id} of {one.version} ({one.algorithm}, {one.created})"
        typer.echo(escape_untrusted(f"{said}, as {one.signee!r:.80}."))
    for said in found.others:
        typer.echo(escape_untrusted(f"Does not count: {said}"))
    typer.echo(f"digest {found.signed[0].digest}")


def difference_line(one: Difference) -> str:
    """As a line of a diff: what the sign stands before was added, removed or changed."""
    place = f"{one.part} {one.path}".rstrip()
    match one.change:
        case Change.ADDED:
            return f"+ {place}" + ("" if one.after is None else f" = {one.after}")
        case Change.REMOVED:
            return f"- {place}" + ("" if one.before is None else f" = {one.before}")
        case Change.CHANGED:
            return f"~ {place}: {one.before} → {one.after}"
