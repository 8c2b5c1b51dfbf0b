"""Bodies: decompressed within limits, whatever is in them."""

from __future__ import annotations

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import Sequence

import pytest
import zstandard
from fastapi import Request
from starlette.types import Message

from watchfloor_service.api.bodies import BodyBudget, check_encoding, decompress
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.testing import Api

LIMIT = 1_000_000
TEXT = b'{"a": 1}\n' * 1_000


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("gzip", gzip.compress(TEXT[:90], mtime=0) + gzip.compress(TEXT[90:], mtime=0)),
        ("gzip", gzip.compress(TEXT, mtime=0) + b"\0\0\0"),
        ("zstd", zstd(TEXT)),
        ("zstd", zstd(TEXT[:90]) + zstd(TEXT[90:])),
    ],
)
def test_a_body_comes_out_as_it_went_in(encoding: str, body: bytes) -> None:
    assert decompress(body, encoding, LIMIT) == TEXT


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd)])
def test_a_bomb_is_refused_before_it_has_unfolded(encoding: str, pack: object) -> None:
    assert callable(pack)
    bomb = pack(bytes(200_000_000))
    assert len(bomb) < 300_000
    tracemalloc.start()
    try:
        with pytest.raises(ProblemError) as raised:
            decompress(bomb, encoding, LIMIT)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert raised.value.kind is ProblemKind.TOO_LARGE
    assert peak < 40_000_000


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_is_nothing_of_the_kind_is_refused(encoding: str) -> None:
    with pytest.raises(ProblemError) as raised:
        decompress(TEXT, encoding, LIMIT)
    assert raised.value.kind is ProblemKind.MALFORMED_BODY


def test_a_cut_body_is_left_to_framing_which_takes_what_is_whole() -> None:
    # One block each, so that something can be decoded before the break.
    whole = b"".join(b'{"n": %d}\n' % number for number in range(60_000))
    for encoding, packed in (("gzip", gzip.compress(whole)), ("zstd", zstd(whole))):
        cut = packed[: len(packed) * 9 // 10]
        assert decompress(cut, encoding, LIMIT) is cut


def test_a_frame_that_demands_a_large_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = compressor.compress(TEXT) + compressor.flush()
    with pytest.raises(ProblemError) as raised:
        decompress(body, "zstd", LIMIT)
    assert raised.value.kind is ProblemKind.MALFORMED_BODY


def test_only_the_offered_encodings_are_taken() -> None:
    assert [check_encoding(name) for name in (None, "GZIP", " zstd ")] == ["identity", "gzip", "zstd"]
    for name in ("br", "gzip, gzip", "deflate"):
        with pytest.raises(ProblemError) as raised:
            check_encoding(name)
        assert raised.value.kind is ProblemKind.UNSUPPORTED_MEDIA


def sending(chunks: Sequence[bytes], *, length: int | None = None, breaks_off: bool = False) -> Request:
    """A request whose body comes in these chunks."""
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if breaks_off else {"type": "http.request", "body": b""})
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    headers = [] if length is None else [(b"content-length", str(length).encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def received(budget: BodyBudget, request: Request, limit: int = 100) -> bytes:
    async with budget.receive(request, limit) as body:
        return body


def kind_of_refusal(budget: BodyBudget, request: Request, limit: int = 100) -> ProblemKind:
    with pytest.raises(ProblemError) as raised:
        asyncio.run(received(budget, request, limit))
    return raised.value.kind


def test_a_body_is_joined_and_given_back_to_the_budget() -> None:
    budget = BodyBudget(10)
    for _ in range(3):
        assert asyncio.run(received(budget, sending([b"12345", b"67890"]))) == b"1234567890"


def test_a_body_is_refused_by_its_announced_or_its_real_length() -> None:
    budget = BodyBudget(1_000)
    assert kind_of_refusal(budget, sending([], length=101)) is ProblemKind.TOO_LARGE
    assert kind_of_refusal(budget, sending([b"x" * 60, b"x" * 41])) is ProblemKind.TOO_LARGE
    assert kind_of_refusal(budget, sending([b"x" * 101], length=1)) is ProblemKind.TOO_LARGE


def test_a_broken_connection_gives_its_bytes_back() -> None:
    budget = BodyBudget(10)
    for _ in range(3):
        assert kind_of_refusal(budget, sending([b"12345678"], breaks_off=True)) is ProblemKind.MALFORMED_BODY


def test_bodies_beyond_the_budget_are_asked_to_come_again() -> None:
    budget = BodyBudget(15)

    async def two_at_once() -> None:
        async with budget.receive(sending([b"1234567890"]), 100):
            with pytest.raises(ProblemError) as raised:
                await received(budget, sending([b"1234567890"]))
            assert raised.value.kind is ProblemKind.BACKPRESSURE
            assert raised.value.headers == {"Retry-After": "1"}
        assert await received(budget, sending([b"1234567890"])) == b"1234567890"

    asyncio.run(two_at_once())


def test_a_body_that_does_not_come_is_not_waited_for(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfloor_service.api.bodies.BODY_TIMEOUT_S", 0.05)
    with socket.create_connection(("127.0.0.1", api.port), timeout=10) as connection:
        connection.sendall(
            b"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 50\r\n"
            b"Authorization: Bearer " + api.token().encode() + b"\r\n\r\n{"
        )
        assert connection.recv(64).startswith(b"HTTP/1.1 408 ")
