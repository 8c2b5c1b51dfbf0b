"""``watchfloor kill``: stop what acts, see what is stopped, let it go again, and measure how long stopping takes.

It works on the store itself, as the user of this machine: a stop must not need a running API.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer

from watchfloor_core.clock import MICROSECONDS, to_iso
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.switches import parse_scope
from watchfloor_service.access.operator_token import local_principal
from watchfloor_service.commands.outcome import ExitCode, answering, console, fail, print_empty, print_json, print_table
from watchfloor_service.commands.place import JsonOption, TenantOption, at
from watchfloor_workflows.authority.freezes import lift as lift_freezes
from watchfloor_workflows.authority.freezes import list_freezes
from watchfloor_workflows.authority.kill_drill import drill as run_drill
from watchfloor_workflows.authority.kill_drill import drill_scope
from watchfloor_workflows.authority.kill_switch import engage as throw
from watchfloor_workflows.authority.kill_switch import list_switches
from watchfloor_workflows.authority.kill_switch import release as let_go
from watchfloor_workflows.authority.stillness import StillReport, wait_until_still

app = typer.Typer(no_args_is_help=True, help="Stop what acts, and let it go again.")

WAIT_S: Final = 30.0

ScopeArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCOPE",
        help="all, tenant:NAME, function:NAME, action:CLASS, tool:NAME, agent:NAME, or e.g. tenant:NAME/action:CLASS.",
    ),
]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; kept in the ledger.")]
Wait = Annotated[float, typer.Option("--wait", min=0, max=3600, help="Seconds to wait until nothing acts any more.")]


@app.command()
def engage(
    scope: ScopeArgument, reason: Reason, wait: Wait = WAIT_S, tenant: TenantOption = None, as_json: JsonOption = False
) -> None:
    """Stop a scope, and wait until nothing in it acts; exit code 1 where that cannot be confirmed."""
    with answering(), at(tenant) as place:
        thrown = throw(place.store, place.tenant, scope, _operator(), reason)
        report = wait_until_still(place.store, scope, wait)
    if as_json:
        print_json({**asdict(thrown), **_shown(report)})
    else:
        console().print(f"{scope} is stopped (epoch {thrown.epoch}); what was granted in it before is dead.")
    if not report.is_still:
        fail(f"not confirmed still after {_ms(report.waited_us)}: {report.text}", ExitCode.NO)
    if not as_json:
        console().print(f"Nothing in it is acting, confirmed after {_ms(report.waited_us)}.")


@app.command()
def release(scope: ScopeArgument, reason: Reason, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Let a scope act again. What was granted before stays dead and is proposed anew."""
    with answering(), at(tenant) as place:
        released = let_go(place.store, place.tenant, scope, _operator(), reason)
    if as_json:
        print_json(released)
    else:
        console().print(f"{scope} is let go (epoch {released.epoch}); propose anew what waited or was granted before.")


@app.command()
def status(tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Show every switch that was ever thrown, and what is frozen after an unknown outcome."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            switches = list_switches(connection)
            frozen = list_freezes(connection, place.tenant)
        if as_json:
            print_json({"switches": switches, "freezes": frozen})
            return
        print_table(
            ["scope", "state", "epoch", "by", "since", "reason"],
            [
                [x.scope, "STOPPED" if x.is_engaged else "–", x.epoch, x.changed_by, _when(x.changed_us), x.reason]
                for x in switches
            ],
            right=["epoch"],
            whole=["scope"],
        )
        for one in frozen:
            print_empty(
                f"Tenant {place.tenant}: {one.action_class!r} is frozen since {to_iso(one.since_us)} because of "
                f"{one.proposal_id}. Look at its target, then `watchfloor kill lift {one.action_class!r}`."
            )


@app.command()
def lift(
    action_class: Annotated[str, typer.Argument(metavar="CLASS", help="The frozen action class, e.g. 'deny ip'.")],
    reason: Reason,
    proposal: Annotated[
        list[str] | None, typer.Option("--proposal", help="Only for these, whose targets you looked at.")
    ] = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a freeze, after you have looked at the targets whose outcome was unknown."""
    with answering(), at(tenant) as place:
        lifted = lift_freezes(place.store, place.tenant, action_class, _operator(), reason, proposal_ids=proposal)
    if as_json:
        print_json({"action_class": action_class, "proposals": lifted})
    else:
        console().print(f"{action_class!r} is no longer frozen because of {', '.join(lifted)}.")


@app.command()
def drill(
    scope: Annotated[
        str | None, typer.Option("--scope", help="Stop this in earnest for a moment; default: a scope of drills.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before stopping what is real.")] = False,
    wait: Wait = WAIT_S,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how long stopping takes: stop a scope, wait until it is still, let it go again."""
    with answering(), at(tenant) as place:
        harmless = drill_scope(place.tenant)
        chosen = harmless if scope is None else str(parse_scope(scope))
        if chosen != harmless and not yes:
            typer.confirm(f"Stop {chosen} in earnest? What is granted in it now dies.", abort=True, err=True)
        found = run_drill(place.store, place.tenant, chosen, _operator(), wait)
    if as_json:
        print_json(
            {
                "scope": found.scope,
                "durable_ms": found.durable_us / 1_000,
                "still_ms": found.still_us / 1_000,
                "released_epoch": found.released_epoch,
                **_shown(found.still),
            }
        )
    else:
        console().print(f"{chosen}: durable after {_ms(found.durable_us)}, still after {_ms(found.still_us)}; let go.")
    if not found.still.is_still:
        fail(f"not confirmed still: {found.still.text}", ExitCode.NO)


def _operator() -> Principal:
    return Principal(local_principal(), PrincipalKind.PERSON)


def _shown(report: StillReport) -> dict[str, object]:
    return {
        "is_still": report.is_still,
        "waited_ms": report.waited_us / 1_000,
        "deciding": report.deciding,
        "acting": report.acting,
        "unknown": report.unknown,
    }


def _ms(us: int) -> str:
    return f"{us / 1_000:,.1f} ms" if us < MICROSECONDS else f"{us / MICROSECONDS:,.1f} s"


def _when(us: int) -> str | None:
    return to_iso(us)[:19] + "Z" if us else None
