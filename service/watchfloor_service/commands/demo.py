"""``watchfloor demo``: the scenario that ships, through the whole stack, and what came of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.text import Text

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_service.commands.outcome import console
from watchfloor_service.demo.scenario import inventory_file, scenario_files
from watchfloor_service.fitted_table import FittedTable
from watchfloor_service.runs.highlights import ClosingReason, WaitingIncident, closing_reasons, waiting_incidents
from watchfloor_service.runs.pipeline import (
    Outcome,
    check_fits,
    done_before,
    lasting_stack,
    open_sources,
    some_stack,
    work_off,
)
from watchfloor_service.runs.plan import Plan, RunRequest, plan_run
from watchfloor_service.runs.progress import progress_for
from watchfloor_service.runs.proposed import proposed_table, until_ruled
from watchfloor_service.runs.run import DONE, INTERRUPTED, command_prefix, where_next
from watchfloor_service.runs.summary import Summary, summarise, summary_table
from watchfloor_service.supervision.interruption import run_interruptibly
from watchfloor_service.supervision.listening import LOOPBACK, why_not_free
from watchfloor_service.supervision.running import RunningStack
from watchfloor_service.supervision.stack import embedded_stack
from watchfloor_service.up import describe, tell
from watchfloor_workflows.authority.records import StoredProposal, list_proposals

TENANT: Final = "demo"
TEXT_CHARACTERS: Final = 160


@dataclass(frozen=True, slots=True)
class _Story:
    summary: Summary
    closed: list[ClosingReason]
    waiting: list[WaitingIncident]
    proposed: list[StoredProposal]


def play(settings: Settings, *, is_once: bool) -> int:
    """Play it and print the result; without ``is_once`` the stack stays up until a signal. The exit code."""
    request = RunRequest(scenario_files(), tenant=TENANT, inventory=inventory_file())
    plan = plan_run(settings, request)
    if is_once and (outcome := done_before(settings, plan)) is not None:
        _tell_story(settings, plan, outcome)
        return DONE
    has_told = run_interruptibly(_play(settings, plan, is_once=is_once))
    if has_told is None:
        if is_once:
            print("Interrupted. Run the same command again to go on.", file=sys.stderr)
            return INTERRUPTED
        print("Stopped.")
    return DONE


async def _play(settings: Settings, plan: Plan, *, is_once: bool) -> bool:
    progress = progress_for(sys.stderr, is_quiet=False)
    async with _demo_stack(settings, plan, progress.note, is_once=is_once) as (stack, is_ours):
        with progress:
            outcome = await work_off(settings, plan, stack, progress)
            await asyncio.to_thread(until_ruled, settings, plan.tenant)
        await asyncio.to_thread(_tell_story, settings, plan, outcome)
        if stack.api_url is not None:
            print(describe(stack, settings))
        if is_ours and not is_once:
            print("Ctrl-C stops it.", flush=True)
            await asyncio.Event().wait()
    return True


@asynccontextmanager
async def _demo_stack(
    settings: Settings, plan: Plan, note: Callable[[str], None], *, is_once: bool
) -> AsyncIterator[tuple[RunningStack, bool]]:
    """The stack, and whether it is this command's to keep up."""
    if is_once:
        async with some_stack(settings, "demo --once", plan, note, has_executor=True) as stack:
            yield stack, True
        return
    running = await lasting_stack(settings)
    if running is not None:
        check_fits(settings, running)
        await asyncio.to_thread(open_sources, settings, plan)
        yield running, False
        return
    async with embedded_stack(
        _with_any_ports(settings), "demo", has_api=True, tell=tell, prepare=lambda: open_sources(settings, plan)
    ) as stack:
        yield stack, True


def _with_any_ports(settings: Settings) -> Settings:
    """A demonstration takes other ports where the usual ones are taken; the ones in use are printed."""
    taken = {
        name: 0
        for name, host in {"api_port": settings.api_host, "temporal_port": LOOPBACK}.items()
        if name not in settings.model_fields_set and why_not_free(host, getattr(settings, name)) is not None
    }
    return settings.model_copy(update=taken)


def _tell_story(settings: Settings, plan: Plan, outcome: Outcome) -> None:
    store = open_store(settings.store_url)
    try:
        with store.read() as connection:
            story = _Story(
                summarise(connection, plan.tenant),
                closing_reasons(connection, plan.tenant),
                waiting_incidents(connection, plan.tenant),
                list_proposals(connection, plan.tenant, statuses=[ProposalStatus.WAITING]),
            )
    finally:
        store.close()
    out = console()
    if not outcome.alerts:
        out.print("The scenario is already here from an earlier run; nothing was taken in twice.")
    rate = outcome.alerts / outcome.seconds if outcome.alerts else None
    out.print(summary_table(story.summary, title="What came in", seconds=outcome.seconds, rate=rate))
    if story.closed:
        out.print(_closed_table(story.closed))
    out.print(_waiting_table(story.waiting) if story.waiting else "Nothing waits for a person.")
    more = story.summary.escalated + story.summary.waiting - len(story.waiting)
    if more:
        out.print(f"and {more:,} more, less likely to be an attack")
    if story.waiting:
        shown = f"incident show {story.waiting[0].incident_id} --trace --tenant {plan.tenant}"
        out.print(f"look first: {command_prefix(settings)} {shown}", soft_wrap=True)
        report = f"incident report {story.waiting[0].incident_id} --tenant {plan.tenant}"
        out.print(f"            {command_prefix(settings)} {report}", soft_wrap=True)
    if story.proposed:
        out.print(proposed_table(story.proposed))
        prefix = command_prefix(settings)
        out.print(f"decide:     {prefix} approvals show {story.proposed[0].id} --tenant {plan.tenant}", soft_wrap=True)
        out.print(
            f"            (while `{prefix} up` runs, or this without --once; `{prefix} keys new` makes a key to sign)",
            soft_wrap=True,
        )
    for line in where_next(settings, plan.tenant, story.summary):
        out.print(line, soft_wrap=True)


def _closed_table(closed: list[ClosingReason]) -> FittedTable:
    counted = ["incidents", "alerts"]
    rows = [
        [Text(f"{one.incidents:,}"), Text(f"{one.alerts:,}"), Text(one.code), _shown(one.example)] for one in closed
    ]
    title = "What the agent closed, by its strongest reason"
    return FittedTable([*counted, "reason", "for example"], rows, right=counted, box=box.SIMPLE, title=title)


def _waiting_table(waiting: list[WaitingIncident]) -> FittedTable:
    rows = []
    for one in waiting:
        likely = "–" if one.probability is None else f"{one.probability:.0%}"
        what = Text("\n").join([_shown(one.title), *([_shown(one.reason, "dim")] if one.reason else [])])
        rows.append([Text(one.incident_id), Text(one.status), Text(likely), Text(f"{one.alerts:,}"), what])
    counted = ["attack?", "alerts"]
    headers = ["incident", "status", *counted, "what, and the strongest reason"]
    return FittedTable(headers, rows, right=counted, box=box.SIMPLE, title="What waits for a person")


def _shown(text: str, style: str = "") -> Text:
    """Titles and reasons may quote what an attacker wrote."""
    cut = text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"
    return Text(escape_untrusted(cut), style)
