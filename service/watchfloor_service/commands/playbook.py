"""``watchfloor playbook``: write, check, exchange, sign and compare CACAO v2.0 playbooks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from watchfloor_core.canonical import canonical
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_playbooks.difference import differences
from watchfloor_playbooks.drawing import draw
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.signature import TrustedKey, digest_of, sign, verify
from watchfloor_playbooks.template import new_playbook
from watchfloor_playbooks.vocabulary import comparable_time, prefix_of
from watchfloor_playbooks.writing import to_json, to_yaml
from watchfloor_service.commands.outcome import ExitCode, answering, print_json
from watchfloor_service.commands.place import JsonOption, at
from watchfloor_service.commands.playbook_files import keys_in_file, read_playbook, write_out
from watchfloor_service.commands.playbook_library import copy_from_library, list_playbooks
from watchfloor_service.commands.playbook_page import check_file, difference_line, print_verified
from watchfloor_service.commands.playbook_runs import add_to
from watchfloor_service.commands.playbook_testing import run_tests
from watchfloor_service.commands.signing_key import KeyOption, signing_key
from watchfloor_workflows.playbooks.shelf import keys_of_people

app = typer.Typer(no_args_is_help=True, help="Write, check, test, exchange, sign and run CACAO v2.0 playbooks.")
app.command("test")(run_tests)
app.command("list")(list_playbooks)
app.command("copy")(copy_from_library)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="A playbook, JSON or YAML.", dir_okay=False)]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="The file to write; default: standard output.", show_default=False, dir_okay=False),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Refuse what only leaves the standard, too.")]
TrustOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust", help="PEM file of public keys that may sign; may be given again.", show_default=False, dir_okay=False
    ),
]
SignedOption = Annotated[
    bool, typer.Option("--signed", help="Refuse it unless a key of --trust, or else of somebody here, has signed it.")
]


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the playbook is called.")],
    created_by: Annotated[
        str | None,
        typer.Option(help="Id of your STIX identity object; default: a new one.", show_default=False),
    ] = None,
    out: OutOption = None,
) -> None:
    """Write a playbook to begin with, as YAML: it is right as it stands."""
    with answering():
        if created_by is not None and prefix_of(created_by) != "identity":
            raise ConfigurationError(f"--created-by is {created_by!r}; `identity--UUID` is expected")
        content = new_playbook(name, created_by or f"identity--{uuid4()}", lambda: str(uuid4()), now_us())
        text = to_yaml(content).encode()
        load(text, "the new playbook", is_strict=True)
        write_out(text, out, is_new=True)


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Playbooks, JSON or YAML.", dir_okay=False)],
    is_strict: StrictOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check playbooks: every mistake of every file with its line, and what leaves the standard."""
    with answering():
        checked = [check_file(file, is_strict) for file in files]
        if as_json:
            print_json([one.as_json() for one in checked])
        else:
            for one in checked:
                for line in one.lines():
                    typer.echo(escape_untrusted(line))
        if not all(one.is_right for one in checked):
            raise typer.Exit(ExitCode.MEND)


@app.command("import")
def import_(
    file: FileArgument,
    out: OutOption = None,
    is_strict: StrictOption = False,
    is_signed: SignedOption = False,
    trust: TrustOption = None,
) -> None:
    """Check a playbook, and write it as canonical JSON (RFC 8785): the form that is exchanged and signed."""
    with answering():
        playbook = load(read_playbook(file), str(file), is_strict=is_strict)
        if is_signed or trust:
            verify(playbook, _trusted(trust), now_us())
        write_out(to_json(playbook), out)


@app.command()
def export(file: FileArgument, out: OutOption = None) -> None:
    """Check a playbook, and write it as YAML, to be edited."""
    with answering():
        playbook = load(read_playbook(file), str(file))
        write_out(to_yaml(playbook.content).encode(), out)


@app.command("sign")
def sign_(
    file: FileArgument,
    signee: Annotated[str, typer.Option("--as", help="Who signs, as others shall read it.")],
    key: KeyOption = None,
    created_by: Annotated[
        str | None, typer.Option(help="Id of the signer's STIX identity object.", show_default=False)
    ] = None,
    valid_until: Annotated[
        str | None, typer.Option(help="Until when, as 2027-06-30T00:00:00.000Z.", show_default=False)
    ] = None,
    out: OutOption = None,
) -> None:
    """Add your signature to a playbook that is right, and write it as canonical JSON."""
    with answering():
        if created_by is not None and prefix_of(created_by) != "identity":
            raise ConfigurationError(f"--created-by is {created_by!r}; `identity--UUID` is expected")
        if valid_until is not None and comparable_time(valid_until) is None:
            raise ConfigurationError(
                f"--valid-until is {valid_until!r}; a time as 2027-06-30T00:00:00.000Z is expected"
            )
        playbook = load(read_playbook(file), str(file))
        signed = sign(
            playbook.content,
            signing_key(key).key,
            signature_id=f"jss--{uuid4()}",
            signee=signee,
            now_us=now_us(),
            created_by=created_by,
            valid_until=valid_until,
        )
        # Read again as whoever gets it will: a name that is no text, say, is refused here and not there.
        write_out(to_json(load(canonical(signed), "the signed playbook")), out)


@app.command("verify")
def verify_(file: FileArgument, trust: TrustOption = None, as_json: JsonOption = False) -> None:
    """Say who has signed exactly this playbook; without --trust, of the people whose keys are registered here."""
    with answering():
        playbook = load(read_playbook(file), str(file))
        found = verify(playbook, _trusted(trust), now_us())
        if as_json:
            print_json(found)
        else:
            print_verified(found)


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="The older version.", dir_okay=False)],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The newer version.", dir_okay=False)],
    as_json: JsonOption = False,
) -> None:
    """Show what differs, step by step; signatures and the order of properties say nothing."""
    with answering():
        old, new_ = (load(read_playbook(file), str(file)) for file in (before, after))
        found = differences(old.content, new_.content)
        if as_json:
            print_json(found)
        elif not found:
            typer.echo(f"They say the same.\ndigest {digest_of(new_.content)}")
        else:
            for one in found:
                typer.echo(difference_line(one))
        if found:
            raise typer.Exit(ExitCode.NO)


@app.command()
def graph(file: FileArgument, out: OutOption = None) -> None:
    """Draw a playbook as SVG."""
    with answering():
        write_out(draw(load(read_playbook(file), str(file))).encode(), out)


def _trusted(files: list[Path] | None) -> list[TrustedKey]:
    if files:
        return [key for file in files for key in keys_in_file(file)]
    with at(None) as place:
        return keys_of_people(place.store)


add_to(app)
