"""``watchfloor deadletter``: records that could not become alerts: look, mend the cause, drive them in again."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Annotated

import typer

from watchfloor_connectors.registry import Registry
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.store.deadletters import (
    PAGE,
    DeadLetter,
    count_dead_letters,
    dead_letter_bytes,
    list_dead_letters,
    load_dead_letter,
)
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_service.api.routes.deadletters import DeadLetterView
from watchfloor_service.commands.outcome import ExitCode, answering, console, fail, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at
from watchfloor_service.intake.retry import Retried, retry_letter

app = typer.Typer(no_args_is_help=True, help="List malformed records and drive them in again.")

MAX_RAW = 4_000
"""Characters of a record that are shown; --json gives all of it."""

ConnectorFilter = Annotated[str | None, typer.Option("--connector", help="Only those of this connector.")]
LetterId = Annotated[int, typer.Argument(metavar="ID", min=1)]


@app.command("list")
def list_(
    connector: ConnectorFilter = None,
    resolved: Annotated[bool, typer.Option("--all", help="Those that are settled, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = PAGE,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what could not be read, oldest first, and why."""
    is_open = None if resolved else True
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            letters = list_dead_letters(connection, place.tenant, connector=connector, is_open=is_open, limit=limit)
            total = count_dead_letters(connection, place.tenant, connector=connector, is_open=is_open)
        if as_json:
            print_json({"dead_letters": [DeadLetterView.of(letter) for letter in letters], "total": total})
            return
        if not letters:
            print_empty(f"No dead letters in tenant {place.tenant}: every record could be read.")
            return
        print_table(
            ["id", "connector", "source", "position", "tries", "reason"],
            [[x.id, x.connector, x.source_id[:24], x.position, x.attempts, _reason(x)] for x in letters],
            right=["id", "position", "tries"],
        )
        more = f"{total - len(letters):,} more; " if total > len(letters) else ""
        print_empty(
            f"{more}`watchfloor deadletter show ID` shows the record, `watchfloor deadletter retry` reads it again."
        )


@app.command()
def show(letter_id: LetterId, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Show one dead letter with its record as it came in."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            letter = load_dead_letter(connection, place.tenant, letter_id)
            raw = dead_letter_bytes(connection, place.tenant, letter_id)
        if as_json:
            print_json({"dead_letter": DeadLetterView.of(letter), "raw_base64": base64.b64encode(raw).decode()})
            return
        settled = "open" if letter.resolved_us is None else f"settled {to_iso(letter.resolved_us)}"
        out = console()
        out.print(f"Dead letter {letter.id}, {settled}, tried again {letter.attempts} times")
        out.print(
            f"connector {letter.connector}, source {letter.source_id}, position {letter.position}, "
            f"batch {letter.batch_id}"
        )
        out.print(f"reason    {_reason(letter)}")
        shown = quote_untrusted(raw[: 4 * MAX_RAW].decode("utf-8", "replace"), MAX_RAW)
        out.print(f"record    {len(raw):,} bytes: {shown}", soft_wrap=True)


@app.command()
def retry(
    letter_ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that are open.")] = False,
    only: Annotated[str | None, typer.Option("--of", metavar="CONNECTOR", help="With --all: only those of it.")] = None,
    connector: Annotated[
        str | None, typer.Option("--connector", help="Read them with this connector instead of their own.")
    ] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read dead letters again, after a connector or mapping was mended; exit code 1 where some still cannot be read."""
    with answering(), at(tenant) as place:
        if bool(letter_ids) == everything:
            raise ConfigurationError("name the dead letters by their ids, or all that are open by --all")
        registry = Registry.load(place.settings)
        if connector is not None:
            registry.get(connector)
        letters = _open_letters(place, only) if everything else _named(place, letter_ids or [])
        limit = place.settings.max_record_bytes
        results = [
            retry_letter(place.store, place.tenant, registry, letter, max_record_bytes=limit, connector=connector)
            for letter in letters
        ]
        if as_json:
            print_json({"results": results})
        elif not results:
            print_empty(f"No open dead letters in tenant {place.tenant}.")
        else:
            _print_results(results)
        failed = sum(not result.is_settled for result in results)
        if failed:
            fail(f"{failed} of {len(results)} still cannot be read", ExitCode.NO)


def _open_letters(place: Place, connector: str | None) -> Iterator[DeadLetter]:
    """Page by page: each is read once, also those that stay open."""
    after = 0
    while True:
        with place.store.read() as connection:
            page = list_dead_letters(connection, place.tenant, connector=connector, after=after)
        yield from page
        if len(page) < PAGE:
            return
        after = page[-1].id


def _named(place: Place, letter_ids: list[int]) -> Iterator[DeadLetter]:
    with place.store.read() as connection:
        found = [load_dead_letter(connection, place.tenant, letter_id) for letter_id in dict.fromkeys(letter_ids)]
    yield from found


def _print_results(results: list[Retried]) -> None:
    print_table(["id", "outcome", "detail"], [[r.id, r.outcome.value, r.detail] for r in results[:PAGE]], right=["id"])
    if len(results) > PAGE:
        print_empty(f"{len(results) - PAGE:,} more; --json gives all.")
    settled = sum(result.is_settled for result in results)
    print_empty(f"{settled:,} of {len(results):,} settled.")


def _reason(letter: DeadLetter) -> str:
    return f"{letter.path}: {letter.reason}" if letter.path else letter.reason
