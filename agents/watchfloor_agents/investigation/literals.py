"""The concrete things that a sentence names: what it quotes, and addresses, names, paths, hashes and links in it.

Whatever of these a claim names must stand in the evidence it cites; the words around them are nobody's to check.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from watchfloor_core.canonical import JsonValue
from watchfloor_core.evidence import Evidence
from watchfloor_core.logs.fields import Field
from watchfloor_core.untrusted import quote_untrusted

MAX_TEXT: Final = 20_000
"""Characters of one claim; what is longer is no claim but a document."""
MAX_LITERALS: Final = 300

# Each alternative begins with a class of its own or a fixed text, so that no input makes the search go back and forth.
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_TOKEN: Final = re.compile(r"[^\s\"'`<>()\[\]{},;|]+")
_HASH: Final = re.compile(r"[0-9a-fA-F]{32,}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*\.[A-Za-z][A-Za-z0-9-]+")
_PATH: Final = re.compile(r"[A-Za-z]:[\\/].*|\\\\[^\\].*|/[^/]+/.*")
_LINK: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.*")
_FIELDS: Final = frozenset(name.value for name in Field) | {
    "related.hosts", "related.user", "related.ip", "related.hash", "rule.name", "rule.id", "event.severity",
}  # fmt: skip


def literals(text: str) -> tuple[str, ...]:
    """What the text names, in lower case, each once; quoted parts as `quote_untrusted` writes them, without quotes."""
    quoted = [match.group(1) for match in _QUOTED.finditer(text)]
    bare = [one for token in _TOKEN.findall(_QUOTED.sub(" ", text)) if (one := _literal(token.rstrip(".:!?")))]
    return tuple(dict.fromkeys(one.lower() for one in (*quoted, *bare) if one))


class Haystack:
    """All that some evidence says, to look literals up in."""

    def __init__(self, evidence: tuple[Evidence, ...]) -> None:
        parts: list[str] = []
        for one in evidence:
            parts.append(one.source)
            _texts(one.body, parts)
        # As a value is quoted in a claim, so it is looked for; line feeds keep values from running into each other.
        self._text = "\n".join(quote_untrusted(part, len(part))[1:-1].lower() for part in parts)

    def lacks(self, text: str) -> tuple[str, ...]:
        """The literals of a text that do not occur."""
        if len(text) > MAX_TEXT:
            return (f"a text of {len(text):,} characters",)
        found = literals(text)
        if len(found) > MAX_LITERALS:
            return (f"{len(found):,} names and values",)
        return tuple(one for one in found if one not in self._text)

    def holds(self, value: str) -> bool:
        return quote_untrusted(value, len(value))[1:-1].lower() in self._text


def _literal(token: str) -> str | None:
    if not token or token in _FIELDS:
        return None
    try:
        return str(ip_address(token))
    except ValueError:
        pass
    if any(form.fullmatch(token) for form in (_HASH, _LINK, _PATH, _NAME)):
        return quote_untrusted(token, len(token))[1:-1]
    return None


def _texts(value: JsonValue, parts: list[str]) -> None:
    if isinstance(value, Mapping):
        for name, one in value.items():
            parts.append(name)
            _texts(one, parts)
    elif isinstance(value, list):
        for one in value:
            _texts(one, parts)
    elif value is not None:
        parts.append(str(value))
