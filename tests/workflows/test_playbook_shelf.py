"""Which playbooks may be run: the operator's folder before the library, and none whose signature does not hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from watchfloor_core.canonical import canonical
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, NotFoundError, RefusedError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_playbooks.library import library
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.signature import sign
from watchfloor_workflows.playbooks.shelf import FolderShelf
from watchfloor_workflows.testing.actions import Person, register
from watchfloor_workflows.testing.playbooks import Sketch

ANA = Person("ana")


def asking(name: str = "Ask", **head: Any) -> Playbook:
    sketch = Sketch(name)
    sketch.more = head
    return sketch.playbook(sketch.manual("ask", "Well?", on_completion=sketch.end("done")))


def signed(playbook: Playbook, by: Person = ANA) -> dict[str, Any]:
    return dict(
        sign(playbook.content, by.key, signature_id=f"jss--{uuid4()}", signee=by.name, now_us=now_us() - 10_000_000)
    )


@pytest.fixture
def folder(settings: Settings) -> Path:
    made = settings.data_dir / "playbooks"
    made.mkdir(parents=True)
    return made


def put(folder: Path, name: str, content: Any) -> None:
    (folder / name).write_bytes(canonical(content))


def test_without_a_folder_there_is_the_library(settings: Settings, sqlite_store: Store) -> None:
    shelf = FolderShelf(settings, sqlite_store)

    assert {one.playbook.id for one in shelf.usable()} == {one.playbook.id for one in library()}
    assert shelf.named("phishing").playbook.head.name == "Phishing message"


def test_a_file_is_found_by_its_id_its_name_and_what_it_is_called(
    settings: Settings, sqlite_store: Store, folder: Path
) -> None:
    playbook = asking()
    put(folder, "ask.json", playbook.content)
    (folder / "ask.tests.yaml").write_text("tests of it")
    (folder / "notes.txt").write_text("no playbook")
    shelf = FolderShelf(settings, sqlite_store)

    for name in (playbook.id, "ask", "Ask"):
        assert shelf.named(name).playbook.id == playbook.id
    with pytest.raises(NotFoundError, match='no playbook "nobody"'):
        shelf.named("nobody")
    with pytest.raises(NotFoundError, match="there are the versions 2026-11-28T08"):
        shelf.find(playbook.id, "2020-01-01T00:00:00.000Z")


def test_of_two_files_with_one_id_the_latest_counts(settings: Settings, sqlite_store: Store, folder: Path) -> None:
    put(folder, "a.json", asking(modified="2026-11-28T10:00:00.000Z").content)
    put(folder, "b.json", asking(modified="2026-11-28T09:00:00.000Z").content)
    shelf = FolderShelf(settings, sqlite_store)

    assert shelf.find(asking().id).playbook.head.modified == "2026-11-28T10:00:00.000Z"
    assert shelf.find(asking().id, "2026-11-28T09:00:00.000Z").playbook.head.modified == "2026-11-28T09:00:00.000Z"


def test_a_file_takes_the_place_of_one_of_the_library(settings: Settings, sqlite_store: Store, folder: Path) -> None:
    ours = next(one for one in library() if one.name == "phishing")
    put(folder, "mine.json", {**ours.playbook.content, "name": "Our own"})

    assert FolderShelf(settings, sqlite_store).find(ours.playbook.id).playbook.head.name == "Our own"


def test_a_file_that_cannot_be_read_is_told_and_harms_no_other(
    settings: Settings, sqlite_store: Store, folder: Path
) -> None:
    put(folder, "good.json", asking().content)
    (folder / "bad.yaml").write_text("type: playbook\n")
    (folder / "gone.json").symlink_to(folder / "nowhere")
    shelf = FolderShelf(settings, sqlite_store)
    problems = {one.file: one.problem for one in shelf.all() if not one.file.startswith("library:")}

    assert problems["good.json"] is None
    assert "bad.yaml" in str(problems["bad.yaml"])
    assert "gone.json cannot be read" in str(problems["gone.json"])
    assert shelf.named("Ask").playbook.id == asking().id


def test_a_changed_file_is_read_again(settings: Settings, sqlite_store: Store, folder: Path) -> None:
    put(folder, "ask.json", asking().content)
    shelf = FolderShelf(settings, sqlite_store)
    assert shelf.named("ask").playbook.head.priority is None
    put(folder, "ask.json", asking(priority=7).content)

    assert shelf.named("ask").playbook.head.priority == 7


def test_where_signatures_are_wanted_only_what_people_here_have_signed_is_run(
    settings: Settings, sqlite_store: Store, folder: Path
) -> None:
    register(sqlite_store, ANA)
    wanting = settings.model_copy(update={"playbooks_signed": True})
    put(folder, "plain.json", asking("Plain").content)
    put(folder, "signed.json", signed(asking("Signed")))
    put(folder, "stranger.json", signed(asking("Stranger"), Person("eve")))
    shelf = FolderShelf(wanting, sqlite_store)

    assert [one.playbook.head.name for one in shelf.usable()] == ["Signed"]
    (signer,) = shelf.named("Signed").signers
    assert signer == f"ana (key {ANA.key_id})"
    for name, why in (
        ("Plain", "is not signed"),
        ("Stranger", "no signature of playbook"),
        ("phishing", "sign a copy"),
    ):
        with pytest.raises(RefusedError, match=why):
            shelf.named(name)


def test_one_that_was_altered_after_it_was_signed_is_never_run(
    settings: Settings, sqlite_store: Store, folder: Path
) -> None:
    register(sqlite_store, ANA)
    content = json.loads(canonical(signed(asking())))
    put(folder, "ask.json", {**content, "name": "Something else"})

    with pytest.raises(RefusedError, match="no signature of playbook"):
        FolderShelf(settings, sqlite_store).find(asking().id)


def test_a_folder_that_cannot_be_read_is_a_mistake(settings: Settings, sqlite_store: Store) -> None:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.data_dir / "playbooks").write_text("a file")

    with pytest.raises(ConfigurationError, match="cannot be read"):
        FolderShelf(settings, sqlite_store).all()
