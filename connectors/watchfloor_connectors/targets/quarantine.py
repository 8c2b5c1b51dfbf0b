"""Takes a file out of everybody's reach and puts it back: a quarantine folder with one entry per action.

::

    <folder>/<key of the action>/content          the file, mode 0000, in folders of mode 0700
    <folder>/<key of the action>/manifest.json    where it was, its owner, mode, times and SHA-256

Within one file system the file is moved, so that it is the same inode throughout; across two it is copied, verified and
then removed. It is out of reach by its name; whoever has it open or runs it keeps that, which `stop process` ends.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from watchfloor_connectors.targets.base import (
    BadTargetError,
    ConfiguredTarget,
    NeverError,
    NotReadyError,
    Slot,
    ToolOptions,
    plain_text,
)
from watchfloor_connectors.targets.entries import finish_restoring, forget, held_from, is_back, opened_entry
from watchfloor_connectors.targets.files import absolute, opened_file, opened_folder, replace_in
from watchfloor_connectors.targets.manifest import NAME, Identity, Manifest
from watchfloor_connectors.targets.moving import Place, aside, nothing_done_by_failing, put_back, take
from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError, UnavailableError
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack, TargetState

AbsolutePath = Annotated[str, AfterValidator(absolute)]


class QuarantineOptions(ToolOptions):
    """Options of the kind ``quarantine``."""

    roots: tuple[AbsolutePath, ...] = Field(min_length=1)
    """Folders below which files may be contained."""
    folder: AbsolutePath | None = None
    """The quarantine; None: ``quarantine/<tenant>`` in the data directory."""
    never: tuple[AbsolutePath, ...] = ()
    """Files, and folders with all below them."""
    max_bytes: int = Field(default=256 * 1024 * 1024, ge=1)
    """A larger file is refused: reading it would take longer than a call may."""


@dataclass(frozen=True, slots=True)
class _Path:
    text: str
    folder: str
    name: str

    @property
    def shown(self) -> str:
        return quote_untrusted(self.text)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Where a path's file is: at its place, in the quarantine, or both (another file has taken the place)."""

    at_place: Identity | None
    held: tuple[Manifest, ...]


class Quarantine(ConfiguredTarget[QuarantineOptions]):
    kind = "quarantine"
    revision: ClassVar[str] = "1"
    classes: ClassVar[frozenset[str]] = frozenset({"contain file", "restore file"})
    options_type = QuarantineOptions
    restricting: ClassVar[frozenset[str]] = frozenset({"roots", "max_bytes"})
    arguments: ClassVar[frozenset[str]] = frozenset({"of"})
    """`restore file`: the key of the containment to end, where several files from one place are held."""

    def __init__(self, slot: Slot, options: QuarantineOptions) -> None:
        self.folder = options.folder or str(slot.data_dir / "quarantine" / slot.tenant)
        super().__init__(slot, options)

    def privileges(self) -> tuple[str, ...]:
        roots = ", ".join(self.options.roots)
        return (
            f"read, rename and create files below {roots}",
            "CAP_CHOWN, CAP_FOWNER and CAP_DAC_OVERRIDE for files of other users than the executor's",
            f"write files in {self.folder}, which nobody else can enter",
        )

    def read_state(self, target: Target) -> TargetState:
        path = self._path(target)
        # What is held from there was put there before it was protected, and can be taken back all the same.
        if not self._held(path):
            self._refuse_never(path)
        seen = self._see(path)
        if seen.at_place is None and not seen.held:
            raise NotFoundError(f"there is no file {path.shown}, neither at its place nor in quarantine")
        return _state(seen)

    def do(self, action: Action, key: str) -> None:
        path = self._path(action.target)
        with nothing_done_by_failing(path.shown), self._quarantine() as quarantine:
            if action.action_class == "contain file":
                if not any(one.key == key for one in held_from(quarantine, path.text)):
                    self._refuse_never(path)
                self._contain(path, quarantine, key)
            else:
                self._restore(path, quarantine, action.arguments.get("of"))

    def _contain(self, path: _Path, quarantine: int, key: str) -> None:
        if any(one.key == key for one in held_from(quarantine, path.text)):
            return
        with opened_folder(path.folder) as folder, opened_file(folder, path.name) as file:
            finish_restoring(quarantine, path.text, folder)
            found = self._identity(file, path)
            if found.links != 1:
                raise NotDoneError(
                    f"{path.shown} has {found.links} names (hard links): containing it would change the others too; "
                    "look at them and do it by hand"
                )
            with suppress(FileExistsError):
                os.mkdir(key, 0o700, dir_fd=quarantine)
            with opened_entry(quarantine, key) as entry:
                manifest = Manifest.of(path.text, key, found, now_us())
                # First what it is, then the thing itself: a crash between leaves the file at its place.
                replace_in(entry, NAME, manifest.model_dump_json().encode(), 0o600)
                os.fsync(quarantine)
                take(Place(folder, path.name, path.shown), file, entry, key, found)

    def _restore(self, path: _Path, quarantine: int, of: object) -> None:
        with opened_folder(path.folder) as folder:
            finish_restoring(quarantine, path.text, folder)
            held = [one for one in held_from(quarantine, path.text) if of in (None, one.key)]
            if not held:
                raise NotDoneError(f"no file from {path.shown} is in quarantine")
            if len(held) > 1:
                keys = ", ".join(one.key for one in held)
                raise NotDoneError(f"several files from {path.shown} are in quarantine; say which by 'of': {keys}")
            with opened_entry(quarantine, held[0].key) as entry:
                put_back(Place(folder, path.name, path.shown), entry, held[0])
            with suppress(OSError):
                forget(quarantine, held[0].key)

    def read_back(self, action: Action, key: str) -> ReadBack:
        path = self._path(action.target)
        seen = self._see(path)
        if action.action_class == "contain file":
            effect, text = _containment(path, seen, key)
        else:
            is_back = seen.at_place is not None and not seen.held
            effect = Effect.APPLIED if is_back else Effect.NOT_APPLIED
            text = f"{path.shown} is {'at its place' if is_back else 'not at its place, or another is in quarantine'}"
        return ReadBack(effect, _state(seen), text)

    def _path(self, target: Target) -> _Path:
        """The path. Raises `BadTargetError`."""
        if target.kind is not TargetKind.FILE:
            raise BadTargetError(f"a target of kind {target.kind!r} is no file")
        text = plain_text(target.value, "the path of a file")
        try:
            absolute(text)
        except ValueError as error:
            raise BadTargetError(f"no path of a file: {error}") from None
        folder, _, name = text.rpartition("/")
        return _Path(text, folder or "/", name)

    def _refuse_never(self, path: _Path) -> None:
        """Raises `NeverError` for one that may not be touched."""
        text = path.text
        for never in (*self.options.never, self.folder):
            if _is_below(text, never):
                raise NeverError(f"{quote_untrusted(text)} is below {never!r}, which {self.tool!r} never touches")
        if not any(_is_below(text, root) and text != root for root in self.options.roots):
            roots = ", ".join(map(repr, self.options.roots))
            raise NeverError(f"{quote_untrusted(text)} is below none of the roots of {self.tool!r}: {roots}")

    def _held(self, path: _Path) -> tuple[Manifest, ...]:
        if not os.path.lexists(self.folder):
            return ()
        with self._quarantine() as quarantine:
            return tuple(held_from(quarantine, path.text))

    def _see(self, path: _Path) -> _Seen:
        at_place: Identity | None = None
        try:
            with opened_folder(path.folder) as folder, opened_file(folder, path.name) as file:
                at_place = self._identity(file, path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EINVAL):
                problem = "is no regular file, or a folder above it is a link; name the file itself"
                raise BadTargetError(f"{path.shown} {problem}") from error
            raise UnavailableError(f"{path.shown} cannot be read: {error.strerror}") from error
        if not os.path.lexists(self.folder):
            return _Seen(at_place, ())
        with self._quarantine() as quarantine:
            held = tuple(one for one in held_from(quarantine, path.text) if not is_back(quarantine, one, at_place))
        return _Seen(at_place, held)

    def _identity(self, file: int, path: _Path) -> Identity:
        size = os.fstat(file).st_size
        if size > self.options.max_bytes:
            raise NeverError(f"{path.shown} has {size} bytes; max_bytes is {self.options.max_bytes}")
        return Identity.of(file)

    @contextmanager
    def _quarantine(self) -> Iterator[int]:
        """The quarantine folder, made where it is missing. Raises `NotReadyError` where others can enter it."""
        try:
            os.makedirs(os.path.dirname(self.folder), exist_ok=True)
            with suppress(FileExistsError):
                os.mkdir(self.folder, 0o700)
            opened = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise NotReadyError(f"the quarantine {self.folder!r} cannot be opened: {error.strerror}") from error
        try:
            at = os.fstat(opened)
            if at.st_mode & 0o077 or at.st_uid != os.geteuid():
                raise NotReadyError(f"others can enter the quarantine {self.folder!r}: chmod 700 and chown it")
            yield opened
        finally:
            os.close(opened)


def _containment(path: _Path, seen: _Seen, key: str) -> tuple[Effect, str]:
    if os.path.lexists(os.path.join(path.folder, aside(key))):
        return Effect.UNKNOWN, f"{path.shown} was on its way to quarantine and is {aside(key)} beside its place"
    if not any(one.key == key for one in seen.held):
        return Effect.NOT_APPLIED, f"{path.shown} is not in quarantine by this action"
    since = "" if seen.at_place is None else "; another file has taken its place since"
    return Effect.APPLIED, f"{path.shown} is in quarantine by this action{since}"


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _state(seen: _Seen) -> TargetState:
    held = [{"key": one.key, "sha256": one.sha256} for one in seen.held]
    return TargetState({"at_place": None if seen.at_place is None else seen.at_place.state(), "held": held})
