"""Every way to an effect outside passes the gate: read off the source, so that a new way fails here until it is named.

The tables are the proof's assumptions. Whoever adds a line to one says why it is harmless.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

import pytest

from watchfloor_connectors.targets.base import ConfiguredTarget
from watchfloor_connectors.targets.kinds import BUILT_IN
from watchfloor_workflows import wire
from watchfloor_workflows.action_activities import ControlActivities, ExecutorActivities
from watchfloor_workflows.activities import IncidentActivities
from watchfloor_workflows.investigation.graph import investigation_plugin
from watchfloor_workflows.investigation.stages import Investigator, Stage
from watchfloor_workflows.investigation_activities import InvestigationActivities
from watchfloor_workflows.playbook_activities import PlaybookActivities

ROOT: Final = Path(__file__).parents[1]
PACKAGES: Final = ("core", "guardrails", "playbooks", "agents", "connectors", "workflows", "service")


@dataclass(frozen=True)
class Source:
    """One module."""

    name: str
    """``watchfloor_guardrails.grant``"""
    tree: ast.Module

    @property
    def short(self) -> str:
        return self.name.removeprefix("watchfloor_")

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        return tuple(ast.walk(self.tree))

    @cached_property
    def imports(self) -> dict[str, str]:
        """Local name → what it stands for, dotted."""
        found: dict[str, str] = {}
        for node in self.nodes:
            match node:
                case ast.Import(names=names):
                    found |= {one.asname or one.name.partition(".")[0]: one.name for one in names}
                case ast.ImportFrom(module=str(module), names=names):
                    found |= {one.asname or one.name: f"{module}.{one.name}" for one in names}
                case _:
                    pass
        return found


@cache
def sources(*packages: str) -> tuple[Source, ...]:
    found = []
    for package in packages or PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT / package).with_suffix("").parts)
            found.append(Source(name.removesuffix(".__init__"), ast.parse(path.read_text("utf-8"))))
    assert found
    return tuple(found)


@cache
def index() -> tuple[Mapping[str, set[str]], Mapping[str, set[str]]]:
    """Modules by what they call, and by what they mention: imported, used, or as a text that `getattr` could take."""
    calls: defaultdict[str, set[str]] = defaultdict(set)
    mentions: defaultdict[str, set[str]] = defaultdict(set)
    for source in sources():
        for node in source.nodes:
            match node:
                case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
                    calls[name].add(source.short)
                case (
                    ast.Name(id=name) | ast.Attribute(attr=name) | ast.alias(name=name) | ast.Constant(value=str(name))
                ):
                    mentions[name].add(source.short)
                case _:
                    pass
    return calls, mentions


def callers_of(name: str) -> set[str]:
    return index()[0].get(name, set())


def mentioners_of(name: str) -> set[str]:
    return index()[1].get(name, set())


# --- The edge: whoever acts takes a permit -------------------------------------------------------------------------


def classes() -> Iterator[tuple[Source, ast.ClassDef]]:
    for source in sources():
        for node in source.nodes:
            if isinstance(node, ast.ClassDef):
                yield source, node


def methods_of(node: ast.ClassDef) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    return {one.name: one for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))}


ACTORS: Final = {
    "guardrails.effect.ActionTarget": "the protocol",
    "connectors.targets.base.ConfiguredTarget": "what every configured kind is; no subclass may define act",
    "workflows.testing.tools.MemoryTool": "the outside world of tests",
}
SHARED: Final = {"TicketTool": "what all kinds that write tickets have in common"}
"""Bases between `ConfiguredTarget` and kinds."""


def test_everything_that_acts_takes_a_permit_and_nothing_else() -> None:
    actors = {
        f"{source.short}.{node.name}": methods_of(node)["act"]
        for source, node in classes()
        if "act" in methods_of(node)
    }

    assert actors.keys() == ACTORS.keys()
    for name, act in actors.items():
        assert ast.unparse(act.args) == "self, permit: EffectPermit", name


def test_everything_that_can_be_acted_on_is_a_kind_of_configured_target() -> None:
    """A class that reads back has an effect to read back: it inherits the one `act`, or is one of those above."""
    kinds = {
        f"{source.short}.{node.name}": [ast.unparse(base).partition("[")[0] for base in node.bases]
        for source, node in classes()
        if "read_back" in methods_of(node) or "do" in methods_of(node)
    }
    others = {name: bases for name, bases in kinds.items() if name not in ACTORS}

    assert {tuple(bases) for bases in others.values()} == {("ConfiguredTarget",)}
    direct = {kind for kind in BUILT_IN.values() if kind.__base__ is ConfiguredTarget}
    assert {f"{kind.__module__.removeprefix('watchfloor_')}.{kind.__name__}" for kind in direct} <= others.keys()
    bases = {kind.__base__ for kind in BUILT_IN.values()} - {ConfiguredTarget}
    assert {base.__name__ for base in bases if base is not None} == SHARED.keys()
    assert all(base is not None and base.__base__ is ConfiguredTarget for base in bases)
    assert all(kind.act is ConfiguredTarget.act for kind in BUILT_IN.values())


def test_a_kind_cannot_have_an_act_of_its_own() -> None:
    with pytest.raises(TypeError, match="may not define act"):
        type("Own", (ConfiguredTarget,), {"act": lambda self, permit: None})


# what | the modules in which it may stand
ONLY_IN: list[tuple[str, Callable[[], set[str]], set[str]]] = [
    # The contract kit acts on targets that a test has made; no code that runs imports it (below).
    ("acting", lambda: callers_of("act"), {"workflows.authority.executing", "connectors.targets.testing"}),
    ("doing", lambda: callers_of("do"), {"connectors.targets.base"}),
    ("doing about", lambda: callers_of("do_about"), {"connectors.targets.base", "connectors.targets.notify"}),
    ("making a permit", lambda: callers_of("EffectPermit"), {"guardrails.grant"}),
    ("making an authority", lambda: callers_of("Authority"), {"guardrails.grant"}),
    ("making a grant", lambda: callers_of("Grant"), {"guardrails.grant"}),
    ("the secret of permits", lambda: mentioners_of("_AUTHORITY"), {
        "guardrails.effect", "guardrails.grant", "guardrails.permit", "guardrails.ruling"}),
    ("the secret of permits, renamed", lambda: mentioners_of("_EFFECT"), {"guardrails.grant"}),
    ("the secret of authorities", lambda: mentioners_of("_MINT"), {"guardrails.grant"}),
    ("permitting an effect", lambda: callers_of("permit_effect"), {"workflows.authority.executing"}),
    ("opening a grant", lambda: callers_of("open_grant"), {"workflows.authority.executing"}),
    ("finding an authority", lambda: callers_of("authorise"), {"workflows.authority.granting"}),
    ("asking for an authority", lambda: callers_of("find_authority"), {
        "workflows.authority.granting", "workflows.authority.executing"}),
    ("sealing a grant", lambda: callers_of("seal_grant"), {"workflows.authority.granting"}),
    ("issuing a grant", lambda: callers_of("issue_grant"), {"workflows.action_activities"}),
    ("making an executor", lambda: callers_of("make_executor"), {"workflows.executor", "workflows.testing.actions"}),
    ("past a constructor", lambda: mentioners_of("__new__"), set()),
    ("past a frozen field", lambda: mentioners_of("__setattr__"), set()),
]  # fmt: skip


@pytest.mark.parametrize(("found", "where"), [row[1:] for row in ONLY_IN], ids=[row[0] for row in ONLY_IN])
def test_each_step_to_an_effect_is_taken_in_one_place(found: Callable[[], set[str]], where: set[str]) -> None:
    assert found() == where


def importers_of(dotted: str) -> set[str]:
    return {
        source.short
        for source in sources()
        if any(one == dotted or one.startswith(f"{dotted}.") for one in source.imports.values())
    }


def test_nothing_that_runs_imports_what_acts_in_tests() -> None:
    assert importers_of("watchfloor_connectors.targets.testing") == set()


def test_only_the_executors_process_makes_an_executor_and_only_its_activities_use_one() -> None:
    assert importers_of("watchfloor_workflows.authority.executing.Executor") == {
        "workflows.action_activities",
        "workflows.executor",
    }
    assert importers_of("watchfloor_connectors.targets.registry.ActionTargets") == {
        "workflows.executor",
        # The doctor reads the file of tools, and makes none of them.
        "service.checks.configuration",
        # It makes them for their pins alone, and never looks at a target: what a playbook's actions would be ruled on.
        "service.commands.playbook_runs",
    }


# Whoever wrote these rows elsewhere would make a claim of their own. The signature stands behind votes and grants; the
# rows of executions, keys and certificates are themselves what rulings rest on.
WRITERS: Final = {
    "action_grant": {"workflows.authority.granting"},
    "approval_vote": {"workflows.authority.voting"},
    "execution": {"workflows.authority.executing", "workflows.authority.pulse"},
    "lease": {"workflows.authority.executing", "workflows.authority.leases"},
    "approver_key": {"service.access.approver_keys", "workflows.testing.actions"},
    # The migration makes the row of everything, without which nothing acts.
    "kill_switch": {"workflows.authority.kill_switch", "core.store.migrations.versions.revision_0002"},
    "certificate": set(),
    "budget_charge": {"workflows.authority.budgets"},
    "freeze": {"workflows.authority.freezes"},
    "action_proposal": {"workflows.authority.drafting", "workflows.authority.records"},
    # Labels: only what a person said may teach or measure an agent.
    "human_verdict": {"workflows.human", "agents.correlation.revise"},
    "finding_correction": {"workflows.investigation.corrections"},
}


@pytest.mark.parametrize("table", WRITERS)
def test_the_rows_that_authority_rests_on_are_written_in_one_place(table: str) -> None:
    def writes(node: ast.AST) -> bool:
        match node:
            case ast.Call(
                func=ast.Name(id="insert" | "update" | "delete"), args=[ast.Name(id=found) | ast.Attribute(attr=found)]
            ):
                return found == table
            case ast.Constant(value=str(words)):
                return re.search(rf'\b(INTO|UPDATE|DELETE FROM) "?{table}\b', words) is not None
            case _:
                return False

    assert {source.short for source in sources() if any(map(writes, source.nodes))} == WRITERS[table]


# --- Activities: what each may do -----------------------------------------------------------------------------------

READS: Final = "reads"
STORE: Final = "writes our own store, and nothing else"
TELLS: Final = "tells people"
OUTSIDE: Final = "has effects outside"

ACTIVITIES: Final = {
    wire.TRIAGE_INCIDENT: STORE,
    wire.SETTLE_INCIDENT: STORE,
    wire.RECORD_HUMAN_VERDICT: STORE,
    wire.REOPEN_INCIDENT: STORE,
    wire.SEAL_PROPOSAL: STORE,
    wire.RECORD_VOTE: STORE,
    wire.END_PROPOSAL: STORE,
    wire.ISSUE_GRANT: STORE,
    wire.END_LEASE: STORE,
    wire.ANNOUNCE: TELLS,
    wire.OBSERVE_TARGET: READS,
    wire.EXECUTE_ACTION: OUTSIDE,
    wire.FAIL_INVESTIGATION: STORE,
    wire.TAKE_TURN: STORE,
    wire.TELL_TASK: TELLS,
}
NODES: Final = {f"{wire.INVESTIGATION_GRAPH}.{stage}": STORE for stage in Stage}
"""Of the graph of investigations: they ask log sources, which only read, and write our own store."""


def registered(kind: type) -> dict[str, str]:
    """The activities that the worker of this class registers: wire name → method."""
    # Nothing of the object is used but its methods.
    found: list[Any] = kind.all.fget(object.__new__(kind))  # type: ignore[attr-defined]  # Any: temporalio's own marks
    return {vars(one.__func__)["__temporal_activity_definition"].name: one.__name__ for one in found}


HOLDERS: Final = (
    IncidentActivities,
    ControlActivities,
    ExecutorActivities,
    InvestigationActivities,
    PlaybookActivities,
)


def test_every_activity_is_in_the_table() -> None:
    found = [name for holder in HOLDERS for name in registered(holder)]

    assert sorted(found) == sorted(ACTIVITIES)


def test_every_node_of_the_graph_is_in_the_table() -> None:
    """The plug-in makes activities of them; whatever a node does, `Investigator.run` does it."""
    plugin = investigation_plugin(object.__new__(Investigator), ThreadPoolExecutor())
    found = {vars(one)["__temporal_activity_definition"].name for one in plugin.activities}

    assert found == NODES.keys()
    assert callers_of("LangGraphPlugin") == {"workflows.investigation.graph"}
    assert callers_of("add_node") == {"workflows.investigation.graph"}


def test_there_are_no_other_activities_and_no_other_workers() -> None:
    def is_activity(node: ast.AST) -> bool:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return any("activity.defn" in ast.unparse(one) for one in node.decorator_list)
            case _:
                return False

    marked = {
        node.name  # type: ignore[attr-defined]  # it is a function
        for source in sources()
        for node in source.nodes
        if is_activity(node)
    }
    assert marked == {method for holder in HOLDERS for method in registered(holder).values()}
    assert callers_of("Worker") == {"workflows.worker", "workflows.executor"}


def test_the_one_activity_with_effects_outside_is_the_executors() -> None:
    outside = {name for name, what in ACTIVITIES.items() if what == OUTSIDE}
    telling = {name for name, what in ACTIVITIES.items() if what == TELLS}

    assert outside == {wire.EXECUTE_ACTION}
    assert telling == {wire.ANNOUNCE, wire.TELL_TASK}
    assert registered(ExecutorActivities).keys() == {wire.OBSERVE_TARGET, wire.EXECUTE_ACTION}


# --- What can reach the outside at all -------------------------------------------------------------------------------

PROCESS, NETWORK, SIGNAL, FILES = "starts processes", "opens connections", "signals processes", "changes files"

_MODULES: Final = {
    "subprocess": PROCESS, "multiprocessing": PROCESS, "pty": PROCESS, "ctypes": PROCESS,
    "socket": NETWORK, "ssl": NETWORK,
    "smtplib": NETWORK, "httpx": NETWORK, "httpcore": NETWORK, "http.client": NETWORK,
    "urllib.request": NETWORK, "requests": NETWORK, "aiohttp": NETWORK, "urllib3": NETWORK, "ftplib": NETWORK,
    "imaplib": NETWORK, "ldap3": NETWORK, "paramiko": NETWORK, "boto3": NETWORK, "http.server": NETWORK,
    "botocore": NETWORK, "socketserver": NETWORK, "grpc": NETWORK, "shutil": FILES, "tempfile": FILES,
}  # fmt: skip
_OS: Final = {
    **dict.fromkeys(("system", "popen", "fork", "forkpty", "posix_spawn", "startfile"), PROCESS),
    **dict.fromkeys(("kill", "killpg", "pidfd_open"), SIGNAL),
    **dict.fromkeys(
        ("write", "unlink", "remove", "rename", "replace", "link", "symlink", "mkdir", "makedirs", "rmdir",
         "removedirs", "truncate", "ftruncate", "chmod", "fchmod", "chown", "fchown", "lchown", "utime", "setxattr",
         "mknod", "mkfifo", "sendfile", "copy_file_range"), FILES),
}  # fmt: skip
_METHODS: Final = {
    **dict.fromkeys(("write_text", "write_bytes", "unlink", "mkdir", "rmdir", "symlink_to", "hardlink_to", "rename",
                     "chmod", "lchmod"), FILES),
    **dict.fromkeys(("open_connection", "open_unix_connection", "create_connection", "create_datagram_endpoint",
                     "start_server"), NETWORK),
    **dict.fromkeys(("create_subprocess_exec", "create_subprocess_shell"), PROCESS),
    **dict.fromkeys(("pidfd_send_signal", "send_signal", "terminate"), SIGNAL),
}  # fmt: skip


def reaches(source: Source) -> set[str]:
    """What a module can do to the outside, by what it imports and calls."""
    found = {
        what
        for dotted in source.imports.values()
        for module, what in _MODULES.items()
        if dotted == module or dotted.startswith(f"{module}.")
    }
    found |= {what for dotted in source.imports.values() for name, what in _OS.items() if dotted == f"os.{name}"}
    return found | {what for node in source.nodes if (what := _reach(node)) is not None}


def _reach(node: ast.AST) -> str | None:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr=name) if name.startswith(("exec", "spawn")):
            return PROCESS
        case ast.Attribute(value=ast.Name(id="os"), attr=name) if name in _OS:
            return _OS[name]
        case ast.Attribute(value=ast.Name(id="os"), attr="O_CREAT" | "O_TRUNC" | "O_APPEND"):
            return FILES
        case (
            ast.Call(func=ast.Attribute(attr="replace"), args=[_], keywords=[])
            | ast.Call(func=ast.Attribute(attr="touch"), args=[])
        ):
            # Of a path: a text's replace takes two arguments, and other things that are touched take one.
            return FILES
        case ast.Call(func=ast.Attribute(attr=name)) if name in _METHODS:
            return _METHODS[name]
        case ast.Call(func=ast.Name(id="open") | ast.Attribute(attr="open"), args=arguments, keywords=named):
            modes = [*arguments, *(one.value for one in named if one.arg == "mode")]
            texts = [one.value for one in modes if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            return FILES if any(len(text) <= 3 and set(text) & set("wax+") for text in texts) else None
        case _:
            return None


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("import subprocess as quiet", PROCESS),
        ("from os import system\nimport os\nos.execvp('sh', [])", PROCESS),
        ("import asyncio\nasyncio.create_subprocess_exec('sh')", PROCESS),
        ("from urllib.request import urlopen", NETWORK),
        ("def late():\n    import socket", NETWORK),
        ("loop.create_connection(x)", NETWORK),
        ("import grpc", NETWORK),
        ("import os\nos.kill(1, 9)", SIGNAL),
        ("import signal\nsignal.pidfd_send_signal(1, 9)", SIGNAL),
        ("open(path, 'a')", FILES),
        ("path.open(mode='wb')", FILES),
        ("path.write_text('x')", FILES),
        ("draft.replace(path)", FILES),
        ("from shutil import rmtree", FILES),
        ("import os\nos.open(path, os.O_WRONLY | os.O_CREAT)", FILES),
    ],
)
def test_the_search_sees_ways_to_the_outside(code: str, what: str) -> None:
    assert reaches(Source("watchfloor_connectors.made_up", ast.parse(code))) == {what}


@pytest.mark.parametrize("code", ["'a'.replace('b', 'c')", "open(path)", "path.open('rb')", "replace(one, field=1)"])
def test_the_search_is_not_alarmed_by_what_is_harmless(code: str) -> None:
    assert reaches(Source("watchfloor_connectors.made_up", ast.parse(code))) == set()


# module | what it can do | why it may
REACHES: Final[Mapping[str, tuple[set[str], str]]] = {
    # Tools: what changes a target stands behind `do`, which only `act` calls, with a permit (above).
    "connectors.targets.account": (
        {FILES},
        "notes of its own on which accounts it has locked; a program does the rest",
    ),
    "connectors.targets.sigma_filters": ({FILES}, "the folder of Sigma filters"),
    "connectors.targets.aws_client": ({NETWORK}, "speaks to Amazon's EC2 and IAM by the vendor's SDK, over TLS"),
    "connectors.targets.blocklist": ({FILES}, "the folder of the blocklist"),
    "connectors.targets.commands.bash": ({FILES}, "shutil only finds the shell"),
    "connectors.targets.commands.bounded": ({PROCESS, SIGNAL}, "runs a playbook's command, and ends it with its group"),
    "connectors.targets.commands.endpoint": ({NETWORK}, "looks names up"),
    "connectors.targets.commands.results": ({FILES}, "records of its own of what was run"),
    "connectors.targets.commands.sandbox": ({FILES}, "a folder for the sandbox, and a temporary one without it"),
    "connectors.targets.commands.sending": ({NETWORK}, "sends a playbook's requests where the operator lists it"),
    "connectors.targets.entries": ({FILES}, "entries of the quarantine"),
    "connectors.targets.files": ({FILES}, "writing a tool's own file whole or not at all"),
    "connectors.targets.http_api": (
        {NETWORK},
        "speaks to vendors' APIs for kinds of tools, over TLS",
    ),
    "connectors.targets.manifest": ({FILES}, "gives a restored file its owner, mode and times back"),
    "connectors.targets.moving": ({FILES}, "moves a file into the quarantine and back"),
    "connectors.targets.notes": ({FILES}, "which of a vendor's things a tool has changed, in a folder of its own"),
    "connectors.targets.ldap_session": ({NETWORK}, "changes the one entry of a directory that an account's name means"),
    "connectors.targets.notify_receipts": ({FILES}, "what is known of messages that were sent, in a folder of its own"),
    "connectors.targets.process": ({SIGNAL}, "ends the one process that a descriptor holds"),
    "connectors.targets.programs": ({PROCESS, FILES}, "runs nft, usermod and the like; shutil only finds them"),
    "connectors.targets.quarantine": ({FILES}, "the quarantine's folders"),
    "connectors.targets.velociraptor_api": ({NETWORK}, "asks Velociraptor's server, with certificates on both sides"),
    "connectors.targets.template": ({FILES}, "a firewall made of files, to be copied"),
    # Telling people, and hearing from them: `announce` alone leads here, and a notice carries no authority.
    "connectors.channels.http": ({NETWORK}, "sends notices to Slack, Teams and webhooks, over TLS"),
    "connectors.channels.mail": ({NETWORK}, "sends notices by mail, and messages of the tool that notifies"),
    "connectors.channels.testing": ({NETWORK}, "receivers on the loopback, for tests"),
    # Reading logs: nothing is changed but copies of our own, in the data directory or a folder that goes with the run.
    "connectors.logs.files": ({FILES}, "unpacks members of archives into a folder of its own"),
    "connectors.logs.loading": ({FILES}, "keeps what was loaded in the data directory"),
    "connectors.logs.elasticsearch": ({NETWORK}, "asks Elasticsearch by _search, which changes nothing; ssl is a type"),
    "connectors.logs.fetching": ({NETWORK}, "reads an answer that others asked for, up to a size"),
    "connectors.logs.sentinel": ({NETWORK}, "asks a workspace in KQL, which changes nothing; a token from Entra"),
    "connectors.logs.splunk": ({NETWORK}, "searches Splunk by export, with commands that only read; ssl is a type"),
    "connectors.logs.opening": ({NETWORK}, "TLS settings for log sources"),
    "connectors.detection.detecting": ({FILES}, "a temporary database of the events that rules are matched against"),
    "connectors.logs.tables": ({FILES}, "a temporary copy of a table for DuckDB to read"),
    # The organisation's directory.
    "connectors.context.directory_session": ({NETWORK}, "binds to an LDAP server and searches, which changes nothing"),
    # Where secrets lie.
    "connectors.secrets.resolve": ({NETWORK}, "TLS settings for the vault"),
    "connectors.secrets.vault": ({NETWORK}, "reads secrets from Vault, and writes nothing"),
    # The worker's and the executor's own.
    "workflows.executor": ({NETWORK}, "its host's name, to say which executor it is; it opens nothing"),
    "workflows.plugged.process": ({PROCESS, SIGNAL}, "a process for one run of a plug-in, and its end"),
    "workflows.policy_folder": ({FILES}, "puts a checked policy in force, at a person's command"),
    "workflows.testing.playbooks": ({FILES}, "a test's own playbooks"),
    "workflows.testing.server": ({PROCESS, NETWORK, FILES}, "a Temporal server for tests"),
    "workflows.testing.workbench": ({FILES}, "a test's own policy file"),
}


@pytest.mark.parametrize("package", ["connectors", "workflows"])
def test_whatever_can_reach_the_outside_is_named_with_its_reason(package: str) -> None:
    found = {source.short: what for source in sources(package) if (what := reaches(source))}
    named = {name: what for name, (what, _) in REACHES.items() if name.partition(".")[0] == package}

    assert found == named


@pytest.mark.parametrize("package", ["agents", "guardrails", "playbooks"])
def test_what_proposes_and_what_rules_reach_nothing(package: str) -> None:
    assert {source.short: what for source in sources(package) if (what := reaches(source))} == {}


# --- Looking never decides -------------------------------------------------------------------------------------------


@cache
def functions() -> Mapping[str, tuple[Source, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of a module's top level, by its dotted name."""
    return {
        f"{source.name}.{node.name}": (source, node)
        for source in sources("service", "workflows")
        for node in source.tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }


def called_by(source: Source, function: ast.AST) -> Iterator[str]:
    """The functions of ours that it calls or hands to somebody else, as far as names tell."""
    for node in ast.walk(function):
        match node:
            case ast.Name(id=name):
                yield source.imports.get(name, f"{source.name}.{name}")
            case ast.Attribute(value=ast.Name(id=module), attr=name) if module in source.imports:
                yield f"{source.imports[module]}.{name}"
            case _:
                pass


def changes_state(function: ast.AST) -> bool:
    """It opens a transaction that writes, or sends something to a workflow."""
    for node in ast.walk(function):
        match node:
            case ast.Call(func=ast.Attribute(attr="write"), args=[], keywords=[]):
                return True
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="desk" | "approvals"), attr=name)):
                if name != "is_reachable":
                    return True
            case _:
                pass
    return False


def writers_from(start: str) -> set[str]:
    """The functions that change something, of all that lead on from this one."""
    seen, waiting = set(), [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in functions():
            continue
        seen.add(name)
        source, function = functions()[name]
        waiting.extend(called_by(source, function))
    return {name.removeprefix("watchfloor_") for name in seen if changes_state(functions()[name][1])}


def routes(method: str) -> Iterator[str]:
    for name, (_, function) in functions().items():
        for decorator in function.decorator_list:
            match decorator:
                case ast.Call(func=ast.Attribute(value=ast.Name(id=router), attr=found)) if "router" in router:
                    if found == method:
                        yield name
                case _:
                    pass


# A GET that writes | what it writes, and why that decides nothing
GETS_THAT_WRITE: Final[Mapping[str, tuple[set[str], str]]] = {
    "service.api.routes.approvals.show": (
        {"workflows.authority.voting.note_shown"},
        "when an approver first saw the view, from which the time to decide is told",
    ),
    "service.api.routes.oidc.login": ({"service.access.oidc_sign_in.begin"}, "that a sign-in has begun"),
    "service.api.routes.oidc.callback": (
        {
            "service.access.accounts.changing_accounts",
            "service.access.oidc_sign_in._use_up",
            "service.api.routes.session.entered_answer",
        },
        "the session of whoever the identity provider vouches for: OpenID Connect sends the browser back by GET",
    ),
}


def test_no_get_changes_anything_but_what_is_named() -> None:
    found = {name.removeprefix("watchfloor_"): writers for name in routes("get") if (writers := writers_from(name))}

    assert found == {name: writers for name, (writers, _) in GETS_THAT_WRITE.items()}


def test_the_search_for_what_writes_finds_what_decides() -> None:
    """That the search above can find anything: each of these is known to change something."""
    deciding = {name.rpartition(".")[2] for name in routes("post") if writers_from(name)}

    assert {"decide", "correct", "engage_", "release_", "propose_", "undo", "edit", "lift_"} - deciding == set()
