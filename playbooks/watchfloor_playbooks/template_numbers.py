"""What every template has in common: references are numbered in the order in which they first appear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from watchfloor_core.errors import WatchfloorError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import MAX_TEXT

MAX_VALUES: Final = 64

Value: TypeAlias = "str | int | float | bool"


class TemplateError(WatchfloorError):
    """A command's text, or a value that is to stand in it, cannot be run safely; the message says what to change."""


class Numbers:
    """Names of variables by the number of their placeholder, from 1. One for all texts of one command."""

    def __init__(self) -> None:
        self.names: list[str] = []
        """``__name__``, in order."""
        self.no_option: set[int] = set()
        """Numbers of those that stand where a program would read a value that begins with ``-`` as an option."""

    def number(self, name: str) -> int:
        if name not in self.names:
            if len(self.names) == MAX_VALUES:
                raise TemplateError(f"the command refers to more than {MAX_VALUES} variables")
            self.names.append(name)
        return self.names.index(name) + 1

    def values(self, given: Mapping[str, Value]) -> tuple[str, ...]:
        """The values in order, as texts. Raises `TemplateError` where one is missing or cannot be handed over."""
        return tuple(self._text(number, name, given) for number, name in enumerate(self.names, 1))

    def _text(self, number: int, name: str, given: Mapping[str, Value]) -> str:
        if name not in given:
            raise TemplateError(f"the variable {name} has no value")
        text = text_of(given[name])
        fault = fault_of(text)
        if fault is None and number in self.no_option and text.startswith("-"):
            fault = "begins with '-' and would be read as an option; write '--' before the reference"
        if fault is not None:
            raise TemplateError(f"the value of {name}, {quote_untrusted(text, 60)}, {fault}")
        return text


def text_of(value: Value) -> str:
    """As JSON spells it where it is no text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def fault_of(text: str) -> str | None:
    """Why no action can carry this text; None where it can."""
    if not text:
        return "is empty"
    if len(text) > MAX_TEXT:
        return f"is longer than {MAX_TEXT:,} characters"
    if "\0" in text:
        return "holds a NUL"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "is no valid text"
    return None
