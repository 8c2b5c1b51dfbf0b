"""The operator's files: autonomy matrix and policy, mappings, third-party connectors, tools and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from watchfloor_agents.investigation.analysers import ANALYSERS
from watchfloor_agents.investigation.registry import load_analysers
from watchfloor_connectors.channels.config import FILE as CHANNEL_FILE
from watchfloor_connectors.channels.config import load_channels
from watchfloor_connectors.context.config import FILE as CONTEXT_FILE
from watchfloor_connectors.logs.config import FILE as LOG_FILE
from watchfloor_connectors.registry import Registry
from watchfloor_connectors.secrets.resolve import secret_text
from watchfloor_connectors.targets.registry import FILE_NAME as TARGETS_FILE
from watchfloor_connectors.targets.registry import ActionTargets
from watchfloor_core.errors import WatchfloorError
from watchfloor_core.settings import Settings
from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_guardrails.autonomy import load_matrix
from watchfloor_service.checks.looking import existing_store
from watchfloor_service.checks.restraints import some
from watchfloor_service.doctor import Finding, Health, failed
from watchfloor_service.supervision.running import find_running
from watchfloor_workflows.authority.stray_leases import stray_leases
from watchfloor_workflows.playbooks.shelf import LIBRARY, FolderShelf
from watchfloor_workflows.plugged.loading import load_endorsers, load_engine, load_tools
from watchfloor_workflows.policy import PolicyFile, policy_path
from watchfloor_workflows.source_settings import context_settings, context_shelf, log_settings, log_shelf

_POLICY_REMEDY: Final = (
    "until then everything asks a person; `watchfloor policy check DIR` names what is wrong, and `watchfloor policy "
    "activate DIR` puts one in force"
)


def autonomy(settings: Settings) -> Finding:
    """The matrix in force parses; all its mistakes at once where it does not."""
    path = policy_path(settings)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return Finding(
            Health.FAIL, f"{path} cannot be read ({error})", "mend it, or name another by WATCHFLOOR_AUTONOMY_FILE"
        )
    matrix = load_matrix(text, str(path))
    return Finding(Health.OK, f"{path}, {len(matrix.rows)} rows, digest {matrix.digest[:12]}")


def connectors(settings: Settings) -> Finding:
    names = Registry.load(settings).names()
    return Finding(Health.OK, f"{len(names)}: {', '.join(sorted(names))}")


def plug_ins(settings: Settings) -> Finding:
    """Those that investigations use: each is loaded, or started once and asked who it is."""
    analysers = [one.name for one in load_analysers(settings.analysers_allowed)[len(ANALYSERS) :]]
    engine = load_engine(settings)
    named = [f"analyser {one}" for one in analysers]
    named += [] if engine is None else [f"engine {engine.name} {engine.version}"]
    named += [f"tool {one.form.name} {one.form.version}" for one in load_tools(settings).values()]
    named += [f"endorser {one.signature}" for one in load_endorsers(settings)]
    return Finding(Health.OK, ", ".join(named) or "none")


def policy(settings: Settings) -> Finding:
    """Whether the policy in force may be used, and who signed it. That of the running stack, where one runs."""
    running = find_running(settings.data_dir)
    if running is not None and running.autonomy_file is not None:
        settings = settings.model_copy(update={"autonomy_file": Path(running.autonomy_file)})
    with existing_store(settings) as store:
        found = PolicyFile(settings, store).current()
    if found.problem is not None:
        return Finding(Health.FAIL, escape_untrusted(" | ".join(found.problem.split("\n"))), _POLICY_REMEDY)
    digest = (found.digest or "")[:12]
    if not found.is_signed:
        return Finding(
            Health.INFO,
            f"not signed, digest {digest}: actions are held to L2, and the limits are those that ship",
            "`watchfloor policy init DIR` begins one to sign",
        )
    shown = f"version {found.version}, signed by {escape_untrusted(found.author or '')}, digest {digest}"
    return Finding(Health.OK, shown)


def tools(settings: Settings) -> Finding:
    """Those of the executor, by a look at their file; none of them is tried."""
    file = settings.targets_file or settings.data_dir / TARGETS_FILE
    try:
        entries = ActionTargets.load(settings).entries
    except WatchfloorError as error:
        return failed(error, f"mend {file}; the executor does not start with it")
    named = ", ".join(f"{one.tool} ({', '.join(sorted(one.action_classes))})" for one in entries)
    if not file.exists():
        return Finding(Health.OK, f"no {file}: {named}")
    return Finding(Health.OK, f"{file}: {named or 'none, so nothing can be carried out'}")


def log_sources(settings: Settings) -> Finding:
    """The file parses, and each source that it names can be opened: its files are there, its secrets can be had, its
    plug-in may be loaded. None is asked."""
    file = settings.logs_file or settings.data_dir / LOG_FILE
    try:
        found = log_settings(settings)
    except WatchfloorError as error:
        return failed(error, f"mend {file}; the worker does not start with it")
    if not found.sources:
        return Finding(Health.OK, f"{_none(file)}: investigations have the alerts alone")
    names = [one.name for one in found.sources]
    return _sources(file, names, log_shelf(settings, found).faults())


def context(settings: Settings) -> Finding:
    """The file parses, and each source that it names can be opened; files are read. No directory is asked."""
    file = settings.context_file or settings.data_dir / CONTEXT_FILE
    try:
        found = context_settings(settings)
    except WatchfloorError as error:
        return failed(error, f"mend {file}; the worker does not start with it")
    if not found.sources:
        return Finding(Health.OK, f"{_none(file)}: investigations have the inventory and what was decided before")
    names = [one.name for one in found.sources]
    return _sources(file, names, context_shelf(settings, found).faults())


def _none(file: Path) -> str:
    return f"{file} names none" if file.exists() else f"no {file}"


def _sources(file: Path, names: Sequence[str], faults: Mapping[str, str]) -> Finding:
    if faults:
        told = " | ".join(f"{name}: {' '.join(reason.split())}" for name, reason in sorted(faults.items()))
        return Finding(
            Health.WARN,
            escape_untrusted(told),
            f"mend what {file} names; until then each answer says that the source is dark, or what of it is missing",
        )
    return Finding(Health.OK, f"{file}: {', '.join(sorted(names))}")


def channels(settings: Settings) -> Finding:
    """The file parses, and every secret that it names can be had. Nothing is sent."""
    file = settings.data_dir / CHANNEL_FILE
    if not file.exists():
        return Finding(Health.OK, f"no {file}: people are told by nobody, and look with `watchfloor approvals list`")
    try:
        found = load_channels(file, secret_text(settings)).channels
    except WatchfloorError as error:
        return failed(error, f"mend {file}; secrets that it names by env: must be set where `watchfloor up` starts")
    return Finding(Health.OK, f"{len(found)}: {', '.join(sorted(one.name for one in found))}")


def leases(settings: Settings) -> Finding:
    """Containments whose end the configured tools cannot bring about."""
    pin_of = ActionTargets.load(settings).pin_of
    with existing_store(settings) as store:
        if store is None:
            return Finding(Health.OK, "nothing is contained")
        with store.read() as connection:
            found = list(stray_leases(connection, pin_of))
    if not found:
        return Finding(Health.OK, "all that is in force can be ended by its tool")
    named = some(
        [f"{one.tenant}: {one.action_class} {quote_untrusted(one.target_value, 80)} ({one.proposal_id}), {one.why}"
         for one in found]
    )  # fmt: skip
    return Finding(
        Health.WARN,
        f"{len(found)} in force by another tool pin: {named}",
        "put the tool's entry in targets.yaml back as it was, `watchfloor action undo ID`, and then change it; or take "
        "them back by hand where they are",
    )


def playbooks(settings: Settings) -> Finding:
    """Those that may be run; each file that cannot be read, or whose signature does not hold."""
    with existing_store(settings) as store:
        if store is None:
            return Finding(Health.OK, "there is no store yet; those that come with Watchfloor may be run")
        found = FolderShelf(settings, store).all()
    wrong = [
        f"{one.file}: {one.problem.splitlines()[0]}"
        for one in found
        if one.problem is not None and not one.file.startswith(LIBRARY)
    ]
    usable = sum(one.problem is None for one in found)
    told = f"{usable} may be run{', signed ones only' if settings.playbooks_signed else ''}"
    if wrong:
        remedy = "`watchfloor playbook validate FILE` tells all that is wrong with one"
        return Finding(Health.WARN, f"{told}; not {some([escape_untrusted(one) for one in wrong])}", remedy)
    return Finding(Health.OK, told)
