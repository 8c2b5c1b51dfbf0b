"""What is wrong with a playbook, and what is only unusual."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.yaml_source import Document, Path

MOST_SHOWN: Final = 100
"""Of each kind. A playbook of somebody else's making must not fill the screen."""
MOST_HELD: Final = 2_000
"""Of both kinds together: beyond, looking on costs time and tells nobody anything."""


class EnoughFoundError(Exception):
    """There is so much to find that the rest is not looked at."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found in one file, in the order of its lines."""

    errors: tuple[Problem, ...]
    """Each is a reason to refuse the playbook."""
    warnings: tuple[Problem, ...]
    """Where it leaves the standard, and what it says is clear all the same."""

    @property
    def is_right(self) -> bool:
        return not self.errors

    def raise_errors(self, *, is_strict: bool = False) -> None:
        """Raises `ConfigurationError` with all of them; where ``is_strict``, a warning is an error as well."""
        found = (*self.errors, *self.warnings) if is_strict else self.errors
        if found:
            raise ConfigurationError(shown(sorted(found, key=_place)))


@dataclass(slots=True)
class Findings:
    """Collects while a playbook is looked at; what was said once of a place is not said again."""

    document: Document
    _errors: dict[tuple[Path, str], Problem] = field(default_factory=dict)
    _warnings: dict[tuple[Path, str], Problem] = field(default_factory=dict)

    def error(self, path: Path, message: str) -> None:
        """Raises `EnoughFoundError` where `MOST_HELD` were found before, as `warn` does."""
        self._add(self._errors, path, message)

    def warn(self, path: Path, message: str) -> None:
        self._add(self._warnings, path, message)

    def give_up(self) -> None:
        """Say that the rest was not looked at: what was not looked at is not right."""
        message = f"there are more than {MOST_HELD:,} findings; the rest of the playbook was not looked at"
        self._errors.setdefault(((), message), self._problem((), message))

    def has_errors(self) -> bool:
        return bool(self._errors)

    def report(self) -> Report:
        errors = (*self.document.problems, *self._errors.values())
        return Report(
            tuple(shown(sorted(errors, key=_place))), tuple(shown(sorted(self._warnings.values(), key=_place)))
        )

    def _add(self, to: dict[tuple[Path, str], Problem], path: Path, message: str) -> None:
        if len(self._errors) + len(self._warnings) >= MOST_HELD:
            raise EnoughFoundError
        to.setdefault((path, message), self._problem(path, message))

    def _problem(self, path: Path, message: str) -> Problem:
        found = self.document.problem(path, message)
        return Problem(found.message, found.file, found.line, None if found.path is None else _visible(found.path))


def shown(problems: Iterable[Problem]) -> list[Problem]:
    """At most `MOST_SHOWN`, and how many more there are."""
    every = list(problems)
    if len(every) <= MOST_SHOWN:
        return every
    left = len(every) - MOST_SHOWN
    return [*every[:MOST_SHOWN], Problem(f"and {left:,} more; mend these first", every[0].file)]


def _place(problem: Problem) -> int:
    return problem.line or 0


def _visible(path: str) -> str:
    return escape_untrusted(path[:200]) + ("…" if len(path) > 200 else "")
