"""The playbooks that come with Watchfloor: files of the folder ``library`` beside this one, for reading and copying."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from watchfloor_playbooks.extension import PlaybookExtension, of_playbook
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.signature import digest_of


@dataclass(frozen=True, slots=True)
class LibraryPlaybook:
    """One of them."""

    name: str
    """Of its file, without the ending: ``phishing``."""
    playbook: Playbook
    digest: str
    """SHA-256 of its canonical form, in hex."""
    tests: str
    """Its tests, as `watchfloor_playbooks.running.scenario_file` reads them; their first line names its file."""

    @property
    def ours(self) -> PlaybookExtension:
        return of_playbook(self.playbook)


@cache
def library() -> tuple[LibraryPlaybook, ...]:
    """All of them, by name. Each is right to the letter, or this raises `ConfigurationError`."""
    folder = files("watchfloor_playbooks") / "library"
    found = []
    for file in sorted(folder.iterdir(), key=lambda one: one.name):
        if file.name.endswith(".json"):
            name = file.name.removesuffix(".json")
            playbook = load(file.read_bytes(), file.name, is_strict=True)
            tests = (folder / f"{name}.tests.yaml").read_text("utf-8")
            found.append(LibraryPlaybook(name, playbook, digest_of(playbook.content), tests))
    return tuple(found)


@cache
def library_by_id() -> Mapping[str, LibraryPlaybook]:
    return MappingProxyType({one.playbook.id: one for one in library()})
