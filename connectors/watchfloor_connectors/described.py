"""A wrong value in words, for the reason of a `RecordError`."""

from __future__ import annotations

from watchfloor_core.ports import Json
from watchfloor_core.untrusted import quote_untrusted


def describe(value: Json) -> str:
    """What kind of value it is and, where it is short to say, the value: ``the text "abc"``, ``a list of 3``."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value!r}"
        case str():
            return f"the text {quote_untrusted(value, 80)}" if value else "an empty text"
        case list():
            return f"a list of {len(value)}"
        case dict():
            return f"an object of {len(value)}"
