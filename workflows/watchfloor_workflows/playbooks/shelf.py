"""The playbooks that may be run here: those of the operator's folder, and those that come with Watchfloor.

A file that cannot be read, or whose signature is wanted and does not hold, is not on the shelf, and why is told to
whoever asks for it. Of two files with the same id the one that was modified last counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, NotFoundError, RefusedError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import approver_key
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.assertion import KeyKind
from watchfloor_playbooks.library import library
from watchfloor_playbooks.loading import MAX_BYTES, load
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.signature import TrustedKey, verify
from watchfloor_playbooks.vocabulary import comparable_time
from watchfloor_workflows.playbooks.starting import Shelved

FOLDER: Final = "playbooks"
"""In the data directory, unless a setting names another place."""
LIBRARY: Final = "library:"
"""Before the name of one that comes with Watchfloor."""
SUFFIXES: Final = (".json", ".yaml", ".yml")
TESTS: Final = ".tests.yaml"
"""Ends the name of a file of tests, which stands beside its playbook."""
MOST_FILES: Final = 500
_REGISTERED: Final = (
    select(approver_key.c.id, approver_key.c.principal, approver_key.c.public_key)
    .where(approver_key.c.kind == KeyKind.ED25519.value, approver_key.c.revoked_us.is_(None))
    .order_by(approver_key.c.id)
)


@dataclass(frozen=True, slots=True)
class OnShelf:
    """One file of the folder."""

    file: str
    playbook: Playbook | None
    """None where it cannot be read."""
    signers: tuple[str, ...] = ()
    problem: str | None = None
    """Why it cannot be run."""

    @property
    def name(self) -> str:
        """By which it is called at the command line."""
        return self.file.removeprefix(LIBRARY) if self.file.startswith(LIBRARY) else Path(self.file).stem


class FolderShelf:
    """Reads the folder each time; a file that has not changed is not read again. Thread-safe."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._folder = settings.playbooks_folder or settings.data_dir / FOLDER
        self._wants_signature = settings.playbooks_signed
        self._store = store
        self._lock = Lock()
        self._read: dict[tuple[str, int, int, int], Playbook | str] = {}

    @property
    def folder(self) -> Path:
        """Where the operator's are."""
        return self._folder

    def find(self, playbook_id: str, version: str | None = None) -> Shelved:
        """See `Shelf.find`."""
        same = [one for one in self.all() if one.playbook is not None and one.playbook.id == playbook_id]
        fits = [one for one in same if one.playbook and version in (None, one.playbook.head.modified)]
        if not fits:
            known = ", ".join(one.playbook.head.modified for one in same if one.playbook)
            also = f"; there are the versions {known}" if known else "; `watchfloor playbook list` shows them"
            what = f"{quote_untrusted(playbook_id, 80)}{f' of {version}' if version else ''}"
            raise NotFoundError(f"no playbook {what} is loaded here{also}")
        latest = max(fits, key=lambda one: comparable_time(one.playbook.head.modified) or "" if one.playbook else "")
        # One that is revoked says so of itself and of all that came before it.
        if any(one.playbook.head.revoked and _is_later(one, latest) for one in same if one.playbook):
            raise RefusedError("a later version of the playbook is revoked, and with it this one")
        if latest.problem is not None or latest.playbook is None:
            raise RefusedError(latest.problem or "it cannot be read")
        return Shelved(latest.playbook, latest.signers)

    def named(self, which: str) -> Shelved:
        """By its id, its file's name, or its whole name where only one has it. Raises what `find` raises."""
        ids = list(
            dict.fromkeys(
                one.playbook.id
                for one in self.all()
                if one.playbook is not None and which in (one.playbook.id, one.playbook.head.name, one.name, one.file)
            )
        )
        if len(ids) > 1:
            raise ConfigurationError(f"{len(ids)} playbooks are called {quote_untrusted(which, 80)}; give the id")
        return self.find(ids[0] if ids else which)

    def all(self) -> list[OnShelf]:
        """Every file of the folder by name, and then those that come with Watchfloor and of which none has the id."""
        trusted = keys_of_people(self._store)
        own = [self._looked_at(path, trusted) for path in self._files()]
        taken = {one.playbook.id for one in own if one.playbook is not None}
        unsigned = "it comes with Watchfloor and is signed by nobody here; sign a copy"
        problem = unsigned if self._wants_signature else None
        return [
            *own,
            *(
                OnShelf(f"{LIBRARY}{one.name}", one.playbook, problem=problem)
                for one in library()
                if one.playbook.id not in taken
            ),
        ]

    def usable(self) -> list[Shelved]:
        """Those that may be run, the latest of each."""
        latest: dict[str, OnShelf] = {}
        for one in self.all():
            if one.playbook is not None and _is_later(one, latest.get(one.playbook.id)):
                latest[one.playbook.id] = one
        usable = [one for one in latest.values() if one.problem is None]
        return [Shelved(one.playbook, one.signers) for one in usable if one.playbook is not None]

    def _files(self) -> Iterator[Path]:
        try:
            found = sorted(
                path
                for path in self._folder.iterdir()
                if path.suffix.lower() in SUFFIXES and not path.name.endswith(TESTS)
            )
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigurationError(f"the folder {str(self._folder)!r} cannot be read: {error.strerror}") from error
        if len(found) > MOST_FILES:
            raise ConfigurationError(f"{str(self._folder)!r} holds more than {MOST_FILES} playbooks; take some out")
        yield from found

    def _looked_at(self, path: Path, trusted: list[TrustedKey]) -> OnShelf:
        found = self._loaded(path)
        if isinstance(found, str):
            return OnShelf(path.name, None, problem=found)
        signers: tuple[str, ...] = ()
        problem = None
        try:
            signers = tuple(one.key for one in verify(found, trusted, now_us()).signed)
        except RefusedError as error:
            # A signature that does not hold says that somebody has altered what was signed: that is never run.
            problem = str(error) if self._wants_signature or found.signatures else None
        return OnShelf(path.name, found, signers, problem)

    def _loaded(self, path: Path) -> Playbook | str:
        try:
            at = path.stat()
            key = (str(path), at.st_mtime_ns, at.st_size, at.st_ino)
            with self._lock:
                if key in self._read:
                    return self._read[key]
            if not path.is_file():
                return f"{path.name} is no file"  # A pipe would be waited for.
            with path.open("rb") as file:
                found: Playbook | str = load(file.read(MAX_BYTES + 1), path.name)
        except ConfigurationError as error:
            found = str(error)
        except OSError as error:
            return f"{path.name} cannot be read: {error.strerror}"
        with self._lock:
            if len(self._read) > 2 * MOST_FILES:
                self._read.clear()
            self._read[key] = found
        return found


def _is_later(one: OnShelf, than: OnShelf | None) -> bool:
    if than is None or than.playbook is None or one.playbook is None:
        return True
    return (comparable_time(one.playbook.head.modified) or "") > (comparable_time(than.playbook.head.modified) or "")


def keys_of_people(store: Store) -> list[TrustedKey]:
    """The live keys with which people sign here."""
    with store.read() as connection:
        rows = connection.execute(_REGISTERED).all()
    return [
        TrustedKey(f"{row.principal} (key {row.id})", Ed25519PublicKey.from_public_bytes(bytes(row.public_key)))
        for row in rows
    ]
