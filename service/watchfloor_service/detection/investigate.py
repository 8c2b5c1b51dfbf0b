"""``watchfloor investigate``: from log files and rules to incidents, each with a report.

Everything is done by the same stack as live work, in a data directory below the output folder, and in a tenant in which
nothing is closed by an agent and no action is proposed.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import yaml
from rich import box
from rich.text import Text

from watchfloor_agents.investigation.export.stix import report_bundle
from watchfloor_connectors.context.config import FILE as CONTEXT_FILE
from watchfloor_connectors.context.config import DirectoryModel, SourceModel, load_context_settings
from watchfloor_core.report import Report
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.commands.outcome import console
from watchfloor_service.commands.place import command
from watchfloor_service.detection.detect import Detected, DetectRequest, detect, print_detected
from watchfloor_service.fitted_table import FittedTable
from watchfloor_service.incidents.reports import StoredReport, list_reports, page_of
from watchfloor_service.runs.export import replacing
from watchfloor_service.runs.pipeline import done_before, some_stack, work_off
from watchfloor_service.runs.plan import Plan, RunRequest, plan_run, tell_left_out
from watchfloor_service.runs.progress import progress_for
from watchfloor_service.runs.run import DONE, INTERRUPTED, PARTIAL
from watchfloor_service.supervision.interruption import run_interruptibly

TENANT: Final = "case-"
"""How names of these tenants begin; the default matrix has a row for them."""
REPORT_FOLDER: Final = "reports"
DATA_FOLDER: Final = "data"
LOGS_FILE: Final = "logs.yaml"
SOURCE: Final = "files"
"""What the log source is called in evidence."""
SHOW_EVIDENCE: Final = "evidence show ID"


@dataclass(frozen=True, slots=True)
class InvestigateRequest:
    detect: DetectRequest
    inventory: Path | None = None
    autonomy: Path | None = None
    context: Path | None = None
    """A ``context.yaml``; its sources count for this case, whatever tenants they name."""


def investigate(settings: Settings, request: InvestigateRequest, out: Path, *, is_quiet: bool) -> int:
    """Carry it out and print what came of it; the exit code.

    0: done. 1: done, and some of the logs, or all, could not be read. 130: interrupted; the same command goes on.
    """
    if request.context is not None:
        # Told before the work, not after it.
        load_context_settings(request.context, is_required=True)
    found = detect(request.detect, out, is_quiet=is_quiet)
    print_detected(found)
    if found.matched == found.set_aside:
        if found.events:
            matched = "What rules matched is set aside" if found.matched else "No rule matched"
            console().print(f"{matched}, so there is nothing to investigate.")
        return PARTIAL if found.unreadable_total or not found.events else DONE
    settings = _settings(settings, request, out)
    plan = _plan(settings, request, found)
    tell_left_out(plan)
    progress = progress_for(sys.stderr, is_quiet=is_quiet)

    async def carry_out() -> bool:
        with progress:
            async with some_stack(settings, "investigate", plan, progress.note) as stack:
                await work_off(settings, plan, stack, progress)
        return True

    if done_before(settings, plan) is None and not run_interruptibly(carry_out()):
        print("Interrupted. What was read is kept; run the same command again to go on.", file=sys.stderr)
        return INTERRUPTED
    store = open_store(settings.store_url)
    try:
        reports = _write_reports(store, plan.tenant, out / REPORT_FOLDER, command(settings, plan.tenant, SHOW_EVIDENCE))
    finally:
        store.close()
    _print_reports(reports, out, settings, plan.tenant)
    return PARTIAL if found.unreadable_total or plan.unreadable else DONE


def _settings(settings: Settings, request: InvestigateRequest, out: Path) -> Settings:
    data = out.absolute() / DATA_FOLDER
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    logs = data / LOGS_FILE
    source = {
        "name": SOURCE,
        "kind": "files",
        "tenants": [_tenant(request)],
        "paths": [str(path.absolute()) for path in request.detect.logs],
    }
    with replacing(logs) as file:
        file.write(yaml.safe_dump({"sources": [source]}, allow_unicode=True).encode())
    values: dict[str, object] = {"data_dir": data, "logs_file": logs, "database_url": None, "temporal_address": None}
    if request.context is not None:
        values["context_file"] = case_context_file(request.context, _tenant(request), data)
    if request.autonomy is not None:
        values["autonomy_file"] = request.autonomy
    return settings.model_copy(update=values)


def case_context_file(path: Path, tenant: str, data: Path) -> Path:
    """The file again, for the case's tenant. Raises `ConfigurationError` with what is wrong in the one given."""
    settings = load_context_settings(path, is_required=True)
    sources = [_for_case(one, settings.folder, tenant) for one in settings.sources]
    copy = data / CONTEXT_FILE
    with replacing(copy) as file:
        file.write(yaml.safe_dump({"sources": sources}, allow_unicode=True).encode())
    return copy


def _for_case(source: SourceModel, folder: Path, tenant: str) -> dict[str, object]:
    """Files are named from the root: the copy lies in another folder."""
    entry: dict[str, object] = source.model_dump(mode="json", exclude_none=True, by_alias=True)
    for key in ("paths", "warning_lists"):
        if key in entry:
            entry[key] = [str(folder / each) for each in getattr(source, key)]
    if isinstance(source, DirectoryModel) and source.ca_file is not None:
        entry["ca_file"] = str(folder / source.ca_file)
    return entry | {"tenants": [tenant]}


def _plan(settings: Settings, request: InvestigateRequest, found: Detected) -> Plan:
    run = RunRequest((found.alerts,), tenant=_tenant(request), connector="sigma", inventory=request.inventory)
    return plan_run(settings, run)


def _tenant(request: InvestigateRequest) -> str:
    """The same logs, rules and levels are the same case: a second run goes on with it."""
    paths = (*request.detect.logs, *request.detect.rules, *request.detect.filters)
    names = [str(path.absolute()) for path in paths]
    digest = hashlib.sha256("\n".join([*names, request.detect.level]).encode()).hexdigest()
    return f"{TENANT}{digest[:12]}"


def _write_reports(store: Store, tenant: str, folder: Path, show: str) -> list[StoredReport]:
    folder.mkdir(parents=True, exist_ok=True)
    with store.read() as connection:
        reports = list_reports(connection, tenant)
        for one in reports:
            if one.report is None:
                continue
            stem = folder / one.incident_id
            for suffix, content in (
                (".md", page_of(connection, tenant, one.report, show=show).encode()),
                (".json", orjson.dumps(orjson.loads(one.content or "{}"), option=orjson.OPT_INDENT_2)),
                (".stix.json", report_bundle(one.report).encode()),
            ):
                with replacing(stem.with_name(stem.name + suffix)) as file:
                    file.write(content)
    return reports


def _print_reports(reports: Sequence[StoredReport], out: Path, settings: Settings, tenant: str) -> None:
    page = console()
    if not reports:
        page.print("No incident came of it: every match repeats one that was decided on.")
        return
    page.print(report_table(reports))
    page.print(f"reports: {out / REPORT_FOLDER}", soft_wrap=True)
    page.print(f"look next: {command(settings, tenant, 'incident report ID')}", soft_wrap=True)
    page.print(f"           {command(settings, tenant, SHOW_EVIDENCE)}", soft_wrap=True)


def report_table(reports: Sequence[StoredReport]) -> FittedTable:
    """One row an incident. However narrow the terminal, ids stay whole: the next command needs them."""
    rows = [
        [
            Text(one.incident_id),
            Text(escape_untrusted(one.report.verdict.value if one.report else (one.problem or one.status))),
            Text(f"{one.report.probability:.2f}" if one.report else ""),
            Text(f"{one.alerts:,}"),
            Text(", ".join(claim.technique for claim in one.report.techniques[:6]) if one.report else ""),
            Text(escape_untrusted(one.title)),
        ]
        for one in sorted(reports, key=_likeliest_first)
    ]
    return FittedTable(
        ["incident", "verdict", "attack", "alerts", "ATT&CK", "what"],
        rows,
        right=["attack", "alerts"],
        box=box.SIMPLE_HEAD,
        title="Incidents, the likeliest attacks first",
    )


def _likeliest_first(one: StoredReport) -> tuple[float, int, str]:
    report: Report | None = one.report
    return -(report.probability if report else -1.0), -one.alerts, one.incident_id
