"""JSON that remembers its lines, read more strictly than the language's own reader does.

A playbook is somebody else's text that leads to actions: two readers must see the same thing in it. So a name that
stands twice, NaN, a number beyond the exact integers of a double and text that is no Unicode are mistakes here.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final, NoReturn

from pydantic import JsonValue

from watchfloor_core.canonical import MAX_INTEGER
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.yaml_source import Document, Path, format_path

MAX_DEPTH: Final = 32

_SPACE: Final = re.compile(r"[ \t\n\r]*")
_STRING: Final = re.compile(r'"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}


def read_json(text: str, file: str) -> Document:
    """Parse a file's text; raises `ConfigurationError` where it is no JSON. A repeated name is a problem beside it."""
    reader = _Reader(text, file)
    reader.skip_space()
    content = reader.value((), MAX_DEPTH)
    reader.skip_space()
    if reader.at != len(text):
        reader.fail("something follows after the end of the JSON value")
    return Document(file, content, reader.lines, tuple(reader.problems))


@dataclass(slots=True)
class _Reader:
    """One pass over the text."""

    text: str
    file: str
    at: int = 0
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    ends: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.ends = [match.start() for match in re.finditer("\n", self.text)]

    @property
    def line(self) -> int:
        """1-based."""
        return bisect_right(self.ends, self.at - 1) + 1

    def fail(self, message: str) -> NoReturn:
        raise ConfigurationError([Problem(f"not valid JSON: {message}", self.file, self.line)])

    def skip_space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        self.at = self.at if found is None else found.end()

    def value(self, path: Path, depth: int) -> JsonValue:
        self.lines.setdefault(path, self.line)
        if depth == 0:
            self.fail(f"nested deeper than {MAX_DEPTH}")
        match self.text[self.at : self.at + 1]:
            case "{":
                return self._object(path, depth)
            case "[":
                return self._list(path, depth)
            case '"':
                return self._string()
            case "":
                return self.fail("it ends where a value is expected")
            case _:
                return self._word_or_number()

    def _object(self, path: Path, depth: int) -> dict[str, JsonValue]:
        content: dict[str, JsonValue] = {}
        if self._opens_empty("}"):
            return content
        while True:
            line = self.line
            if self.text[self.at : self.at + 1] != '"':
                self.fail("a name in double quotes is expected")
            key = self._string()
            inner = (*path, key)
            self._expect(":", "a colon after the name")
            if key in content:
                shown = quote_untrusted(key, 60)
                message = f"{shown} stands twice, first in line {self.lines[inner]}: which of them counts is ambiguous"
                self.problems.append(Problem(message, self.file, line, format_path(path) or None))
                self.value((*inner, "again"), depth - 1)
            else:
                self.lines[inner] = line
                content[key] = self.value(inner, depth - 1)
            if self._ends("}"):
                return content

    def _list(self, path: Path, depth: int) -> list[JsonValue]:
        content: list[JsonValue] = []
        if self._opens_empty("]"):
            return content
        while True:
            content.append(self.value((*path, len(content)), depth - 1))
            if self._ends("]"):
                return content

    def _opens_empty(self, end: str) -> bool:
        self.at += 1
        self.skip_space()
        if self.text[self.at : self.at + 1] != end:
            return False
        self.at += 1
        return True

    def _ends(self, end: str) -> bool:
        """True behind the closing bracket, False behind a comma."""
        self.skip_space()
        found = self.text[self.at : self.at + 1]
        if found not in (",", end) or not found:
            self.fail(f"a comma or {end!r} is expected")
        self.at += 1
        if found == ",":
            self.skip_space()
        return found == end

    def _expect(self, character: str, what: str) -> None:
        self.skip_space()
        if self.text[self.at : self.at + 1] != character:
            self.fail(f"{what} is expected")
        self.at += 1
        self.skip_space()

    def _string(self) -> str:
        found = _STRING.match(self.text, self.at)
        if found is None:
            self.fail("a text that does not end in its line, or holds a control character")
        try:
            text = str(json.loads(found.group()))
            text.encode()
        except ValueError:
            self.fail("a text with an escape that is none, or with half of a character")
        self.at = found.end()
        return text

    def _word_or_number(self) -> JsonValue:
        for word, value in _WORDS.items():
            if self.text.startswith(word, self.at):
                self.at += len(word)
                return value
        found = _NUMBER.match(self.text, self.at)
        if found is None:
            self.fail(f"{quote_untrusted(self.text[self.at : self.at + 1])} begins no value")
        if found.group(1) is None and found.group(2) is None:
            # The length first: Python refuses to read integers of thousands of digits.
            number: int | float = int(found.group()) if len(found.group()) <= 17 else MAX_INTEGER + 1
        else:
            number = float(found.group())
        if abs(number) > MAX_INTEGER:
            self.fail("a number beyond 2^53-1, which JSON readers round differently; write it as a text")
        self.at = found.end()
        return number
