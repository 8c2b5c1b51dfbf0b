"""What variables hold while a playbook runs, each with who could have written it, and texts that are made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from pydantic import JsonValue

from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import canonical
from watchfloor_core.errors import RecordError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.endorsement import person_behind
from watchfloor_playbooks.condition import ConditionError
from watchfloor_playbooks.evaluation import value_of
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.vocabulary import REFERENCE

WRITTEN: Final = Integrity.HUMAN
"""The label of what stands in the playbook itself: people wrote, reviewed and loaded it."""


@dataclass(frozen=True, slots=True)
class Held:
    """One variable's value."""

    value: JsonValue
    """Text, an object, or None for "not known"."""
    integrity: Integrity = WRITTEN
    endorsed_by: str | None = None

    @classmethod
    def of(cls, labelled: Labelled) -> Held:
        return cls(text_of(labelled.value), labelled.integrity, labelled.endorsed_by)


Values: TypeAlias = Mapping[str, Held]


MAX_VALUE: Final = 65_536
"""Bytes of one value as JSON, since the state of a run is stored at every turn; characters of a text made of values."""


def checked(name: str, declared: Variable, held: Held) -> Held:
    """The value once it is of the declared type, or not known, and can be stored. Raises `RecordError`."""
    if held.value is None:
        return held
    if isinstance(held.value, str) and "\0" in held.value:
        raise RecordError(f"the value of {quote_untrusted(name, 60)} holds a NUL, which no database keeps")
    try:
        size = len(canonical(held.value))
    except ValueError as error:
        raise RecordError(f"the value of {quote_untrusted(name, 60)} cannot be stored: {error}") from error
    if size > MAX_VALUE:
        raise RecordError(
            f"the value of {quote_untrusted(name, 60)} has {size:,} bytes; at most {MAX_VALUE:,} are kept"
        )
    try:
        value_of(name, declared.model_copy(update={"value": held.value}))
    except ConditionError as error:
        raise RecordError(str(error)) from error
    return held


def filled(text: str, values: Values) -> Labelled:
    """The text with its variables in place; its label is the worst of its parts.

    What was vouched for stays so only where the text is that one value and nothing else. Raises `RecordError` where a
    variable is not known here, or has no value.
    """
    whole = REFERENCE.fullmatch(text)
    if whole is not None:
        held = held_in(values, whole.group(1))
        return Labelled(text_of(held.value), held.integrity, held.endorsed_by)
    if "\0" in text:
        raise RecordError(f"the text {quote_untrusted(text, 60)} holds a NUL, which no database keeps")
    used = {match.group(1): held_in(values, match.group(1)) for match in REFERENCE.finditer(text)}
    texts = {name: text_of(held.value) for name, held in used.items()}
    # A few values, each put in many times, would make more text than anybody can read or a store should take.
    size = len(text) + sum(len(texts[match.group(1)]) for match in REFERENCE.finditer(text))
    if size > MAX_VALUE:
        raise RecordError(f"with its values the text has {size:,} characters; at most {MAX_VALUE:,} are kept")
    return Labelled(REFERENCE.sub(lambda match: texts[match.group(1)], text), worst(used.values()))


def held_in(values: Values, name: str) -> Held:
    """The value. Raises `RecordError` where there is none that can be kept."""
    held = values.get(name)
    if held is None or held.value is None:
        raise RecordError(f"{quote_untrusted(name, 60)} has no value")
    if isinstance(held.value, str) and "\0" in held.value:
        # As a playbook declares it, where nothing has checked it.
        raise RecordError(f"the value of {quote_untrusted(name, 60)} holds a NUL, which no database keeps")
    return held


def named_by(texts: Iterable[str], values: Values) -> tuple[str, ...]:
    """The people whose values these texts refer to, sorted, also where an endorsement does not reach the whole text."""
    used = {match.group(1) for text in texts for match in REFERENCE.finditer(text)}
    people = (person_behind(values[name].endorsed_by) for name in used if name in values)
    return tuple(sorted({person for person in people if person is not None}))


def worst(used: Iterable[Held]) -> Integrity:
    """The label of what is made of these and of the playbook's own words: an endorsement does not reach so far."""
    return max([WRITTEN, *(one.integrity for one in used)])


def text_of(value: JsonValue) -> str:
    return value if isinstance(value, str) else canonical(value).decode()
