"""``watchfloor approvals``: see what waits for you, and approve with your key or deny.

Looking reads the store; a decision goes through the API of the running stack, as everyone's do.
"""

from __future__ import annotations

import base64
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from watchfloor_core.canonical import canonical
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError, NotFoundError, RefusedError
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.approval import states
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_guardrails.roles import Scope
from watchfloor_guardrails.view import view_digest
from watchfloor_service.actions.approval_record import CheckedRecord, approval_record, check_record
from watchfloor_service.actions.approvals import list_waiting, load_approval
from watchfloor_service.actions.detail import ActionDetail, load_action
from watchfloor_service.commands import approval_measures
from watchfloor_service.commands.action_page import print_approval, print_receipt, print_waiting
from watchfloor_service.commands.outcome import ExitCode, answering, console, fail, print_empty, print_json
from watchfloor_service.commands.person import Me, TokenOption, whoever
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at, command
from watchfloor_service.commands.signing_key import KeyOption, assertion_by, signing_key
from watchfloor_workflows.authority.voting import note_shown
from watchfloor_workflows.passkeys import relying_party

app = typer.Typer(no_args_is_help=True, help="See what waits for a decision; approve or deny it.")

ProposalArgument = Annotated[str, typer.Argument(metavar="ID", help="act-…, as `approvals list` shows it.")]
Wait = Annotated[float, typer.Option("--wait", min=0, max=3600, help="Seconds to wait for the receipt.")]
WAIT_S: Final = 30.0
POLL_S: Final = 0.2


@app.command("list")
def list_(token_file: TokenOption = None, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """List what waits for people, the most urgent first, and whether you may decide."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        with place.store.read() as connection:
            waiting = list_waiting(connection, me.caller)
        if as_json:
            print_json({"approvals": waiting})
        elif waiting:
            print_waiting(waiting)
        else:
            print_empty(f"Nothing of tenant {place.tenant} waits for a decision; `watchfloor action list` shows all.")


@app.command()
def show(
    proposal_id: ProposalArgument,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what you would sign, and why you are asked. When you first saw it is written down."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        with place.store.read() as connection:
            found = load_approval(connection, me.caller, proposal_id, relying_party(place.settings))
        if Scope.APPROVALS_DECIDE in me.caller.scopes:
            note_shown(place.store, place.tenant, proposal_id, me.caller.principal)
        if as_json:
            print_json(found)
        else:
            print_approval(asdict(found))


@app.command()
def approve(
    proposal_id: ProposalArgument,
    key: KeyOption = None,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Kept in the ledger.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Sign without asking.")] = False,
    wait: Wait = WAIT_S,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a proposal, sign it with your key, and wait for what comes of it."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        shown = me.api().get(_path(proposal_id))
        statement = _own_statement(me, proposal_id, shown)
        if not as_json:
            print_approval(shown)
        _require_may_decide(shown)
        if not yes:
            if as_json:
                raise ConfigurationError("--json asks nothing, so it needs --yes")
            typer.confirm("\nSign and approve this?", abort=True, err=True)
        signer = signing_key(key)
        _require_registered(me, shown, signer.key_id)
        body: dict[str, Json] = {
            "decision": "approve",
            "digest": shown["digest"],
            "comment": comment,
            "key_id": signer.key_id,
            "assertion": assertion_by(signer, statement),
        }
        answer = me.api().post(f"{_path(proposal_id)}/decision", body)
        detail = _after(place, proposal_id, wait)
        if as_json:
            print_json({**answer, "action": detail})
        else:
            console().print(f"{answer['outcome']}: {answer['approvals']} of {answer['quorum']} approved.")
            _print_after(place, detail)
        if detail.action.status in _NOT_DONE:
            fail(f"it ended {detail.action.status}: {detail.action.reason or 'no reason was given'}", ExitCode.NO)


@app.command()
def deny(
    proposal_id: ProposalArgument,
    comment: Annotated[str, typer.Option("--comment", "-m", help="Why; kept in the ledger.")],
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say no, for good. One no is enough, and needs no key."""
    with answering(), at(tenant) as place:
        me = whoever(place, token_file)
        shown = me.api().get(_path(proposal_id))
        body: dict[str, Json] = {"decision": "deny", "digest": shown["digest"], "comment": comment}
        answer = me.api().post(f"{_path(proposal_id)}/decision", body)
        if as_json:
            print_json(answer)
        else:
            console().print(f"{proposal_id} is {answer['outcome']}.")


@app.command()
def export(
    proposal_id: ProposalArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="Where to; `-`: standard output.")],
    tenant: TenantOption = None,
) -> None:
    """Write everything that was signed about a proposal into a file that verifies by itself."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            record = approval_record(connection, place.tenant, proposal_id)
        if str(file) == "-":
            print_json(record)
            return
        try:
            file.write_bytes(canonical(record) + b"\n")
        except OSError as error:
            raise ConfigurationError(
                f"the approval cannot be written to {str(file)!r} ({error.strerror}); name a file in a folder of yours"
            ) from error
        console().print(f"{file} holds the approval of {proposal_id}; `watchfloor approvals verify` checks it.")


@app.command()
def verify(
    what: Annotated[str, typer.Argument(metavar="FILE|ID", help="A file of `approvals export`, or a proposal's id.")],
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check the signatures on an approval: of a file from the file alone. Exit code 1 where they do not hold."""
    with answering():
        checked = check_record(_record_text(what, tenant))
        if as_json:
            print_json({**asdict(checked), "holds": checked.holds})
        else:
            _print_checked(checked)
    if not (checked.holds and checked.is_approved):
        raise typer.Exit(ExitCode.NO)


approval_measures.register(app)

_NOT_DONE: Final = frozenset(
    status.value for status in ProposalStatus if not status.is_open and status is not ProposalStatus.SUCCEEDED
)


def _record_text(what: str, tenant: str | None) -> bytes:
    path = Path(what)
    if path.is_file():
        return path.read_bytes()
    if not what.startswith("act-"):
        raise NotFoundError(f"{what!r} is neither a file nor the id of a proposal")
    with at(tenant) as place, place.store.read() as connection:
        return canonical(approval_record(connection, place.tenant, what))


def _own_statement(me: Me, proposal_id: str, shown: dict[str, Json]) -> bytes:
    """What is signed, once it says what was shown and nothing else. Raises `RefusedError`."""
    statement = base64.b64decode(str(shown["statement"]))
    is_ours = states(
        statement,
        tenant=me.place.tenant,
        proposal_id=proposal_id,
        digest=str(shown["digest"]),
        view_digest=view_digest(str(shown["view"])),
        principal=me.caller.principal,
    )
    if not is_ours:
        raise RefusedError("what is to be signed is not an approval of what is shown; nothing was signed")
    return statement


def _require_may_decide(shown: dict[str, Json]) -> None:
    summary: Any = shown["approval"]  # Any: the API's answer, JSON
    if not summary["may_decide"]:
        raise RefusedError("nothing was signed; " + "; ".join(summary["why_not"]))


def _require_registered(me: Me, shown: dict[str, Json], key_id: str) -> None:
    keys: Any = shown["keys"]  # Any: as above
    if key_id not in {key["key_id"] for key in keys}:
        raise RefusedError(
            f"key {key_id} is not registered for {me.caller.principal}; `watchfloor keys new` "
            "makes and registers one, and --token-file acts as the person whose key it is"
        )


def _after(place: Place, proposal_id: str, wait_s: float) -> ActionDetail:
    """The action once nothing more is under way with it, or after the wait."""
    ends = time.monotonic() + wait_s
    while True:
        with place.store.read() as connection:
            found = load_action(connection, place.tenant, proposal_id)
        is_settled = not ProposalStatus(found.action.status).is_open or found.action.status == ProposalStatus.WAITING
        if is_settled or time.monotonic() >= ends:
            return found
        time.sleep(POLL_S)


def _print_after(place: Place, found: ActionDetail) -> None:
    if found.execution is not None:
        print_receipt(found)
    elif ProposalStatus(found.action.status).is_open:
        look = command(place.settings, place.tenant, f"action show {found.action.proposal_id}")
        console().print(f"It is {found.action.status}; `{look}` tells how it goes on.", soft_wrap=True)


def _print_checked(checked: CheckedRecord) -> None:
    out = console()
    for line in checked.view.splitlines():
        print(escape_untrusted(line))
    out.print()
    for vote in checked.votes:
        how = f"key {vote.key_id}" if vote.key_id else "unsigned, as a no is"
        where = f" at {escape_untrusted(vote.origin)}" if vote.origin else ""
        said = "holds" if vote.fault is None else f"DOES NOT HOLD: {escape_untrusted(vote.fault)}"
        print(f"{vote.decision} by {escape_untrusted(vote.principal)} {to_iso(vote.decided_us)}, {how}{where}: {said}")
    if not checked.is_view_ours:
        print("This view is NOT what this version renders from what the digest covers: it was changed,")
        print("or another version of Watchfloor made it, which then has to check it.")
    verdict = "approved" if checked.is_approved else "NOT approved"
    print(f"{checked.proposal_id} is {verdict}: it took {checked.quorum}.")


def _path(proposal_id: str) -> str:
    return f"/v1/approvals/{quote(proposal_id, safe='')}"
