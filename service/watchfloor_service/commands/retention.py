"""``watchfloor retention``: delete what the settings no longer keep."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from watchfloor_core.settings import Settings
from watchfloor_core.store.retention import RetentionPolicy, apply_retention
from watchfloor_core.store.sources import list_tenants
from watchfloor_service.commands.outcome import answering, console, print_json, print_table
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at
from watchfloor_service.retention_preview import preview_retention

app = typer.Typer(no_args_is_help=True, help="Delete what the settings no longer keep.")


@app.callback()
def group() -> None:
    """Delete what the settings no longer keep; the ledger is never touched."""


@app.command()
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what could go; delete nothing.")] = False,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Every tenant of the store.")] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Delete what is older than retention_raw_days, retention_alert_days and retention_span_days say."""
    with answering(), at(tenant) as place:
        policy = policy_of(place.settings)
        counts = {
            name: asdict(
                preview_retention(place.store, name, policy) if dry_run else apply_retention(place.store, name, policy)
            )
            for name in (_tenants(place) if all_tenants else [place.tenant])
        }
        if as_json:
            print_json({"dry_run": dry_run, "policy": asdict(policy), "tenants": counts})
            return
        rows = [[name, kind, f"{n:,}"] for name, kinds in counts.items() for kind, n in kinds.items() if n]
        if not rows:
            console().print(f"Nothing is old enough to go ({_described(policy)}).")
            return
        print_table(["tenant", "what", "at most" if dry_run else "deleted"], rows, right=["at most", "deleted"])
        if dry_run:
            console().print("Nothing was deleted. What an open incident rests on stays in any case.")


def policy_of(settings: Settings) -> RetentionPolicy:
    return RetentionPolicy(
        raw_days=settings.retention_raw_days,
        alert_days=settings.retention_alert_days,
        span_days=settings.retention_span_days,
    )


def _tenants(place: Place) -> list[str]:
    with place.store.read() as connection:
        return list_tenants(connection)


def _described(policy: RetentionPolicy) -> str:
    days = {"original bytes": policy.raw_days, "alerts": policy.alert_days, "spans": policy.span_days}
    return ", ".join(f"{what} {f'{n} days' if n else 'for ever'}" for what, n in days.items())
