"""``watchfloor playbook plan|run|runs|show|stop|rollback|tasks|answer``: playbooks at work.

Planning and looking read the store; everything else goes through the API of the running stack.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import typer

from watchfloor_connectors.targets.registry import ActionTargets
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, NotFoundError
from watchfloor_core.ports import Json
from watchfloor_guardrails.decision import Principal
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.running.lowering import unsupported
from watchfloor_playbooks.running.planning import plan
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import ActionWork, RunStatus
from watchfloor_service.commands.outcome import answering, console, print_empty, print_json
from watchfloor_service.commands.person import TokenOption, whoever
from watchfloor_service.commands.place import JsonOption, Place, TenantOption, at, command
from watchfloor_service.commands.playbook_files import read_playbook
from watchfloor_service.commands.playbook_run_page import (
    Forecast,
    empty_lines,
    plan_lines,
    print_run,
    print_runs,
    print_tasks,
)
from watchfloor_service.playbooks.asking import left_empty, proposer_for, values_for
from watchfloor_service.playbooks.views import MAX_PAGE, list_runs, list_tasks, load_run
from watchfloor_workflows.playbooks.previewing import preview
from watchfloor_workflows.playbooks.shelf import FolderShelf
from watchfloor_workflows.playbooks.starting import Shelved, not_valid_now, why_not_now, with_incident
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.standing import read_incident

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="pbr-…, as `playbook runs` shows it.")]
WhichArgument = Annotated[
    str, typer.Argument(metavar="PLAYBOOK", help="A file, or the id or the name of one that is loaded here.")
]
IncidentOption = Annotated[str, typer.Option("--incident", "-i", help="The incident that it is for.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", help="NAME=VALUE of a variable, with or without its underscores; may be given again."),
]
ReasonOption = Annotated[str, typer.Option("--reason", "-m", help="Why, in your words; kept in the ledger.")]
_LONGEST: Final = 20


def add_to(app: typer.Typer) -> None:
    """Register the commands of this module."""
    app.command("plan")(plan_)
    app.command()(run)
    app.command("start")(start_picked_)
    app.command()(runs)
    app.command()(show)
    app.command()(stop)
    app.command()(rollback)
    app.command()(tasks)
    app.command()(answer)


def plan_(
    which: WhichArgument,
    incident: Annotated[
        str | None, typer.Option("--incident", "-i", help="The incident that it would be for; none: no rulings.")
    ] = None,
    values: SetOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell every effect of a playbook with the ruling that it would get now. Nothing is proposed and nothing runs."""
    with answering():
        said, empty = _values(values or []), dict[str, tuple[str, ...]]()
        if incident is None:
            forecasts, problems = _outline(which, said, tenant)
        else:
            with at(tenant) as place:
                shelved = _find(place, which)
                forecasts, problems = _forecast(place, shelved, incident, said)
                empty = _left_empty(place, shelved, incident, said)
        if as_json:
            work = [one.as_json() for one in forecasts]
            print_json({"work": work, "left_empty": empty, "problems": problems})
        else:
            for line in (*plan_lines(forecasts), *empty_lines(empty)):
                console().print(line, soft_wrap=True, markup=False, highlight=False)
            for problem in problems:
                print_empty(f"It cannot be run: {problem}")
        if problems:
            raise typer.Exit(1)


def _outline(which: str, said: dict[str, str], tenant: str | None) -> tuple[list[Forecast], list[str]]:
    """What it would do for any incident; a file needs no store for that."""
    file = Path(which)
    if _is_file(file):
        playbook = load(read_playbook(file), str(file))
    else:
        with at(tenant) as place:
            playbook = FolderShelf(place.settings, place.store).named(which).playbook
    given = {name: Held(value) for name, value in said.items()}
    problems = [*unsupported(playbook), *not_valid_now(playbook, now_us())]
    return [Forecast(one, None, one.problem) for one in plan(playbook, given)], problems


def _forecast(place: Place, shelved: Shelved, incident: str, said: dict[str, str]) -> tuple[list[Forecast], list[str]]:
    playbook = shelved.playbook
    me = whoever(place, None)
    by = Principal(me.caller.principal, me.caller.kind)
    tools, policy = ActionTargets.load(place.settings), PolicyFile(place.settings, place.store).current()
    proposer = proposer_for(playbook, by)
    found = []
    with place.store.read() as connection:
        read_incident(connection, place.tenant, incident)
        given = values_for(connection, by, place.tenant, incident, playbook, said)
        filled = with_incident(playbook, given, incident)
        problems = why_not_now(playbook, filled)
        for planned in plan(playbook, filled):
            seen = None
            problem = planned.problem
            if isinstance(planned.work, ActionWork):
                try:
                    seen = preview(connection, place.tenant, incident, planned.work, proposer, policy, tools)
                except NotFoundError as error:
                    problem = str(error)
            found.append(Forecast(planned, seen, problem))
    return found, problems


def _is_file(path: Path) -> bool:
    return path.suffix.lower() in (".json", ".yaml", ".yml") or path.is_file()


def run(
    which: WhichArgument,
    incident: IncidentOption,
    reason: ReasonOption,
    values: SetOption = None,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a playbook for an incident. You approve nothing of what it proposes."""
    with answering(), at(tenant) as place:
        playbook, said = _on_shelf(place, which), _values(values or [])
        body: dict[str, Json] = {
            "incident_id": incident,
            "playbook_id": playbook.playbook.id,
            "values": dict(said),
            "reason": reason,
        }
        told = whoever(place, token_file).api().post("/v1/playbook-runs", body)
        _started(place, told, "Started", as_json=as_json)
        if not as_json:
            for line in empty_lines(_left_empty(place, playbook, incident, said)):
                console().print(line, soft_wrap=True, markup=False, highlight=False)


def start_picked_(
    run_id: RunArgument,
    values: SetOption = None,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start a run that the response agent has picked and filled. You approve nothing of what it proposes."""
    with answering(), at(tenant) as place:
        body: dict[str, Json] = {"values": dict(_values(values or []))}
        told = whoever(place, token_file).api().post(f"{_path(run_id)}/start", body)
        _started(place, told, "Started", as_json=as_json)


def runs(
    incident: Annotated[str | None, typer.Option("--incident", "-i", help="Of this incident only.")] = None,
    status: Annotated[list[RunStatus] | None, typer.Option(help="Several may be given; none: all.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_PAGE)] = _LONGEST,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs of playbooks, the newest first."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = list_runs(connection, place.tenant, incident_id=incident, statuses=status or (), limit=limit)
        if as_json:
            print_json({"runs": found})
        elif found:
            print_runs(found)
        else:
            print_empty(f"Tenant {place.tenant} has no such run; `watchfloor playbook run` starts one.")


def show(run_id: RunArgument, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Show a run: what it waits for, every step, and what it did."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = load_run(connection, place.tenant, run_id)
        if as_json:
            print_json(found)
        else:
            print_run(found, lambda words: command(place.settings, place.tenant, words))


def stop(
    run_id: RunArgument,
    reason: ReasonOption,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a run: nothing of it is waited for any more. What it did stays, until it is taken back."""
    with answering(), at(tenant) as place:
        told = whoever(place, token_file).api().post(f"{_path(run_id)}/stop", {"reason": reason})
        _started(place, told, "Stopping", as_json=as_json)


def rollback(
    run_id: RunArgument,
    reason: ReasonOption,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a run back: what it did is undone in reverse order, each undo a proposal of its own."""
    with answering(), at(tenant) as place:
        told = whoever(place, token_file).api().post(f"{_path(run_id)}/rollback", {"reason": reason})
        _started(place, told, "Taken back by", as_json=as_json)


def tasks(tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """List what playbooks ask people to do, the oldest first."""
    with answering(), at(tenant) as place:
        with place.store.read() as connection:
            found = list_tasks(connection, place.tenant)
        if as_json:
            print_json({"tasks": found})
        elif found:
            print_tasks(found, lambda words: command(place.settings, place.tenant, words))
        else:
            print_empty(f"No playbook of tenant {place.tenant} asks anything of people now.")


def answer(
    run_id: RunArgument,
    key: Annotated[str, typer.Argument(metavar="TASK", help="As `playbook tasks` shows it, e.g. w0.")],
    values: SetOption = None,
    comment: Annotated[str, typer.Option("--comment", "-m", help="What you did or found.")] = "",
    is_failed: Annotated[bool, typer.Option("--failed", help="It could not be done: the step fails.")] = False,
    token_file: TokenOption = None,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a task is done, with the values that it asks for; the run goes on."""
    with answering(), at(tenant) as place:
        body: dict[str, Json] = {"is_done": not is_failed, "values": dict(_values(values or [])), "comment": comment}
        path = f"/v1/playbook-tasks/{quote(run_id, safe='')}/{quote(key, safe='')}"
        told = whoever(place, token_file).api().post(path, body)
        _started(place, told, "Answered in", as_json=as_json)


def _left_empty(place: Place, shelved: Shelved, incident: str, said: dict[str, str]) -> dict[str, tuple[str, ...]]:
    with place.store.read() as connection:
        return left_empty(connection, place.tenant, incident, shelved.playbook, said)


def _find(place: Place, which: str) -> Shelved:
    """A file, or what is loaded here."""
    file = Path(which)
    if _is_file(file):
        return Shelved(load(read_playbook(file), str(file)))
    return FolderShelf(place.settings, place.store).named(which)


def _on_shelf(place: Place, which: str) -> Shelved:
    """What is loaded here; a file that lies elsewhere is not."""
    shelf = FolderShelf(place.settings, place.store)
    try:
        return shelf.named(which)
    except NotFoundError as error:
        file = Path(which)
        if not file.is_file():
            raise
        raise NotFoundError(
            f"{which!r} is a file, and only what lies in {str(shelf.folder)!r} is run; copy it there, and run "
            f"{file.stem!r}"
        ) from error


def _values(given: list[str]) -> dict[str, str]:
    found = {}
    for one in given:
        name, separator, value = one.partition("=")
        if not separator or not name.strip("_"):
            raise ConfigurationError(f"--set {json.dumps(one)[:80]}: NAME=VALUE is expected")
        found[name if name.startswith("__") else f"__{name}__"] = value
    return found


def _started(place: Place, told: Json, verb: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
        return
    run_id = told["run_id"] if isinstance(told, dict) else ""
    look = command(place.settings, place.tenant, f"playbook show {run_id}")
    console().print(f"{verb} {run_id}; `{look}` says what becomes of it.", soft_wrap=True)


def _path(run_id: str) -> str:
    return f"/v1/playbook-runs/{quote(run_id, safe='')}"
