"""``watchfloor ledger``: the record of every decision, signed, written to a file, and verified from the file alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from watchfloor_core.clock import to_iso
from watchfloor_core.dsse import key_id_of
from watchfloor_core.errors import ConfigurationError, RefusedError
from watchfloor_core.keys.signing import CHECKPOINT_KEY, public_key
from watchfloor_core.ledger import (
    Coverage,
    Trust,
    VerifyReport,
    Witness,
    export_ledger,
    prove_decision,
    verify_file,
    verify_proof,
    verify_store,
)
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.commands.outcome import ExitCode, answering, console, fail, print_json
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_workflows.checkpointing import checkpoint_now

app = typer.Typer(no_args_is_help=True, help="Sign, export, verify and prove from the ledger.")

KeysOption: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--key",
        help="Public key (PEM) that must have signed the checkpoints, kept from elsewhere; repeated after a rotation.",
        dir_okay=False,
    ),
]


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
                {
                    "file": str(file),
                    "tenant": place.tenant,
                    **_fields(written.entries, written.chains, written.root),
                    "checkpoints": written.checkpoints,
                }
            )
        else:
            console().print(
                f"{written.entries:,} entries of {written.chains:,} chains and {written.checkpoints:,} checkpoints "
                f"written to {file}.\n"
                f"Root {written.root}\nKeep the root elsewhere: `watchfloor ledger verify {file} --root …` then also "
                "finds a file that was written anew as a whole."
            )


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(help="A file that `ledger export` wrote; none: the store itself.", dir_okay=False)
    ] = None,
    root: Annotated[str | None, typer.Option(help="The root that must come out, kept from an export.")] = None,
    key: KeysOption = None,
    witness: Annotated[
        Path | None, typer.Option(help="Folder with the witness's copies of checkpoints.", file_okay=False)
    ] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a ledger; exit code 1 and the first bad entry where it is not whole. A file needs nothing besides it."""
    with answering():
        trust = Trust(_trusted(key), None if witness is None else Witness(witness))
        report = verify_file(file, root, trust) if file is not None else _verify_store(tenant, root, trust)
        if as_json:
            fault = None if report.fault is None else str(report.fault)
            print_json(
                {
                    "ok": report.ok,
                    "tenant": report.tenant,
                    **_fields(report.entries, report.chains, report.root),
                    "coverage": report.coverage,
                    "fault": fault,
                    "fault_kind": None if report.fault is None else report.fault.kind.value,
                }
            )
        if report.fault is not None:
            fail(f"the ledger does not verify: {report.fault}", ExitCode.NO)
        if not as_json:
            console().print(
                f"The ledger of tenant {report.tenant} verifies: {report.entries:,} entries of {report.chains:,} "
                f"chains.\n{_coverage(report)}\nRoot {report.root}"
            )


@app.command()
def checkpoint(tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Sign a checkpoint now; the worker does it by itself at an interval. Needs the worker's data directory."""
    with answering(), at(tenant) as place:
        made = checkpoint_now(place.store, place.settings, place.tenant)
        key = place.settings.data_dir / "keys" / f"{CHECKPOINT_KEY}.pub"
        if as_json:
            print_json(
                None if made is None else {"number": made.number, "entries": made.entries, "digest": made.digest}
            )
        elif made is None:
            console().print("Nothing came since the last checkpoint.")
        else:
            console().print(
                f"Checkpoint {made.number} covers {made.entries:,} entries of {made.chains:,} chains.\n"
                f"Verify with the public key {key}; keep a copy of it elsewhere."
            )


@app.command()
def prove(
    decision_id: Annotated[str, typer.Argument(metavar="DECISION_ID", help="The id of a ledger entry.")],
    out: Annotated[Path, typer.Option(help="The file to write.", dir_okay=False)],
    tenant: TenantOption = None,
) -> None:
    """Write a proof that one decision is in the ledger; it shows no other decision."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            proof = prove_decision(connection, place.tenant, decision_id)
        try:
            out.write_bytes(proof)
        except OSError as error:
            raise ConfigurationError(f"the proof cannot be written to {str(out)!r} ({error.strerror})") from error
        console().print(f"Proof written to {out}: check it anywhere by `watchfloor ledger verify-proof {out} --key …`.")


@app.command("verify-proof")
def verify_proof_file(
    file: Annotated[Path, typer.Argument(help="A file that `ledger prove` wrote.", dir_okay=False)],
    key: KeysOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check a proof with nothing besides it but the key; exit code 1 where it does not hold."""
    with answering():
        try:
            data = file.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"the proof {str(file)!r} cannot be read ({error.strerror})") from error
        trusted = _trusted(key)
        try:
            proven = verify_proof(data, trusted)
        except RefusedError as error:
            fail(f"the proof does not hold: {error}", ExitCode.NO)
        entry, checkpoint = proven.entry, proven.checkpoint
        if as_json:
            print_json(
                {
                    "tenant": entry.tenant,
                    "decision": {"id": entry.id, "kind": entry.kind, "chain": entry.chain, "seq": entry.seq},
                    "at_us": entry.at,
                    "body": entry.body,
                    "checkpoint": {"number": checkpoint.number, "at_us": checkpoint.at_us},
                    "key_id": proven.key_id,
                    "is_pinned": proven.is_pinned,
                }
            )
        else:
            console().print(
                f"Decision {entry.id} ({entry.kind}, entry {entry.seq} of chain {entry.chain}, tenant "
                f"{escape_untrusted(entry.tenant)}) of {to_iso(entry.at)} was in the ledger at checkpoint "
                f"{checkpoint.number} of {to_iso(checkpoint.at_us)}.\n{_signers((proven.key_id,), proven.is_pinned)}"
            )


def _verify_store(tenant: str | None, root: str | None, trust: Trust) -> VerifyReport:
    with at(tenant) as place, place.store.read() as connection:
        report = verify_store(connection, place.tenant, trust)
    if root is not None and report.ok and report.root != root:
        fail(f"the ledger does not verify: its root is {report.root}, expected {root}", ExitCode.NO)
    return report


def _trusted(files: list[Path] | None) -> dict[str, Ed25519PublicKey] | None:
    if not files:
        return None
    keys = [public_key(file) for file in files]
    return {key_id_of(key): key for key in keys}


def _coverage(report: VerifyReport) -> str:
    match report.coverage:
        case None:
            return "It has no checkpoints: nothing vouches for it but itself."
        case Coverage(at_us=None):
            return "No checkpoint was signed yet: nothing vouches for it but itself."
        case coverage:
            pass
    tail = report.entries - coverage.entries
    lines = [
        f"{coverage.entries:,} entries are covered by {coverage.checkpoints:,} signed checkpoints, the last of "
        f"{to_iso(coverage.at_us or 0)}; "
        + (f"{tail:,} came later and are in none yet." if tail else "none came later."),
        _signers(coverage.key_ids, coverage.is_pinned),
    ]
    if coverage.witnessed is not None:
        lines.append(f"The witness has {coverage.witnessed:,} of the {coverage.checkpoints:,}, all the same.")
    return "\n".join(lines)


def _signers(key_ids: tuple[str, ...], is_pinned: bool) -> str:
    pinned = "pinned" if is_pinned else "not pinned: give --key, kept from elsewhere, or it vouches for itself"
    return f"Signed by key {', '.join(key_ids)}; {pinned}."


def _fields(entries: int, chains: int, root: str | None) -> dict[str, object]:
    return {"entries": entries, "chains": chains, "root": root}
