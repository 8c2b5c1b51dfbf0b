"""The words of one simple command of a shell, and what may not stand in them beside a reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

DYNAMIC: Final = "\0"
"""Stands in a word for what only the shell knows, a reference among them."""

_ASSIGNMENT: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(\[[^\]]*\])?\+?=")
_RESERVED: Final = frozenset({
    "if", "then", "elif", "else", "fi", "while", "until", "do", "done", "{", "}", "!", "time", "coproc", "esac",
})  # fmt: skip
_CODE: Final = "reads text as code"
_EVALUATORS: Final = {
    **dict.fromkeys(
        ("eval", "source", ".", "trap", "let", "alias", "bind", "enable", "fc", "compgen", "complete"), _CODE
    ),
    **dict.fromkeys(("shift", "getopts", "function"), "moves the positional parameters, which are the references"),
    **dict.fromkeys(("declare", "typeset", "local"), "can make a variable that reads its value as an expression"),
    **dict.fromkeys(("at", "batch", "crontab", "su", "runuser", "script", "watch", "parallel", "ssh"), _CODE),
}
_BY_NAME: Final = frozenset({"unset", "read", "mapfile", "readarray", "wait", "export", "readonly"})
"""Builtins that take names of variables: Bash runs the commands in their subscripts."""
_SHELLS: Final = frozenset({
    "sh", "bash", "dash", "ash", "ksh", "mksh", "zsh", "fish", "csh", "tcsh", "busybox", "pwsh", "powershell",
})  # fmt: skip
_LANGUAGES: Final = re.compile(
    r"python[0-9.]*|perl|ruby|node|nodejs|deno|php|lua[0-9.]*|tclsh|osascript|[gmn]?awk|sed|jq|ed|ex|vim?|make|"
    r"psql|mysql|mariadb|sqlite3|duckdb|gdb|expect"
)
_CODE_FLAG: Final = re.compile(r"-[A-Za-z]*[cCeErfFx]|--(?:eval|expression|execute|command|file|source|print|exec)")
_VARIABLE_FLAGS: Final = frozenset({"-v", "--assign", "--arg"})
_WRAPPERS: Final = frozenset({
    "env", "sudo", "doas", "exec", "command", "builtin", "nohup", "nice", "ionice", "timeout", "setsid", "xargs",
    "chroot", "unshare", "nsenter", "stdbuf", "flock", "systemd-run", "chrt", "taskset", "prlimit", "setpriv",
    "strace", "ltrace",
})  # fmt: skip
_RUNNERS: Final = frozenset(
    {"docker", "podman", "nerdctl", "kubectl", "oc", "crictl", "lxc", "ip", "machinectl", "find"}
)
"""Beside the wrappers: they hand what follows a ``--`` to another command, which reads options of its own."""
_DURATION: Final = re.compile(r"[0-9.]+[smhd]?")
_IS_WHOLE: Final = re.compile(r"-[a-zA-Z]*[0d]|--null|--delimiter")
_FIND: Final = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_COMPARISONS: Final = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
_IS_SET: Final = frozenset({"-v", "-R"})
_STEERING: Final = re.compile(
    r"PATH|IFS|ENV|BASH\w*|SHELLOPTS|PROMPT_COMMAND|PS[0-4]|CDPATH|GLOBIGNORE|LD_\w+|PYTHON\w+|PERL\w+|RUBY\w+|NODE_\w+|"
    r"GIT_\w+|PAGER|EDITOR|VISUAL|HOME|OPT\w+|RANDOM|SECONDS|LINENO|HISTCMD|EPOCH\w+|DIRSTACK"
)
"""Variables that make a shell or its programs do something else, or that Bash reads as expressions."""
_COMMANDS: Final = "(?:command|exec|program|rsh|shell|hook|pager|editor|action)"
_TAKES_COMMAND: Final = re.compile(rf"-[\w-]*{_COMMANDS}[\w-]*=?|[\w.-]*{_COMMANDS}=", re.IGNORECASE)
"""Options, and settings in words, whose value is a command: ``--to-command``, ``core.sshCommand=``."""
_SET: Final = re.compile(r"[-+][a-zA-Z]+|pipefail|errexit|nounset|noglob|xtrace|noclobber")


@dataclass(slots=True)
class Word:
    text: str = ""
    """Without its quotes."""
    references: list[int] = field(default_factory=list)
    at_start: list[int] = field(default_factory=list)
    """Those before which the word has no text, or whose word may become several (brace expansion)."""
    is_target: bool = False
    """Of a redirection."""

    def add(self, text: str) -> None:
        self.text += text

    def refer(self, number: int) -> None:
        if not self.text.strip(DYNAMIC) or "{" in self.text:
            self.at_start.append(number)
        self.references.append(number)
        self.text += DYNAMIC

    @property
    def base(self) -> str:
        return self.text.rpartition("/")[2]

    @property
    def assigned(self) -> re.Match[str] | None:
        return _ASSIGNMENT.match(self.text)


class Command:
    """A simple command while it is read."""

    def __init__(self) -> None:
        self.word: Word | None = None
        self.words: list[Word] = []
        self._assignments: list[Word] = []
        self._next_is_target = False

    def open(self) -> Word:
        if self.word is None:
            self.word = Word(is_target=self._next_is_target)
            self._next_is_target = False
        return self.word

    def redirect(self) -> None:
        if self.word is not None and self.word.text.isdecimal():
            self.word = None  # the number of a descriptor
        self.end_word()
        self._next_is_target = True

    def end_word(self) -> None:
        word, self.word = self.word, None
        if word is None or word.is_target or (not self.words and word.text in _RESERVED):
            return
        if not self.words and word.assigned is not None:
            self._assignments.append(word)
        else:
            self.words.append(word)

    @property
    def name(self) -> str:
        return self.words[0].base if self.words else ""

    def read_as_options(self) -> Iterator[int]:
        """References whose value a program may take for an option."""
        if self.name in ("case", "[["):
            return
        is_strict = self.name in _WRAPPERS or self.name in _RUNNERS
        is_ended = False
        for word in self.words[1:]:
            if not is_ended:
                yield from word.at_start
            # Behind `sudo --` stands a command, whose options are not ended by that.
            is_ended = word.text == "--" or (is_ended and (bool(word.references) or not is_strict))

    def leaves_brackets_open(self, *, are_open: bool) -> bool:
        """Whether ``[[`` goes on behind it: ``&&`` and ``||`` stand inside of it too."""
        return (are_open or self.name == "[[") and not any(word.text == "]]" for word in self.words)

    def faults(self, *, is_in_brackets: bool) -> Iterator[str]:
        """What is wrong with it in a text with references: in this command, or in another whose variable it uses."""
        yield from self._set_faults()
        if not self.words:
            return
        name, rest = self.name, self.words[1:]
        if is_in_brackets or name == "[[":
            if any(word.text in _COMPARISONS | _IS_SET for word in self.words):
                yield "'[[' with a comparison of numbers reads a value as an expression; use '['"
        elif self.words[0].references:
            yield "a reference stands where the name of a command stands"
        elif DYNAMIC in self.words[0].text:
            yield "the name of a command is known only as it runs"
        if name in _EVALUATORS:
            yield f"{name!r} {_EVALUATORS[name]}"
        if name == "set" and not all(_SET.fullmatch(word.text) for word in rest):
            yield "'set' with other than options sets the positional parameters, which are the references"
        if (name == "printf" or name in ("test", "[")) and any(word.text in _IS_SET for word in rest):
            yield f"'{name} -v' takes the name of a variable, in which the shell runs commands"
        if name in _BY_NAME and any(DYNAMIC in word.text.partition("=")[0] for word in rest):
            yield f"{name!r} takes names of variables, in which the shell runs commands"
        if "xargs" in (word.base for word in self.words) and not any(_IS_WHOLE.match(word.text) for word in rest):
            yield "'xargs' splits a value into words; give it '-0' or '-d'"
        yield from self._wrapped_faults()
        yield from self._option_faults()
        for index, word in enumerate(self.words):
            if _LANGUAGES.fullmatch(word.base) and (index == 0 or name in _WRAPPERS):
                yield from _language_faults(word.base, self.words[index + 1 :])
                break

    def _set_faults(self) -> Iterator[str]:
        for word in (*self._assignments, *self.words):
            found = word.assigned
            if word.references and found is not None:
                if found.group(2):
                    yield "a reference is an element of an array, whose subscript the shell runs"
                if _STEERING.fullmatch(found.group(1)):
                    yield f"a reference sets {found.group(1)}, which steers the shell or its programs"

    def _wrapped_faults(self) -> Iterator[str]:
        """Of what runs a command that stands among its arguments."""
        is_wrapper = self.name in _WRAPPERS
        runs = is_wrapper or any(word.text in _FIND for word in self.words)
        for index, word in enumerate(self.words):
            following = self.words[index + 1].text if index + 1 < len(self.words) else ""
            if (index == 0 or runs) and word.base in _SHELLS and not following.startswith(("/", "./")):
                yield f"{word.base!r} {_CODE}; give it a file by its path, or write its commands here"
            if index > 0 and runs and word.base in _EVALUATORS and word.text != ".":
                yield f"{word.base!r} {_EVALUATORS[word.base]}"
            if word.text in _FIND and DYNAMIC in following:
                yield f"what stands after {word.text!r} is the name of a command"
        if is_wrapper:
            yield from self._wrapped_name()

    def _option_faults(self) -> Iterator[str]:
        for before, word in zip(self.words, self.words[1:], strict=False):
            own = _TAKES_COMMAND.fullmatch(word.text.partition(DYNAMIC)[0])
            if word.references and (own or (word.text == DYNAMIC and _TAKES_COMMAND.fullmatch(before.text))):
                yield "a reference is the value of an option that takes a command"

    def _wrapped_name(self) -> Iterator[str]:
        for word in self.words[1:]:
            if word.text.startswith(DYNAMIC) or (word.text == "-S" and self.name == "env"):
                yield f"what stands there is the name of the command that {self.name!r} runs"
            if not word.text.startswith("-") and word.assigned is None and not _DURATION.fullmatch(word.text):
                return


def _language_faults(name: str, words: list[Word]) -> Iterator[str]:
    """``name`` takes a program as an argument, so that a reference in the wrong place is a part of it."""
    operands, earlier, previous = 0, "", ""
    for word in words:
        is_variable = previous in _VARIABLE_FLAGS or earlier == "--arg"
        if DYNAMIC in word.text and not is_variable:
            if word.text != DYNAMIC:
                yield f"a part of a word for {name!r} may be read as code; make the reference a word by itself"
            elif _CODE_FLAG.fullmatch(previous) or operands == 0:
                yield f"what stands there is the program that {name!r} runs; write that, and the reference after it"
        operands += not word.text.startswith("-") and not is_variable
        earlier, previous = previous, word.text
