"""Text as both databases can hold it."""

from __future__ import annotations


def storable(value: str, limit: int | None = None) -> str:
    """The text as both databases can hold it: NUL and lone surrogates become U+FFFD, and it is cut to ``limit`` bytes.

    The original bytes of the record keep what is replaced here.
    """
    if "\x00" in value:
        value = value.replace("\x00", "\ufffd")
    if not value.isascii():
        value = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if limit is None or len(value) * 4 <= limit or len(value.encode()) <= limit:
        return value
    return value.encode()[: limit - len("…".encode())].decode("utf-8", "ignore") + "…"
