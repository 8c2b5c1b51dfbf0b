"""Request bodies: read with a limit at every step, so that no client decides how much memory is used.

Three limits hold: on one body as sent, on one body as decompressed, and on all bodies in memory together.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import zstandard
from fastapi import Request
from starlette.requests import ClientDisconnect

from watchfloor_service.api.problems import ProblemError, ProblemKind, retry_after

BODY_TIMEOUT_S: Final = 60.0
"""A body must be there after so long; slower clients send smaller batches."""
BODIES_IN_MEMORY: Final = 4
"""So many bodies of the largest size may be held at once; further ones are asked to come again."""
ENCODINGS: Final = ("identity", "gzip", "zstd")
_CHUNK: Final = 1 << 20
_MAX_ZSTD_WINDOW: Final = 1 << 23
"""8 MiB: what RFC 9659 allows a zstd content coding to ask of its receiver."""
_ZSTD_PIECE: Final = 256
"""Bytes fed at once. Four bytes can stand for a block of 128 KiB, so a piece yields 8 MiB at most."""


class BodyBudget:
    """Bytes of request bodies that may be in memory at once. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @asynccontextmanager
    async def receive(self, request: Request, limit: int) -> AsyncIterator[bytes]:
        """The body as sent, of at most ``limit`` bytes; it counts against the budget until the block ends.

        Raises a 413, 408 or 429 problem; too much is refused while it streams in, and before that where the length
        is announced.
        """
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > limit:
            raise _too_large(limit)
        held = 0
        try:
            chunks: list[bytes] = []
            async with asyncio.timeout(BODY_TIMEOUT_S):
                async for chunk in request.stream():
                    if held + len(chunk) > limit:
                        raise _too_large(limit)
                    if self._held + len(chunk) > self._limit:
                        raise ProblemError(
                            ProblemKind.BACKPRESSURE,
                            "too many requests are being read at once; send this one again",
                            headers=retry_after(1),
                        )
                    held += len(chunk)
                    self._held += len(chunk)
                    chunks.append(chunk)
            yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
        except TimeoutError:
            raise ProblemError(
                ProblemKind.BODY_TIMEOUT,
                f"the body was not complete after {BODY_TIMEOUT_S:.0f} s; send smaller batches",
            ) from None
        except ClientDisconnect:
            raise ProblemError(ProblemKind.MALFORMED_BODY, "the connection ended before the body did") from None
        finally:
            self._held -= held


def check_encoding(encoding: str | None) -> str:
    """The content coding in lower case. Raises a 415 problem for one that is not offered."""
    name = (encoding or "identity").strip().lower()
    if name not in ENCODINGS:
        raise ProblemError(
            ProblemKind.UNSUPPORTED_MEDIA,
            f"Content-Encoding must be one of {', '.join(ENCODINGS)}",
            headers={"Accept-Encoding": ", ".join(ENCODINGS[1:])},
        )
    return name


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The decoded body, at most ``limit`` bytes.

    Raises a 413 problem as soon as the limit is passed, so a bomb costs no more memory than an honest body, and 400
    where nothing can be decoded. A body that is cut short or damaged further on is returned as it came: framing
    unpacks it again, takes what is whole and names the break.
    """
    match encoding:
        case "gzip":
            data, fault = _gunzip(body, limit)
        case "zstd":
            data, fault = _unzstd(body, limit)
        case _:
            return body
    if fault is None:
        return data
    if not data:
        raise ProblemError(ProblemKind.MALFORMED_BODY, f"{fault}; Content-Encoding says {encoding}")
    return body


def _gunzip(body: bytes, limit: int) -> tuple[bytes, str | None]:
    out = bytearray()
    rest = body
    while rest:
        # One member after another: concatenated gzip files are one gzip file.
        member = zlib.decompressobj(wbits=31)
        try:
            while rest and not member.eof:
                out += member.decompress(rest, _CHUNK)
                if len(out) > limit:
                    raise _too_large(limit)
                rest = member.unconsumed_tail if not member.eof else member.unused_data
        except zlib.error as error:
            return bytes(out), f"gzip data is damaged ({error})"
        if not member.eof:
            return bytes(out), "gzip data ends before its end mark; it was cut short"
        # RFC 1952 allows zero padding after the last member.
        rest = rest.lstrip(b"\0") if rest[:1] == b"\0" else rest
    return bytes(out), None


def _unzstd(body: bytes, limit: int) -> tuple[bytes, str | None]:
    out = bytearray()
    decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW)
    view, at = memoryview(body), 0
    while at < len(body):
        frame = decompressor.decompressobj()
        try:
            while at < len(body) and not frame.eof:
                piece = view[at : at + _ZSTD_PIECE]
                out += frame.decompress(piece)
                if len(out) > limit:
                    raise _too_large(limit)
                at += len(piece)
        except zstandard.ZstdError as error:
            return bytes(out), f"zstd data is damaged ({error})"
        if not frame.eof:
            return bytes(out), "zstd data ends before its last block; it was cut short"
        at -= len(frame.unused_data)
    return bytes(out), None


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        ProblemKind.TOO_LARGE, f"a body may have {limit:,} bytes, decompressed too; send it in smaller batches"
    )
