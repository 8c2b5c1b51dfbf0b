"""Bodies: decompressed within limits, whatever is in them."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
import zstandard

from watchfloor_service.bodies import check_encoding, decompress
from watchfloor_service.problems import ProblemError, ProblemKind

LIMIT = 1_000_000
TEXT = b'{"a": 1}\n' * 1_000


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("identity", TEXT),
        ("gzip", gzip.compress(TEXT)),
        ("gzip", gzip.compress(TEXT[:90]) + gzip.compress(TEXT[90:])),
        ("gzip", gzip.compress(TEXT) + b"\0\0\0"),
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
