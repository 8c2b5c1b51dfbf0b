"""Reads a file that names sources, of logs or of context: every mistake at once, each with its line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.yaml_source import read_yaml

FileModel = TypeVar("FileModel", bound=BaseModel)


def read_source_file(
    path: Path,
    model: type[FileModel],
    names: Callable[[FileModel], Sequence[str]],
    what: str,
    *,
    is_required: bool,
    reserved: Collection[str] = (),
) -> FileModel | None:
    """The file as its model; None where there is no such file and none is required.

    ``names`` of its sources, and ``what`` they are, for messages; ``reserved``: names that are taken. Raises
    `ConfigurationError`.
    """
    file = str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not is_required:
            return None
        raise ConfigurationError([Problem(f"there is no such file of {what}", file)]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([Problem(f"cannot be read ({error}); make it a readable UTF-8 file", file)]) from error
    document = read_yaml(text, file)
    problems = list(document.problems)
    try:
        found = model.model_validate(document.content)
    except ValidationError as error:
        for mistake in error.errors(include_url=False, include_input=False):
            message = _in_words(mistake)
            problems.append(document.problem(tuple(mistake["loc"]), message))
        raise ConfigurationError(problems) from None
    problems += _faults_of_names(names(found), reserved, file)
    if problems:
        raise ConfigurationError(problems)
    return found


def _in_words(mistake: ErrorDetails) -> str:
    if mistake["type"] == "extra_forbidden":
        return "unknown key"
    if mistake["type"] == "union_tag_invalid":
        given = mistake["ctx"]
        return f"kind is {given['tag']!r}; known are: {given['expected_tags']}"
    if mistake["type"] == "union_tag_not_found":
        return "kind is missing; it says what the source is"
    return mistake["msg"].removeprefix("Value error, ")


def _faults_of_names(names: Sequence[str], reserved: Collection[str], file: str) -> list[Problem]:
    twice = sorted({name for name in names if names.count(name) > 1})
    return [
        *(
            Problem(f"two sources are named {name!r}; evidence names its source, so give each its own", file)
            for name in twice
        ),
        *(
            Problem(f"{name!r} is the name of a source that is always there; take another", file)
            for name in sorted(set(reserved).intersection(names))
        ),
    ]
