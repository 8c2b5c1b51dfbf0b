"""``watchfloor playbook list`` and ``copy``: the playbooks that can be run here, and those that ship as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_playbooks.extension import of_playbook
from watchfloor_playbooks.library import library
from watchfloor_playbooks.signature import digest_of
from watchfloor_playbooks.writing import to_yaml
from watchfloor_service.commands.outcome import answering, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, at
from watchfloor_service.commands.playbook_files import write_out
from watchfloor_workflows.playbooks.shelf import LIBRARY, FolderShelf, OnShelf


def list_playbooks(as_json: JsonOption = False) -> None:
    """Show the playbooks that can be run here, yours and those that come with Watchfloor, and the ATT&CK techniques
    that each answers."""
    with answering():
        found = _shelved()
        if as_json:
            print_json([_as_json(one) for one in found])
            return
        rows = [_row(one) for one in found]
        print_table(("name", "title", "ATT&CK", "digest", "from"), rows, whole=("name", "digest", "from"))
        for one in found:
            if one.problem is not None and not one.file.startswith(LIBRARY):
                print_empty(f"{one.file} cannot be run: {one.problem}")


def _shelved() -> list[OnShelf]:
    """What the store's operator has, and what comes with Watchfloor; that alone where there is no store yet."""
    try:
        with at(None) as place:
            return FolderShelf(place.settings, place.store).all()
    except NotFoundError:
        return [OnShelf(f"{LIBRARY}{one.name}", one.playbook) for one in library()]


def _row(one: OnShelf) -> tuple[str, str, str, str, str]:
    where = "library" if one.file.startswith(LIBRARY) else one.file
    if one.playbook is None:
        return one.name, "", "", "", where
    attack = " ".join(of_playbook(one.playbook).attack)
    return one.name, one.playbook.head.name, attack, digest_of(one.playbook.content)[:16], where


def _as_json(one: OnShelf) -> dict[str, object]:
    told: dict[str, object] = {
        "name": one.name,
        "file": one.file,
        "signers": one.signers,
        "problem": one.problem,
    }
    if one.playbook is not None:
        head, ours = one.playbook.head, of_playbook(one.playbook)
        told |= {
            "title": head.name,
            "id": one.playbook.id,
            "digest": digest_of(one.playbook.content),
            "attack": ours.attack,
            "d3fend": ours.d3fend,
            "description": head.description,
        }
    return told


def copy_from_library(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name or id in `playbook list`.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The new file; default: standard output.", show_default=False, dir_okay=False),
    ] = None,
    with_tests: Annotated[bool, typer.Option("--with-tests", help="Write its tests, too, beside the file.")] = False,
) -> None:
    """Write a playbook that comes with Watchfloor as YAML, to be changed."""
    with answering():
        if with_tests and out is None:
            raise ConfigurationError("--with-tests writes beside the playbook's file; name that with --out")
        tests = out.with_suffix(".tests.yaml") if with_tests and out is not None else None
        if tests is not None and tests.exists():
            raise ConfigurationError(f"{str(tests)!r} is there already; name a new file")
        one = next((one for one in library() if name in (one.name, one.playbook.id)), None)
        if one is None:
            names = ", ".join(each.name for each in library())
            raise NotFoundError(f"no playbook {name!r} comes with Watchfloor; there are {names}")
        write_out(to_yaml(one.playbook.content).encode(), out, is_new=True)
        if tests is not None and out is not None:
            # JSON's texts are YAML's, whatever stands in a file's name.
            text = f"playbook: {json.dumps(out.name)}\n{one.tests.partition(chr(10))[2]}"
            write_out(text.encode(), tests, is_new=True)
