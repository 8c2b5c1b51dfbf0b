"""The files behind paths that people give: folders walked, archives opened, compression taken off.

What is inside an archive is an attacker's choice as much as a log line: names are never used as paths, and what expands
beyond `MAX_EXPANDED` is given up with the reason.
"""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final, cast

import zstandard

from watchfloor_core.errors import ConfigurationError

MAX_EXPANDED: Final = 4 * 1024**3
"""Bytes that one archive or compressed file may expand to."""
MAX_MEMBERS: Final = 50_000
_IN_MEMORY: Final = 64 * 1024**2
_CHUNK: Final = 1024**2


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What could not be read, and why; a whole file, or one record of it."""

    file: str
    reason: str
    position: int | None = None
    """1-based number of the record; None for the file."""

    def __str__(self) -> str:
        place = self.file if self.position is None else f"{self.file}, record {self.position}"
        return f"{place}: {self.reason}"


Complain = Callable[[Unreadable], None]


@dataclass(frozen=True, slots=True)
class LogFile:
    """One file's bytes, at their beginning."""

    name: str
    """The path, with the name inside an archive behind ``!``."""
    stream: IO[bytes]


class _TooLargeError(Exception):
    pass


def log_files(paths: Sequence[Path], complain: Complain) -> Iterator[LogFile]:
    """Every file, in the order of its name inside folders and archives. Each is closed when the next one is taken.

    Raises `ConfigurationError` for a path that does not exist.
    """
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise ConfigurationError(f"no such file or folder: {', '.join(missing)}")
    for path in paths:
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        for file in files:
            yield from _opened(file, complain)


def _opened(path: Path, complain: Complain) -> Iterator[LogFile]:
    try:
        with path.open("rb") as stream:
            yield from _unpacked(str(path), stream, complain, 0)
    except OSError as error:
        complain(Unreadable(str(path), f"cannot be read: {error.strerror or error}"))


def _unpacked(name: str, stream: IO[bytes], complain: Complain, depth: int) -> Iterator[LogFile]:
    head = stream.read(512)
    stream.seek(0)
    if depth > 2:
        complain(Unreadable(name, "archives inside archives inside archives are not opened"))
    elif head.startswith(b"PK\x03\x04"):
        yield from _zipped(name, stream, complain, depth)
    elif head[257:262] == b"ustar":
        yield from _tarred(name, stream, complain, depth)
    elif head.startswith(b"\x1f\x8b"):
        yield from _expanded(name, lambda: cast("IO[bytes]", gzip.GzipFile(fileobj=stream)), complain, depth)
    elif head.startswith(b"\x28\xb5\x2f\xfd"):
        yield from _expanded(name, lambda: zstandard.ZstdDecompressor().stream_reader(stream), complain, depth)
    else:
        yield LogFile(name, stream)


def _zipped(name: str, stream: IO[bytes], complain: Complain, depth: int) -> Iterator[LogFile]:
    try:
        archive = zipfile.ZipFile(stream)
        members = sorted((one for one in archive.infolist() if not one.is_dir()), key=lambda one: one.filename)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        complain(Unreadable(name, f"is no readable zip archive: {error}"))
        return
    left = [MAX_EXPANDED]
    for member in members[:MAX_MEMBERS]:
        yield from _member(f"{name}!{member.filename}", partial(archive.open, member), complain, depth, left)
    _complain_of_more(name, len(members), complain)


def _tarred(name: str, stream: IO[bytes], complain: Complain, depth: int) -> Iterator[LogFile]:
    try:
        archive = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115  # the stream is closed by whoever opened it
    except (tarfile.TarError, OSError, ValueError) as error:
        complain(Unreadable(name, f"is no readable tar archive: {error}"))
        return
    members: list[tarfile.TarInfo] = []
    try:
        while (found := archive.next()) is not None:
            members += [found] if found.isfile() else []
    except (tarfile.TarError, OSError, ValueError) as error:
        # What stands before the end that is missing is read all the same.
        complain(Unreadable(name, f"is no whole tar archive: {error}"))
    left = [MAX_EXPANDED]
    for member in members[:MAX_MEMBERS]:
        # None only for what is no file, of which there is none among them.
        opened = cast("Callable[[], IO[bytes]]", partial(archive.extractfile, member))
        yield from _member(f"{name}!{member.name}", opened, complain, depth, left)
    _complain_of_more(name, len(members), complain)


def _complain_of_more(name: str, members: int, complain: Complain) -> None:
    if members > MAX_MEMBERS:
        complain(Unreadable(name, f"holds {members:,} files; only the first {MAX_MEMBERS:,} are read"))


def _expanded(name: str, opened: Callable[[], IO[bytes]], complain: Complain, depth: int) -> Iterator[LogFile]:
    yield from _member(name, opened, complain, depth, [MAX_EXPANDED])


def _member(
    name: str, opened: Callable[[], IO[bytes]], complain: Complain, depth: int, left: list[int]
) -> Iterator[LogFile]:
    """One member, expanded into a file of its own: readers go back and forth in it."""
    with _spool() as spool:
        try:
            with opened() as source:
                while chunk := source.read(_CHUNK):
                    left[0] -= len(chunk)
                    if left[0] < 0:
                        raise _TooLargeError
                    spool.write(chunk)
        except _TooLargeError:
            complain(Unreadable(name, f"expands beyond {MAX_EXPANDED:,} bytes; unpack it and give what you need"))
            return
        except (OSError, EOFError, RuntimeError, NotImplementedError, ValueError, zlib.error, zipfile.BadZipFile,
                tarfile.TarError, zstandard.ZstdError) as error:  # fmt: skip
            complain(Unreadable(name, f"cannot be unpacked to its end: {error}"))
            if spool.tell() == 0:
                return
        spool.seek(0)
        yield from _unpacked(name, spool, complain, depth + 1)


@contextmanager
def _spool() -> Iterator[IO[bytes]]:
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as file:
        yield file
