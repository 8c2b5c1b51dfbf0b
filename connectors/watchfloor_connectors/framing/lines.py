"""Blocks of bytes as lines, whatever their length, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from watchfloor_connectors.framing.stream import StreamBrokenError
from watchfloor_connectors.raw import MAX_RAW_BYTES


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that is no record: too long, or cut off by the end of a broken stream."""

    raw: bytes
    reason: str


def read_lines(blocks: Iterator[bytes], limit: int) -> Iterator[bytes | BrokenLine]:
    """What stands between line feeds; a line of more than ``limit`` bytes comes as `BrokenLine`.

    The CR of a CR LF is left at the line's end: inside a quoted CSV value it is part of the value.
    """
    held: list[bytes] = []
    held_bytes = 0
    # All bytes of the line at hand; more than are held where it is longer than 64 MiB.
    length = 0
    try:
        for block in blocks:
            ended = block.split(b"\n")
            if len(ended) > 1:
                rest = ended.pop()
                if length:
                    held.append(ended[0])
                    ended[0] = b"".join(held)
                    length += len(held[-1])
                    if length > limit:
                        yield _too_long(ended[0], length, limit)
                        del ended[0]
                for line in ended:
                    if len(line) > limit:
                        yield _too_long(line, len(line), limit)
                    else:
                        yield line
                held = [rest]
                held_bytes = length = len(rest)
            else:
                length += len(block)
                if held_bytes < MAX_RAW_BYTES:
                    held.append(block)
                    held_bytes += len(block)
    except StreamBrokenError as error:
        # A line that the break cut off may look whole (a shorter address, a smaller number): it is no record.
        yield BrokenLine(b"".join(held), error.reason)
        return
    if length > limit:
        yield _too_long(b"".join(held), length, limit)
    elif length:
        yield b"".join(held)


def _too_long(line: bytes, length: int, limit: int) -> BrokenLine:
    return BrokenLine(line[:MAX_RAW_BYTES], too_long(length, limit))


def too_long(length: int, limit: int) -> str:
    """Why a record of so many bytes is refused."""
    kept = f"; the first {MAX_RAW_BYTES} bytes are kept" if length > MAX_RAW_BYTES else ""
    return f"the record is {length} bytes long; at most {limit} are taken (setting max_record_bytes){kept}"
