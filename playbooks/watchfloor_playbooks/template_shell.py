"""References in the text of a POSIX or Bash shell: each becomes a quoted positional parameter, or the text is refused.

The text is the author's, the values are anybody's. So the reader follows the shell's quoting (POSIX.1-2024, XCU 2.2 to
2.10; the Bash manual, 3.1) only as far as to know where a reference stands, and refuses, in a text with references,
whatever could read a value as code: also by way of a variable that holds it. What it does not know is refused too.
"""

from __future__ import annotations

import re
from typing import Final

from watchfloor_playbooks.template_numbers import Numbers, TemplateError
from watchfloor_playbooks.template_shell_words import DYNAMIC, Command, Word
from watchfloor_playbooks.vocabulary import REFERENCE

_DELIMITER: Final = re.compile(r"""<<(-?)[ \t]*(?:'([^'\n]+)'|"([^"\n]+)"|\\?([A-Za-z0-9_.-]+))(?=[\s;|&()<>]|$)""")
_PLAIN_PARAMETER: Final = re.compile(
    r"\$\{#?[A-Za-z_][A-Za-z0-9_]*(?:\[(?:[0-9]+|[@*])\])?(?::?[-+=?][^${}'\"`\\]*|[#%/,^][^${}'\"`\\]*)?\}"
)
_NAME: Final = re.compile(r"\$[A-Za-z_][A-Za-z0-9_]*|\$[?!$-]")
_REDIRECTION: Final = re.compile(r"&>>|&>|<<<|<>|<&|>&|>>|>\||<|>")
_EXPANDED: Final = re.compile(r"`|\$[({\[0-9@*#]")


class ShellText:
    """Reads one text once. `read` gives what it becomes; raises `TemplateError`."""

    def __init__(self, text: str, numbers: Numbers) -> None:
        self._text, self._numbers = text, numbers
        self._at = 0
        self._out: list[str] = []
        self._heredocs: list[tuple[str, bool, bool]] = []
        """Their delimiters, whether tabs are stripped, and whether the shell expands them."""
        self._is_in_brackets = False

    def read(self) -> str:
        if not REFERENCE.search(self._text):
            return self._text
        self._code(None)
        if self._is_in_brackets:
            raise self._error("'[[' is not closed")
        if self._heredocs:
            raise self._error("a here-document does not begin, as no line follows")
        return "".join(self._out)

    # --- code: outside of quotes

    def _code(self, end: str | None) -> None:
        command = Command()
        while self._at < len(self._text):
            here = self._text[self._at]
            if here == end:
                self._close(command, end)
                self._take(1)
                return
            if here in " \t":
                command.end_word()
                self._take(1)
            elif here in "\n;|()&" and not self._text.startswith("&>", self._at):
                command = self._separator(command, end)
            elif here == "#" and command.word is None:
                self._skip_plain("a comment", self._line_end())
            else:
                self._in_word(command)
        if end is not None:
            raise self._error(f"a {end!r} is missing")
        self._close(command, end)

    def _separator(self, command: Command, end: str | None) -> Command:
        here = self._text[self._at]
        if self._text.startswith("((", self._at):
            raise self._error("arithmetic '((' reads a value as an expression, which can run commands")
        if here == "(" and (command.word is not None or command.words):
            raise self._error("a function, an array or a pattern in brackets is not followed here")
        self._close(command, end)
        is_joined = self._text.startswith(("&&", "||"), self._at)
        if self._is_in_brackets and not is_joined and here not in "()":
            raise self._error("'[[' is not closed")
        self._take(2 if is_joined else 1)
        if here == "(":
            self._code(")")
        elif here == "\n":
            self._skip_heredocs()
        return Command()

    def _close(self, command: Command, end: str | None) -> None:
        command.end_word()
        if end is not None and command.name == "case":
            raise self._error("'case' in brackets is not followed here")
        for fault in command.faults(is_in_brackets=self._is_in_brackets):
            raise self._error(fault)
        self._is_in_brackets = command.leaves_brackets_open(are_open=self._is_in_brackets)
        self._numbers.no_option.update(command.read_as_options())

    def _in_word(self, command: Command) -> None:
        here = self._text[self._at]
        redirection = _REDIRECTION.match(self._text, self._at)
        if here == "<" and self._text.startswith("<<", self._at) and not self._text.startswith("<<<", self._at):
            command.end_word()
            self._heredoc()
        elif self._text.startswith(("<(", ">("), self._at):
            command.open().add(DYNAMIC)
            self._take(2)
            self._code(")")
        elif redirection is not None:
            command.redirect()
            self._take(len(redirection.group()))
        elif here == "\\":
            self._escaped(command)
        elif here == "'":
            self._skip_plain("single quotes", self._closing("'"), command.open(), strip=1)
        elif here == '"':
            command.open()
            self._take(1)
            self._double(command.open())
        elif here == "$" and self._text.startswith('$"', self._at):
            raise self._error('$"…" depends on translations')
        elif here == "$" and self._text.startswith("$'", self._at):
            self._ansi(command.open())
        else:
            self._shared(command.open(), is_quoted=False)

    def _escaped(self, command: Command) -> None:
        if REFERENCE.match(self._text, self._at + 1):
            raise self._error("a reference stands after a backslash")
        if not self._text.startswith("\\\n", self._at):
            command.open().add(self._text[self._at + 1 : self._at + 2])
        self._take(2)

    def _double(self, word: Word) -> None:
        while self._at < len(self._text):
            here = self._text[self._at]
            if here == '"':
                self._take(1)
                return
            if here == "\\":
                if REFERENCE.match(self._text, self._at + 1):
                    raise self._error("a reference stands after a backslash")
                word.add(self._text[self._at + 1 : self._at + 2])
                self._take(2)
            else:
                self._shared(word, is_quoted=True)
        raise self._error("double quotes are not closed")

    def _shared(self, word: Word, *, is_quoted: bool) -> None:
        """What is the same inside and outside of double quotes."""
        reference = REFERENCE.match(self._text, self._at)
        here = self._text[self._at]
        if reference is not None:
            number = self._numbers.number(reference.group(1))
            word.refer(number)
            self._out.append(f"${{{number}}}" if is_quoted else f'"${{{number}}}"')
            self._at = reference.end()
        elif here == "`":
            raise self._error("backticks are not followed here; write $( … )")
        elif here == "$":
            word.add(DYNAMIC)
            self._dollar()
        else:
            word.add(here)
            self._take(1)

    # --- what begins with a dollar sign

    def _dollar(self) -> None:
        rest = self._text[self._at : self._at + 3]
        if rest.startswith(("$((", "$[")):
            raise self._error("arithmetic reads a value as an expression, which can run commands; use expr or awk -v")
        if REFERENCE.match(self._text, self._at + 1):
            raise self._error("a '$' stands before a reference")
        if re.match(r"\$[0-9@*#]", rest):
            raise self._error("the positional parameters are those of the references; use none of your own")
        if rest.startswith("$("):
            self._take(2)
            self._code(")")
        elif rest.startswith("${"):
            plain = _PLAIN_PARAMETER.match(self._text, self._at)
            if plain is None:
                raise self._error("'${ … }' is not followed here beyond plain names, defaults and patterns")
            self._skip_plain("'${ … }'", plain.end())
        else:
            name = _NAME.match(self._text, self._at)
            self._take(len(name.group()) if name else 1)

    # --- what holds no references

    def _ansi(self, word: Word) -> None:
        end = self._at + 2
        while end < len(self._text) and self._text[end] != "'":
            end += 2 if self._text[end] == "\\" else 1
        if end >= len(self._text):
            raise self._error("$'…' is not closed")
        word.add(DYNAMIC)
        self._skip_plain("$'…'", end + 1)

    def _heredoc(self) -> None:
        found = _DELIMITER.match(self._text, self._at)
        if found is None or REFERENCE.search(found.group()) or "$" in found.group():
            raise self._error("the word after '<<' is no plain delimiter")
        strips, *quoted, plain = found.groups()
        self._heredocs.append((next(filter(None, (*quoted, plain))), bool(strips), plain is not None))
        self._take(len(found.group()))

    def _skip_heredocs(self) -> None:
        waiting, self._heredocs = self._heredocs, []
        for delimiter, strips, is_expanded in waiting:
            line = None
            while line != delimiter:
                if self._at >= len(self._text):
                    raise self._error(f"the here-document does not end with {delimiter!r}")
                end = self._line_end()
                line = self._text[self._at : end]
                line = line.lstrip("\t") if strips else line
                if is_expanded and _EXPANDED.search(line):
                    raise self._error("a here-document with more than plain variables; quote its delimiter")
                self._skip_plain("a here-document", min(end + 1, len(self._text)))

    def _skip_plain(self, what: str, end: int, word: Word | None = None, strip: int = 0) -> None:
        part = self._text[self._at : end]
        if REFERENCE.search(part):
            raise self._error(f"a reference stands in {what}, where no parameter can take its place")
        if word is not None:
            word.add(part[strip : len(part) - strip])
        self._take(len(part))

    def _closing(self, mark: str) -> int:
        end = self._at + 1
        while end < len(self._text) and self._text[end] != mark:
            end += 1
        if end >= len(self._text):
            raise self._error(f"{mark} is not closed")
        return end + 1

    def _line_end(self) -> int:
        found = self._text.find("\n", self._at)
        return len(self._text) if found < 0 else found

    def _take(self, length: int) -> None:
        self._out.append(self._text[self._at : self._at + length])
        self._at += length

    def _error(self, message: str) -> TemplateError:
        return TemplateError(f"{message} (line {self._text.count(chr(10), 0, self._at) + 1})")
