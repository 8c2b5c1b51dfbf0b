"""``watchfloor run``: files in, verdicts out, with or without a running stack."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.commands.outcome import console
from watchfloor_service.invocation import called_as
from watchfloor_service.runs.export import INCIDENTS_FILE, alert_files, make_folder, write_alerts, write_incidents
from watchfloor_service.runs.input_file import UnreadableFile
from watchfloor_service.runs.pipeline import Outcome, done_before, some_stack, work_off
from watchfloor_service.runs.plan import Plan, RunRequest, plan_run, tell_left_out
from watchfloor_service.runs.progress import Progress, progress_for
from watchfloor_service.runs.summary import Summary, summarise, summary_table
from watchfloor_service.supervision.interruption import run_interruptibly

__all__ = ["RunRequest", "run_files"]

DONE: Final = 0
PARTIAL: Final = 1
INTERRUPTED: Final = 130
"""128 and SIGINT, as shells count."""


@dataclass(frozen=True, slots=True)
class _Result:
    summary: Summary
    files: tuple[Path, ...]


def run_files(settings: Settings, request: RunRequest, out: Path, *, is_quiet: bool) -> int:
    """Carry the request out and print what came of it; the exit code.

    0: all done. 1: some file could not be read, the others are done. 130: interrupted; the same command goes on.
    """
    plan = plan_run(settings, request)
    make_folder(out)
    progress = progress_for(sys.stderr, is_quiet=is_quiet)
    for unreadable in plan.unreadable:
        _complain(unreadable)
    for path in plan.repeated:
        print(f"{path}: the same content as a file before it; read once", file=sys.stderr)
    tell_left_out(plan)
    outcome = done_before(settings, plan) or run_interruptibly(_carry_out(settings, plan, progress))
    if outcome is None:
        print("Interrupted. What was read is kept; run the same command again to go on.", file=sys.stderr)
        return INTERRUPTED
    store = open_store(settings.store_url)
    try:
        result = _write_files(store, plan, out)
    finally:
        store.close()
    unreadable_files = (*plan.unreadable, *outcome.unreadable)
    _print_result(settings, plan, outcome, result)
    for unreadable in outcome.unreadable:
        _complain(unreadable)
    if unreadable_files:
        names = ", ".join(str(one.path) for one in unreadable_files)
        print(f"Not read: {names}. Everything else is done.", file=sys.stderr)
        return PARTIAL
    return DONE


async def _carry_out(settings: Settings, plan: Plan, progress: Progress) -> Outcome:
    with progress:
        async with some_stack(settings, "run", plan, progress.note) as stack:
            return await work_off(settings, plan, stack, progress)


def _write_files(store: Store, plan: Plan, out: Path) -> _Result:
    """All from one snapshot."""
    files = [planned.file for planned in plan.files]
    paths = alert_files(out, [file.stem for file in files])
    incidents = out / INCIDENTS_FILE
    with store.read() as connection:
        for file, path in zip(files, paths, strict=True):
            write_alerts(connection, plan.tenant, file.source_id, path)
        write_incidents(connection, plan.tenant, incidents)
        return _Result(summarise(connection, plan.tenant), (*paths, incidents))


def _print_result(settings: Settings, plan: Plan, outcome: Outcome, result: _Result) -> None:
    out = console()
    rate = outcome.alerts / outcome.seconds if outcome.alerts and outcome.seconds else None
    out.print(summary_table(result.summary, title=f"tenant {plan.tenant}", seconds=outcome.seconds, rate=rate))
    skipped = sum(reading.skipped for reading in outcome.readings)
    if skipped:
        out.print(f"{skipped:,} of the records had been taken in by an earlier run.")
    if skipped == result.summary.records:
        out.print("What it decided stands, by the matrix of its time; give a --tenant of its own to do it anew.")
    for path in result.files:
        out.print(f"written: {path}", soft_wrap=True)
    for line in where_next(settings, plan.tenant, result.summary):
        out.print(line, soft_wrap=True)


def where_next(settings: Settings, tenant: str, summary: Summary) -> list[str]:
    """The commands that show more."""
    prefix = command_prefix(settings)
    lines = [f"look next: {prefix} incident queue --tenant {tenant}"]
    if summary.dead_letters:
        lines.append(f"           {prefix} deadletter list --tenant {tenant}")
    return lines


def command_prefix(settings: Settings) -> str:
    """How a command begins that is to work on the same data directory."""
    given = "data_dir" in settings.model_fields_set
    program = called_as()
    return f"{program} --data-dir {shlex.quote(str(settings.data_dir))}" if given else program


def _complain(unreadable: UnreadableFile) -> None:
    print(f"{unreadable.path}: {escape_untrusted(unreadable.reason)}", file=sys.stderr)
