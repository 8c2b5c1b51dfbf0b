"""The command ``watchfloor``. Nothing here imports more than the sub-command that runs."""

from __future__ import annotations

import importlib
import sys
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

from watchfloor_core.errors import WatchfloorError
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.invocation import CURRENT, Invocation

STARTED: Final = time.monotonic()
"""When this command began, to say how long it took."""
USAGE: Final = 2
UNEXPECTED: Final = 70
"""EX_SOFTWARE of sysexits.h."""

GROUPS: Final = {
    "incident": "List, show, decide, merge and split incidents.",
    "evidence": "Show the evidence that findings cite.",
    "labels": "Write what people said of incidents, to learn from and to measure agents by.",
    "alert": "Look at alerts: why one counts as a duplicate, and undo it.",
    "deadletter": "List malformed records and drive them in again.",
    "autonomy": "Show who decides what, and explain one incident's ruling.",
    "policy": "Write, check, sign and put in force the operator's policy.",
    "playbook": "Write, check, test, sign, exchange and run CACAO v2.0 playbooks.",
    "approvals": "See what waits for a decision; approve or deny it.",
    "action": "See what was done; propose, undo and edit actions.",
    "keys": "Make keys to approve with; list and rotate those of this installation.",
    "kill": "Stop what acts, and let it go again.",
    "ledger": "Verify and export the ledger.",
    "account": "Manage people's accounts and their roles.",
    "token": "Make and revoke tokens for the API.",
    "retention": "Delete what the settings no longer keep.",
}
"""Sub-commands in modules of their own, ``commands/<name>.py``, each imported only when it runs."""


class Severity(StrEnum):
    """Levels of Sigma rules."""

    INFORMATIONAL = "informational"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class LazyGroup(TyperGroup):
    """Shows the groups of the table above, and imports the one that is called."""

    def __init__(self, **attributes: Any) -> None:  # Any: handed through to Typer, which types them
        super().__init__(**attributes)
        for name, text in GROUPS.items():
            self.add_command(TyperCommand(name, help=text))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # Any: Typer keeps the types of both to itself
        name, command, rest = super().resolve_command(ctx, args)
        if name in GROUPS:
            command = get_group(importlib.import_module(f"watchfloor_service.commands.{name}").app)
            command.name = name
        return name, command, rest


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Watchfloor: triage, investigation and response with autonomy that is set, measured and earned.",
)


DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Where the store, Temporal's database, logs and keys are.", show_default=False),
]


@app.callback()
def root(context: typer.Context, data_dir: DataDir = None) -> None:
    """Keep what stands before the sub-command."""
    _remember(context, data_dir)


@app.command()
def up(
    context: typer.Context,
    data_dir: DataDir = None,
    api_host: Annotated[str | None, typer.Option(help="Address on which the API listens.")] = None,
    api_port: Annotated[int | None, typer.Option(help="Its port; 0 takes a free one.")] = None,
    temporal_port: Annotated[
        int | None, typer.Option(help="Port of the embedded Temporal; 0 takes a free one.")
    ] = None,
    autonomy: Annotated[Path | None, typer.Option(help="The autonomy matrix.", dir_okay=False)] = None,
) -> None:
    """Start Temporal, worker, correlator and API here, and keep them running until Ctrl-C."""
    from watchfloor_service.invocation import current_settings
    from watchfloor_service.up import keep_up

    _remember(context, data_dir)
    settings = current_settings(
        api_host=api_host, api_port=api_port, temporal_port=temporal_port, autonomy_file=autonomy
    )
    keep_up(settings, started=STARTED)


@app.command()
def run(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Alert files: CSV, NDJSON or JSON, also .gz and .zst.")],
    out: Annotated[Path, typer.Option(help="Folder for alerts.csv and incidents.ndjson.")] = Path("out"),
    tenant: Annotated[str | None, typer.Option(help="Where the alerts go; default: one of their own.")] = None,
    connector: Annotated[str | None, typer.Option(help="The files' format, where it is not recognised.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="Mapping file that describes the format.")] = None,
    inventory: Annotated[Path | None, typer.Option(help="Asset inventory with criticality tiers.")] = None,
    autonomy: Annotated[Path | None, typer.Option(help="The autonomy matrix.")] = None,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Print the result only.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Take alert files in, triage what is in them, and write the verdict on every record."""
    from watchfloor_service.invocation import current_settings
    from watchfloor_service.runs.run import RunRequest, run_files

    _remember(context, data_dir)
    request = RunRequest(tuple(files), tenant=tenant, connector=connector, mapping=mapping, inventory=inventory)
    raise typer.Exit(run_files(current_settings(autonomy_file=autonomy), request, out, is_quiet=no_progress))


LogPaths = Annotated[
    list[Path],
    typer.Argument(
        help="Log files, folders or archives: EVTX, JSON, CSV, Parquet, Zeek, Suricata, syslog, CloudTrail."
    ),
]
RulePaths = Annotated[
    list[Path], typer.Option("--rules", help="Sigma rules: a file, folder or zip archive. May be given again.")
]
FilterPaths = Annotated[
    list[Path] | None,
    typer.Option("--filters", help="Sigma filters: what rules no longer report. Kept apart, never dropped."),
]
Level = Annotated[Severity, typer.Option("--level", help="The least severe rules that run.")]


@app.command()
def detect(
    logs: LogPaths,
    rules: RulePaths,
    out: Annotated[Path, typer.Option(help="Folder for alerts.ndjson, set-aside.ndjson and rules.csv.")] = Path("out"),
    level: Level = Severity.INFORMATIONAL,
    filters: FilterPaths = None,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Print the result only.")] = False,
) -> None:
    """Run Sigma rules over log files; write what they match as alerts."""
    from watchfloor_service.detection.detect import DetectRequest, detect, print_detected

    found = detect(
        DetectRequest(tuple(logs), tuple(rules), level.value, tuple(filters or ())), out, is_quiet=no_progress
    )
    print_detected(found)
    if found.matched > found.set_aside:
        typer.echo(f"look next: watchfloor run {found.alerts}   (triage)")
        typer.echo("           watchfloor investigate, with the same arguments   (triage and reports)")
    raise typer.Exit(1 if found.unreadable_total or not found.events else 0)


@app.command()
def investigate(
    logs: LogPaths,
    rules: RulePaths,
    out: Annotated[Path, typer.Option(help="Folder for reports, alerts.ndjson, rules.csv and data.")] = Path("out"),
    level: Level = Severity.MEDIUM,
    filters: FilterPaths = None,
    inventory: Annotated[Path | None, typer.Option(help="Asset inventory with criticality tiers.")] = None,
    autonomy: Annotated[Path | None, typer.Option(help="The autonomy matrix.")] = None,
    context: Annotated[Path | None, typer.Option(help="Threat intelligence and runbooks: a context.yaml.")] = None,
    no_progress: Annotated[bool, typer.Option("--no-progress", help="Print the result only.")] = False,
) -> None:
    """Find attacks in log files by Sigma rules, and investigate each incident: a report as Markdown, JSON and STIX."""
    from watchfloor_service.detection.detect import DetectRequest
    from watchfloor_service.detection.investigate import InvestigateRequest, investigate
    from watchfloor_service.invocation import current_settings

    asked = InvestigateRequest(
        DetectRequest(tuple(logs), tuple(rules), level.value, tuple(filters or ())), inventory, autonomy, context
    )
    raise typer.Exit(investigate(current_settings(), asked, out, is_quiet=no_progress))


@app.command()
def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End when the work is done; otherwise stay up.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Play the scenario that ships: two days of a small organisation, and one intrusion in them."""
    from watchfloor_service.commands.demo import play
    from watchfloor_service.invocation import current_settings

    _remember(context, data_dir)
    raise typer.Exit(play(current_settings(), is_once=once))


@app.command()
def doctor(context: typer.Context, data_dir: DataDir = None) -> None:
    """Check this installation, and say what to do about what is wrong."""
    from watchfloor_service.doctor import examine_and_print

    _remember(context, data_dir)
    raise typer.Exit(examine_and_print())


@app.command()
def version() -> None:
    """Print the version."""
    from importlib.metadata import version as installed

    typer.echo(f"watchfloor {installed('watchfloor')}")


def main() -> None:
    """Run the command line; every error ends as one message, none as a trace."""
    try:
        app()
    except WatchfloorError as error:
        for line in str(error).splitlines():
            print(f"watchfloor: {escape_untrusted(line)}", file=sys.stderr)
        sys.exit(USAGE)
    except Exception as error:  # noqa: BLE001 - the process boundary: the trace goes to a file, a hint to the person
        said = escape_untrusted(str(error))[:400]
        print(f"watchfloor: unexpected {type(error).__name__}: {said}", file=sys.stderr)
        print(f"The trace is in {_keep_trace()}; please report it.", file=sys.stderr)
        sys.exit(UNEXPECTED)


def _remember(context: typer.Context, data_dir: Path | None) -> None:
    """``--data-dir`` may stand before or after the sub-command; the later one counts."""
    if data_dir is not None or CURRENT.get(None) is None:
        token = CURRENT.set(Invocation(data_dir))
        context.call_on_close(lambda: CURRENT.reset(token))


def _keep_trace() -> Path:
    import tempfile
    import traceback

    descriptor, name = tempfile.mkstemp(prefix="watchfloor-", suffix=".log")
    with open(descriptor, "w") as file:
        file.write(traceback.format_exc())
    return Path(name)


if __name__ == "__main__":
    main()
