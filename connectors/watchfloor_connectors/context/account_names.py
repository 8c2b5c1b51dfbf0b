"""Which accounts of a directory a name in an alert can mean. An attacker may have written it."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final, TypeAlias

from watchfloor_connectors.context.accounts import Layout

MAX_NAME: Final = 256
"""Characters; longer ones name no account."""

Condition: TypeAlias = tuple[str, str]
"""An attribute and the value that it is to have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Naming:
    """Which accounts of a directory a name in an alert can mean."""

    layout: Layout
    attribute: str
    """That holds the name by which people log on."""
    domain: str
    """In DNS, as the base says it: ``corp.example`` of ``dc=corp,dc=example``; empty where it does not."""
    domains: tuple[str, ...] = ()
    """Before a backslash or after an ``@``, in lower case; none: any is taken for the directory's own."""

    def conditions(self, name: str) -> tuple[Condition, ...]:
        """Any of which makes an entry the one that is meant; none where the name is of no account of this directory."""
        prefix, _, name = name.strip().rpartition("\\")
        if not name or len(name) > MAX_NAME or not _is_text(name):
            return ()
        if prefix and self.domains and not self._is_ours(prefix):
            return ()
        found: list[Condition] = [(self.attribute, name)]
        local, _, realm = name.rpartition("@")
        if local and self.layout is Layout.AD:
            found.append(("userPrincipalName", name))
        # Everybody has an ann@: only in our own domain is that our ann.
        if local and self._is_ours(realm):
            found.append((self.attribute, local))
        return tuple(found)

    def _is_ours(self, domain: str) -> bool:
        return domain.casefold() in {self.domain.casefold(), *self.domains} - {""}


def domain_of(base_dn: str) -> str:
    """In DNS: ``corp.example`` of ``ou=people,dc=corp,dc=example``; empty where the base does not say it."""
    parts = [one.strip().partition("=") for one in base_dn.split(",")]
    return ".".join(value.strip() for name, _, value in parts if name.strip().lower() == "dc").casefold()


def folded(text: str) -> str:
    """Equal for texts that differ in case, or in how an accent is encoded."""
    return unicodedata.normalize("NFC", text).casefold()


def _is_text(name: str) -> bool:
    """It can be sent; half of a surrogate pair cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
