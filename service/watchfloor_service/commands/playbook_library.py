"""``watchfloor playbook list`` and ``copy``: the playbooks that come with Watchfloor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_playbooks.library import library
from watchfloor_playbooks.writing import to_yaml
from watchfloor_service.commands.outcome import answering, print_json, print_table
from watchfloor_service.commands.place import JsonOption
from watchfloor_service.commands.playbook_files import write_out


def list_library(as_json: JsonOption = False) -> None:
    """Show the playbooks that come with Watchfloor, and the ATT&CK techniques that each answers."""
    with answering():
        found = library()
        if as_json:
            print_json(
                [
                    {
                        "name": one.name,
                        "title": one.playbook.head.name,
                        "id": one.playbook.id,
                        "digest": one.digest,
                        "attack": one.ours.attack,
                        "d3fend": one.ours.d3fend,
                        "description": one.playbook.head.description,
                    }
                    for one in found
                ]
            )
            return
        rows = [(one.name, one.playbook.head.name, " ".join(one.ours.attack), one.digest[:16]) for one in found]
        print_table(("name", "title", "ATT&CK", "digest"), rows, whole=("name", "digest"))


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
