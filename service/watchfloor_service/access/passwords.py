"""Passwords: which are taken, and their argon2id hashes.

Parameters are the second recommended option of RFC 9106, section 4: 3 passes over 64 MiB in 4 lanes, with a salt of
128 and a tag of 256 bits. A hash made with other parameters is made anew when its password next proves right.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from watchfloor_core.errors import UnavailableError

MIN_LENGTH: Final = 12
"""Characters, as NIST SP 800-63B asks for at least where a password stands alone; no rules of composition."""
MAX_LENGTH: Final = 256
PASSES: Final = 3
MEMORY_KIB: Final = 64 * 1024
LANES: Final = 4
AT_ONCE: Final = 2
"""Hashes computed at the same time: each takes 64 MiB, and whoever guesses must not take the machine's memory."""
WAIT_S: Final = 10.0

_TRIVIAL: Final = frozenset(
    {
        "abc", "abcdefghijkl", "abcdefghijklmnopqrstuvwxyz", "admin", "adminadmin", "administrator", "changeit",
        "changeme", "changemenow", "correcthorsebatterystaple", "default", "iloveyou", "iloveyouiloveyou", "letmein",
        "letmeinplease", "login", "monkey", "pass", "passphrase", "passw", "password", "passwordpassword", "princess",
        "qwerty", "qwertyqwerty", "qwertyuiop", "qwertyuiopasdf", "qwertyuiopasdfghjkl", "qwertz", "qwertzuiop",
        "root", "rootroot", "secret", "secretsecret", "security", "soc", "sunshine", "test", "testtest",
        "thisisapassword", "trustno", "watchfloor", "watchfloorwatchfloor", "welcome", "winter",
        "summer", "spring", "autumn",
    }
)  # fmt: skip
"""What is left of a guessable password without digits and punctuation."""
_MIN_DISTINCT: Final = 5


def normalised(password: str) -> str:
    """The same text for the same keys, whichever keyboard composed them (Unicode NFC)."""
    return unicodedata.normalize("NFC", password)


def faults(password: str, principal: str) -> list[str]:
    """Everything that is wrong with a new password; empty where it is taken. The password is not quoted."""
    text = normalised(password)
    found: list[str] = []
    if not MIN_LENGTH <= len(text) <= MAX_LENGTH:
        found.append(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters, this one {len(text)}")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text):
        found.append("a password holds no control characters")
    letters = _letters(text)
    own = {_letters(part) for part in (principal, *re.split(r"[^A-Za-z0-9]+", principal))} - {""}
    if not letters or letters in _TRIVIAL or letters in own or len(set(text)) < _MIN_DISTINCT:
        found.append("this password is among the first that are guessed; several unrelated words make a good one")
    return found


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalpha())


class Match(StrEnum):
    WRONG = "wrong"
    RIGHT = "right"
    RIGHT_BUT_WEAK = "right but weak"
    """Made with other parameters than today's: to be hashed anew."""


class Passwords:
    """Hashes and compares, a bounded number at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        # Of the same cost as a real one; no password fits it.
        self._nobodys = (
            f"$argon2id$v=19$m={self._hasher.memory_cost},t={self._hasher.time_cost},p={self._hasher.parallelism}"
            f"${'A' * 22}${'A' * 43}"
        )

    def hash(self, password: str) -> str:
        """The encoded hash, with salt and parameters. Raises `UnavailableError` where too many wait."""
        with self._slot():
            return self._hasher.hash(normalised(password))

    def compare(self, kept: str | None, password: str) -> Match:
        """Whether ``password`` fits ``kept``; where there is none the comparison costs the same and fails.

        Raises `UnavailableError` where too many wait.
        """
        text = normalised(password)
        if len(text) > MAX_LENGTH:
            text, kept = "", None
        try:
            with self._slot():
                self._hasher.verify(kept or self._nobodys, text)
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            return Match.WRONG
        if kept is None:
            return Match.WRONG
        return Match.RIGHT_BUT_WEAK if self._hasher.check_needs_rehash(kept) else Match.RIGHT

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if not self._slots.acquire(timeout=WAIT_S):
            raise UnavailableError(f"too many passwords are being compared; none was free for {WAIT_S:g} s, try again")
        try:
            yield
        finally:
            self._slots.release()
