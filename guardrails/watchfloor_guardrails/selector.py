"""How a policy names tenants and alert families: exactly, or by a prefix where it says so."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class NameMatch:
    """``acme`` matches that name only; ``{prefix: run-}`` is the one pattern there is."""

    text: str
    is_prefix: bool = False

    def matches(self, name: str) -> bool:
        return name.startswith(self.text) if self.is_prefix else name == self.text

    @property
    def content(self) -> JsonValue:
        """As it is written in the policy file."""
        return {"prefix": self.text} if self.is_prefix else self.text

    def __str__(self) -> str:
        return f"{self.text}*" if self.is_prefix else self.text
