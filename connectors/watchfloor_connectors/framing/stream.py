"""A file or body as plain UTF-8 blocks: unpacked (gzip, zstd) and transcoded (UTF-16, UTF-32), in bounded memory."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import zstandard

from watchfloor_core.errors import ConfigurationError, RecordError

BLOCK: Final = 256 * 1024
_ZSTD_SLICE: Final = 512
"""Compressed bytes per step: zstd packs up to 32 KiB into one byte, and this decompressor has no output limit."""

_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_REFUSED: Final = {
    b"PK\x03\x04": "a ZIP archive: unpack it",
    b"\xfd7zXZ\x00": "xz-compressed: unpack it, or pack it with gzip or zstd",
    b"BZh": "bzip2-compressed: unpack it, or pack it with gzip or zstd",
    b"ElfFile\x00": "a Windows event log (EVTX), which holds events and no alerts yet: use `watchfloor investigate "
    "FILE --rules RULES`, or `watchfloor detect` with the same for the alerts alone",
    b"PAR1": "a Parquet file: convert it to CSV or NDJSON",
    b"SQLite format 3\x00": "an SQLite database: export the table as CSV",
}
# The longer marks first: UTF-32LE begins with the mark of UTF-16LE.
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class StreamBrokenError(RecordError):
    """The stream ends before its end or cannot be unpacked further; all that was readable came before."""


@dataclass(frozen=True, slots=True)
class PlainStream:
    """Blocks of UTF-8 without byte order mark, and the way back to the original bytes."""

    blocks: Iterator[bytes]
    """Raises `StreamBrokenError` at its end where the input is truncated or corrupt."""
    mark: bytes
    """The byte order mark of a UTF-16 or UTF-32 input, else empty."""
    encoding: str | None
    """The input's encoding where it is not UTF-8."""

    def original(self, text: bytes) -> bytes:
        """The bytes that ``text`` was in the input."""
        if self.encoding is None:
            return text
        return text.decode("utf-8", "surrogatepass").encode(self.encoding, "surrogatepass")


def open_stream(source: BinaryIO, *, name: str, max_bytes: int | None = None) -> PlainStream:
    """Blocks of the input after unpacking, recognised by its first bytes whatever its name.

    ``max_bytes`` limits what comes out after unpacking, so that a small body cannot unfold without end.
    Raises ConfigurationError where the input is of a kind that holds no records to frame.
    """
    packed = _read_blocks(source)
    first = next(packed, b"")
    for magic, what in _REFUSED.items():
        if first.startswith(magic):
            raise ConfigurationError(f"{name} is {what}")
    blocks = _chain(first, packed)
    if first.startswith(_GZIP_MAGIC):
        blocks = _gunzip(blocks)
    elif first.startswith(_ZSTD_MAGIC):
        blocks = _unzstd(blocks)
    if max_bytes is not None:
        blocks = _limited(blocks, max_bytes)
    return _as_utf8(blocks)


def _read_blocks(source: BinaryIO) -> Iterator[bytes]:
    while block := source.read(BLOCK):
        yield block


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _gunzip(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Every member of a gzip stream; what was readable before a break comes out before the error."""
    member = zlib.decompressobj(wbits=31)
    is_open = True
    read = 0
    for block in blocks:
        data = block
        read += len(block)
        while data:
            if not is_open:
                if not data.strip(b"\0"):
                    # Padding after the last member (from tapes and block devices) is zeros.
                    break
                member = zlib.decompressobj(wbits=31)
            try:
                out = member.decompress(data, BLOCK)
            except zlib.error as error:
                raise StreamBrokenError(_broken("gzip", f"is corrupt ({error})", read)) from None
            if out:
                yield out
            is_open = not member.eof
            data = member.unconsumed_tail if is_open else member.unused_data
    if is_open:
        try:
            # The output limit may have kept back the last bytes.
            rest = member.flush()
        except zlib.error as error:
            raise StreamBrokenError(_broken("gzip", f"is corrupt ({error})", read)) from None
        if rest:
            yield rest
        if not member.eof:
            raise StreamBrokenError(_broken("gzip", "is truncated", read))


def _unzstd(blocks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024)
    frame = packer.decompressobj()
    is_open = False
    read = 0
    for block in blocks:
        read += len(block)
        for start in range(0, len(block), _ZSTD_SLICE):
            data = block[start : start + _ZSTD_SLICE]
            while data:
                if not is_open:
                    frame = packer.decompressobj()
                    is_open = True
                try:
                    out = frame.decompress(data)
                except zstandard.ZstdError as error:
                    raise StreamBrokenError(_broken("zstd", f"is corrupt ({error})", read)) from None
                for begin in range(0, len(out), BLOCK):
                    yield out[begin : begin + BLOCK]
                data = frame.unused_data if frame.eof else b""
                is_open = not frame.eof
    if is_open:
        raise StreamBrokenError(_broken("zstd", "is truncated", read))


def _broken(kind: str, what: str, read: int) -> str:
    return (
        f"the {kind} stream {what} (after {read} compressed bytes): the records before this one were read, "
        "what follows is missing; fetch the file again"
    )


def _limited(blocks: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    total = 0
    for block in blocks:
        total += len(block)
        if total > max_bytes:
            yield block[: len(block) - (total - max_bytes)]
            raise StreamBrokenError(
                f"the input is longer than {max_bytes} bytes after unpacking: the records before this one were read, "
                "send the rest in further batches"
            )
        yield block


def _as_utf8(blocks: Iterator[bytes]) -> PlainStream:
    head = b""
    broken: StreamBrokenError | None = None
    try:
        while len(head) < 4 and (block := next(blocks, None)) is not None:
            head += block
    except StreamBrokenError as error:
        broken = error
    rest = _raise_after(head, broken) if broken else _chain(head, blocks)
    if head.startswith(codecs.BOM_UTF8):
        return PlainStream(_without_mark(rest, len(codecs.BOM_UTF8)), b"", None)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return PlainStream(_transcode(_without_mark(rest, len(mark)), encoding), mark, encoding)
    return PlainStream(rest, b"", None)


def _raise_after(head: bytes, error: StreamBrokenError) -> Iterator[bytes]:
    if head:
        yield head
    raise error


def _without_mark(blocks: Iterator[bytes], length: int) -> Iterator[bytes]:
    first = next(blocks, b"")
    if first[length:]:
        yield first[length:]
    yield from blocks


def _transcode(blocks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    # Unpaired surrogates pass through, so that only their record is refused and its bytes can be given back.
    decode: Callable[[bytes], str] = codecs.getincrementaldecoder(encoding)("surrogatepass").decode
    for block in blocks:
        try:
            text = decode(block)
        except UnicodeDecodeError as error:
            raise StreamBrokenError(
                f"the input is not valid {encoding} as its byte order mark says ({error.reason}); convert it to UTF-8"
            ) from None
        if text:
            yield text.encode("utf-8", "surrogatepass")
