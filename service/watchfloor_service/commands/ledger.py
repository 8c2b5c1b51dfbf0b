"""``watchfloor ledger``: the record of every decision, written to a file and verified from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from watchfloor_core.ledger import VerifyReport, export_ledger, verify_file, verify_store
from watchfloor_service.commands.outcome import ExitCode, answering, console, fail, print_json
from watchfloor_service.commands.place import JsonOption, TenantOption, at

app = typer.Typer(no_args_is_help=True, help="Verify and export the ledger.")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="The file to write.", dir_okay=False)],
    chain: Annotated[str | None, typer.Option(help="Only this chain: an incident's id, or `ingest`.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write the tenant's ledger to a file that can be verified anywhere."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            written = export_ledger(connection, place.tenant, file, chain)
        if as_json:
            print_json(
                {"file": str(file), "tenant": place.tenant, **_fields(written.entries, written.chains, written.root)}
            )
        else:
            console().print(
                f"{written.entries:,} entries of {written.chains:,} chains written to {file}.\n"
                f"Root {written.root}\nKeep the root elsewhere: `watchfloor ledger verify {file} --root …` then also "
                "finds a file that was written anew as a whole."
            )


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="A file that `ledger export` wrote; none: the store itself.", dir_okay=False)
    ] = None,
    root: Annotated[str | None, typer.Option(help="The root that must come out, kept from an export.")] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a ledger; exit code 1 and the first bad entry where it is not whole. A file needs nothing besides it."""
    with answering():
        report = verify_file(file, root) if file is not None else _verify_store(tenant, root)
        if as_json:
            fault = None if report.fault is None else str(report.fault)
            print_json(
                {
                    "ok": report.ok,
                    "tenant": report.tenant,
                    **_fields(report.entries, report.chains, report.root),
                    "fault": fault,
                    "fault_kind": None if report.fault is None else report.fault.kind.value,
                }
            )
        if report.fault is not None:
            fail(f"the ledger does not verify: {report.fault}", ExitCode.NO)
        if not as_json:
            console().print(
                f"The ledger of tenant {report.tenant} verifies: {report.entries:,} entries of {report.chains:,} "
                f"chains.\nRoot {report.root}"
            )


def _verify_store(tenant: str | None, root: str | None) -> VerifyReport:
    with at(tenant) as place, place.store.read() as connection:
        report = verify_store(connection, place.tenant)
    if root is not None and report.ok and report.root != root:
        fail(f"the ledger does not verify: its root is {report.root}, expected {root}", ExitCode.NO)
    return report


def _fields(entries: int, chains: int, root: str | None) -> dict[str, object]:
    return {"entries": entries, "chains": chains, "root": root}
