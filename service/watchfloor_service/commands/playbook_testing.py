"""``watchfloor playbook test``: run a playbook's tests, and show where it comes to something else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.running.expectation import differences
from watchfloor_playbooks.running.scenario import play
from watchfloor_playbooks.running.scenario_file import read_scenarios
from watchfloor_service.commands.outcome import ExitCode, answering, print_json
from watchfloor_service.commands.place import JsonOption
from watchfloor_service.commands.playbook_files import read_playbook

TestsArgument = Annotated[
    list[Path], typer.Argument(metavar="FILE…", help="Files of tests, YAML; each names its playbook.", dir_okay=False)
]


@dataclass(frozen=True, slots=True)
class Tested:
    """One test."""

    file: str
    line: int
    name: str
    differences: tuple[str, ...]

    @property
    def is_passed(self) -> bool:
        return not self.differences

    def lines(self) -> Iterator[str]:
        place = f"{self.file}:{self.line}"
        yield f"{'passed' if self.is_passed else 'FAILED'}  {place}  {self.name}"
        for one in self.differences:
            yield f"        {one}"

    def as_json(self) -> dict[str, object]:
        differing = list(self.differences)
        return {"file": self.file, "line": self.line, "name": self.name, "ok": self.is_passed, "differences": differing}


def run_tests(files: TestsArgument, as_json: JsonOption = False) -> None:
    """Run playbooks by answers from files, with nothing outside: what they propose and ask, and how they end.

    Exits with 1 where one comes to something else than its test expects.
    """
    with answering():
        found = [one for file in files for one in run_file(file)]
        if as_json:
            print_json([one.as_json() for one in found])
        else:
            for one in found:
                for line in one.lines():
                    typer.echo(escape_untrusted(line))
            failed = sum(not one.is_passed for one in found)
            typer.echo(f"{len(found) - failed} passed, {failed} failed.")
        if not all(one.is_passed for one in found):
            raise typer.Exit(ExitCode.NO)


def run_file(file: Path) -> list[Tested]:
    """Raises `ConfigurationError` where the file, or the playbook that it names, is wrong."""
    try:
        text = read_playbook(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError([Problem("the text is not UTF-8; save it as such", str(file))]) from error
    scenarios = read_scenarios(text, str(file))
    named = file.parent / scenarios.playbook
    playbook = load(read_playbook(named), str(named))
    return [
        Tested(
            str(file), one.line, one.name, tuple(differences(one.expectation, play(playbook, one.scenario), playbook))
        )
        for one in scenarios.tests(playbook)
    ]
