"""A message to people, and what a medium is to the tool that tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """What people are to read."""

    key: str
    tenant: str
    incident_id: str
    text: str
    """As it was given; foreign."""
    headline: str
    """Ours alone."""
    lines: tuple[str, ...]
    """Defanged."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the medium shows of a message."""

    is_there: bool
    text: str


class Medium(Protocol):
    where: str
    """For people, and part of the channel's state; no secret."""

    def tell(self, message: Message) -> str:
        """Gives what acknowledged it. Raises `NotDoneError` where it was refused, `UnavailableError` where it may have
        been sent."""
        ...

    def look(self, key: str, evidence: str) -> Seen | None:
        """None where the medium shows nothing. Raises `UnavailableError`."""
        ...
