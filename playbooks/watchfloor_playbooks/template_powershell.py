"""References in the text of PowerShell 7: each becomes a variable of the environment, by name, or the text is refused.

``${env:WF_1}`` is the value and never code, inside and outside of double quotes (about_Quoting_Rules, about_Parsing).
"""

from __future__ import annotations

import re
from typing import Final

from watchfloor_playbooks.template_numbers import Numbers, TemplateError
from watchfloor_playbooks.vocabulary import REFERENCE

_EVALUATES: Final = re.compile(
    r"\b(?:invoke-expression|iex|invoke-command|icm|add-type|start-process|start-job|saps|sajb|newscriptblock|"
    r"invokescript|expandstring|(?:powershell|pwsh)(?:\.exe)?|cmd(?:\.exe)?|bash|sh|wsl(?:\.exe)?)\b|"
    r"\[\s*(?:system\.management\.automation\.)?(?:scriptblock|powershell)\s*\]|-e(?:nc|ncodedcommand|c)\b|--%",
    re.IGNORECASE,
)
_QUOTES: Final = re.compile("[\u2018-\u201f]")
"""PowerShell reads them as quotes, people do not see the difference."""
_CALLED: Final = re.compile(r"(?:^|[\s;|({=])[&.]\s*[\"']?$|::\s*[\"']?$|[\w)\]}]\.[\"']?$")
_STEERING: Final = re.compile(
    r"\$(?:\{?env:)?(?:path|psmodulepath|ofs|\w*preference)\}?\s*[+]?=\s*[\"']?$", re.IGNORECASE
)


class PowerShellText:
    """Reads one text once. `read` gives what it becomes; raises `TemplateError`."""

    def __init__(self, text: str, numbers: Numbers) -> None:
        self._text, self._numbers = text, numbers
        self._at = 0
        self._out: list[str] = []

    def read(self) -> str:
        if not REFERENCE.search(self._text):
            return self._text
        found = _EVALUATES.search(self._text)
        if found is not None:
            raise self._error(f"{found.group()!r} reads text as code or hands it to another shell", found.start())
        found = _QUOTES.search(self._text)
        if found is not None:
            raise self._error("typographic quotes are quotes to PowerShell; write plain ones", found.start())
        self._code(None)
        return "".join(self._out)

    def _code(self, end: str | None) -> None:
        while self._at < len(self._text):
            here = self._text[self._at]
            if here == end:
                self._take(1)
                return
            if self._text.startswith(("@'", '@"'), self._at):
                self._plain("a here-string", self._find("\n" + self._text[self._at + 1] + "@", 3))
            elif self._text.startswith("<#", self._at):
                self._plain("a comment", self._find("#>", 2))
            elif here == "#":
                line = self._text.find("\n", self._at)
                self._plain("a comment", len(self._text) if line < 0 else line)
            elif here == "'":
                self._plain("single quotes", self._find("'", 1, self._at + 1))
            elif here == '"':
                self._take(1)
                self._double()
            elif here == "(":
                self._take(1)
                self._code(")")
            else:
                self._shared()
        if end is not None:
            raise self._error(f"a {end!r} is missing")

    def _double(self) -> None:
        while self._at < len(self._text):
            if self._text[self._at] == '"':
                self._take(1)
                return
            if self._text.startswith("$(", self._at):
                self._take(2)
                self._code(")")
            else:
                self._shared()
        raise self._error("double quotes are not closed")

    def _shared(self) -> None:
        reference = REFERENCE.match(self._text, self._at)
        if reference is not None:
            self._refer(reference)
        elif self._text[self._at] == "`":
            if REFERENCE.match(self._text, self._at + 1):
                raise self._error("a reference stands after a backtick")
            self._take(2)
        elif self._text.startswith("${", self._at):
            self._plain("'${ … }'", self._find("}", 1))
        else:
            self._take(1)

    def _refer(self, reference: re.Match[str]) -> None:
        before = self._text[: reference.start()]
        if before.endswith(("$", "@")):
            raise self._error(f"a {before[-1]!r} stands before a reference")
        if _CALLED.search(before):
            raise self._error("a reference stands where the name of a command or a member stands")
        if _STEERING.search(before):
            raise self._error("a reference sets a variable that steers PowerShell or its programs")
        number = self._numbers.number(reference.group(1))
        if re.search(r"(?:^|[\s,(\"'])$", before) and " -- " not in before.rpartition("\n")[2]:
            self._numbers.no_option.add(number)
        self._out.append(f"${{env:WF_{number}}}")
        self._at = reference.end()

    def _plain(self, what: str, end: int) -> None:
        if REFERENCE.search(self._text, self._at, end):
            raise self._error(f"a reference stands in {what}, where no variable can take its place")
        self._take(end - self._at)

    def _find(self, mark: str, length: int, start: int | None = None) -> int:
        found = self._text.find(mark, self._at + 1 if start is None else start)
        if found < 0:
            raise self._error(f"{mark.strip()} is missing")
        return found + length

    def _take(self, length: int) -> None:
        self._out.append(self._text[self._at : self._at + length])
        self._at += length

    def _error(self, message: str, at: int | None = None) -> TemplateError:
        line = self._text.count("\n", 0, self._at if at is None else at) + 1
        return TemplateError(f"{message} (line {line})")
