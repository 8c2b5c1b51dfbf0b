"""Whatever a value says, in every place of a playbook where one can stand: it is data there, or it is refused."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.connectors import http_server, ssh_server
from watchfloor_connectors.targets.base import NotReadyError
from watchfloor_connectors.targets.registry import ActionTargets
from watchfloor_core.alert import Integrity
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.notice import ApprovalNotice
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.machine import Machine
from watchfloor_playbooks.running.state import new_state
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import ActionWork, ManualWork, RunStatus, StepOutcome, Work
from watchfloor_service.playbooks.views import list_tasks
from watchfloor_workflows.client import connect
from watchfloor_workflows.playbook_messages import RunRef
from watchfloor_workflows.playbooks.records import list_work, read_run
from watchfloor_workflows.playbooks.starting import Shelved, proposer_of, start_run
from watchfloor_workflows.playbooks.tasks import tell_task
from watchfloor_workflows.playbooks.turning import take_turn
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register
from watchfloor_workflows.testing.playbooks import MemoryShelf, PlaybookBench, Sketch, step_id

BEN, LEA = Person("ben"), Person("lea", ("lead",))
LONG = "A" * 100_000
NAMED = {
    "shell": "$(reboot)", "backticks": "`reboot`", "semicolon": "; rm -rf /", "quote": "'; reboot; '",
    "crlf": "a\r\nX-Evil: 1\r\n\r\n", "template": "{{7*7}}", "reference": "__other__:value",
    "references": "__x__:value__other__:value", "half": "__other__", "placeholder": "${1}", "words": "a b",
    "bidi": "\u202egpj.exe\u2066", "invisible": "\u200badmin\u200d\ufeff", "tags": "\U000e0041\U000e0042",
    "nul": "a\0b", "long": LONG, "json": '"}, "admin": {"a": "', "sql": "' OR 1=1 --", "ldap": "*)(uid=*",
    "condition": "a' OR '1' = '1", "option": "--help", "path": "../../etc/passwd", "escape": "\x1b[2J",
    "markup": "<b>&",
}  # fmt: skip
HOSTILE = list(NAMED.values())
OTHER = "what-the-other-variable-holds"
VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.lists(st.sampled_from([one for one in HOSTILE if one != LONG]), min_size=2, max_size=4).map("".join),
    st.text(min_size=1, max_size=60),
)
BY_VALUE = pytest.mark.parametrize("value", HOSTILE, ids=list(NAMED))


@dataclass(frozen=True)
class Place:
    """Where a value stands: a command, beside what the step needs for it."""

    command: Mapping[str, Any]
    address: Mapping[str, str] | None = None
    """Of the target, where it has one."""


def ours(action_class: str, target: str, **arguments: str) -> Place:
    command = {"type": "watchfloor-action", "action_class": action_class, "target": target, "arguments": arguments}
    return Place({name: one for name, one in command.items() if one})


TEXT = "about __x__:value, and __x__:value"
SOMEWHERE = {"ipv4": "192.0.2.1"}
GET = {"type": "http-api", "command": "GET /v1/names HTTP/1.1"}
SCAN = {"action": "scan", "target": {"device": {"hostname": "ws-1"}}}


def openc2(content: Mapping[str, Any], address: Mapping[str, str]) -> Place:
    encoded = base64.b64encode(json.dumps(content).encode()).decode()
    return Place({"type": "openc2-http", "command": "POST /openc2 HTTP/1.1", "content_b64": encoded}, address)


PLACES = {
    "target": ours("disable user", "__x__:value"),
    "part of a target": ours("contain file", "/srv/__x__:value"),
    "ticket": ours("create ticket", "inc-0123456789abcdef", title="__x__:value", text=TEXT),
    "message": ours("notify channel", "soc", text=TEXT),
    "task": Place({"type": "manual", "command": TEXT}),
    "bash": Place({"type": "bash", "command": "printf '%s' __x__:value \"at __x__:value\""}),
    "powershell": Place({"type": "powershell", "command": "Write-Output __x__:value"}),
    "ssh": Place({"type": "ssh", "command": "printf '%s' __x__:value"}, address=SOMEWHERE),
    "http": Place(
        {
            "type": "http-api",
            "command": "POST /v1/__x__:value?why=__x__:value HTTP/1.1",
            "headers": {"Content-Type": ["application/json"], "X-Case": ["__x__:value"]},
            "content": '{"name": "__x__:value"}',
        },
        address=SOMEWHERE,
    ),
    "http content": Place(
        {
            "type": "http-api",
            "command": "POST /v1/names HTTP/1.1",
            "headers": {"Content-Type": ["application/json"]},
            "content": '{"name": __x__:value}',
        },
        address=SOMEWHERE,
    ),
    "http url": Place(GET, {"url": "https://__x__:value"}),
    "http part of a url": Place(GET, {"url": "https://__x__:value.edge.corp.example:8443/"}),
    "http whole url": Place(GET, {"url": "__x__:value"}),
    "http name": Place(GET, {"dname": "__x__:value"}),
    "http part of a name": Place(GET, {"dname": "edge-__x__:value.corp.example"}),
    "http address": Place(GET, {"ipv6": "__x__:value"}),
    "ssh name": Place({"type": "ssh", "command": "uptime"}, {"dname": "__x__:value"}),
    "openc2": openc2({"action": "deny", "target": {"domain_name": "__x__:value"}}, SOMEWHERE),
    "openc2 name": openc2(SCAN, {"dname": "__x__:value"}),
    "openc2 url": openc2(SCAN, {"url": "https://__x__:value.edge.corp.example"}),
}
BY_PLACE = pytest.mark.parametrize("place", list(PLACES))


def playbook_of(place: Place) -> Playbook:
    sketch = Sketch("Try").variable("__x__", external=True).variable("__other__", value=OTHER)
    target = step_id("net-address", "there")
    more: dict[str, Any] = {}
    if place.address is not None:
        address = {name: [one] for name, one in place.address.items()}
        sketch.more = {"target_definitions": {target: {"type": "net-address", "name": "there", "address": address}}}
        more["targets"] = [target]
    agent = step_id("individual", "agent")
    first = sketch.step(
        "action", "try", commands=[dict(place.command)], agent=agent, on_completion=sketch.end("done"), **more
    )
    return sketch.playbook(first)


@dataclass(frozen=True)
class Tried:
    """What one run of the machine came to."""

    work: tuple[Work, ...]
    refused: str
    """Why the step failed; nothing where it did not."""


def tried(playbook: Playbook, value: str) -> Tried:
    given = {"__x__": Held(value, Integrity.EXTERNAL)}
    try:
        machine = Machine(playbook, new_state(playbook, given))
    except ConfigurationError as error:
        return Tried((), str(error))
    turn = machine.start(0)
    failed = [one.reason for one in turn.ended if one.outcome is StepOutcome.FAILED]
    return Tried(tuple(one.work for one in turn.begins), "; ".join(failed))


BOOKS = {name: playbook_of(place) for name, place in PLACES.items()}
FITTING = {"http whole url": "https://plain"}
"""What is no attack where the word alone is refused."""
PLAIN = {name: tried(playbook, FITTING.get(name, "plain")).work[0] for name, playbook in BOOKS.items()}


@BY_PLACE
@settings(max_examples=60)
@given(value=VALUES)
@example(value="__other__:value")
@example(value=LONG)
@example(value="a\0b")
def test_a_value_is_data_in_every_place_or_refused_there(place: str, value: str) -> None:
    found = tried(BOOKS[place], value)
    assert (len(found.work) == 1) is not bool(found.refused)
    if found.refused:
        assert escape_untrusted(found.refused) == found.refused
        assert len(found.refused) < 500
        return
    plain, (work,) = PLAIN[place], found.work
    fitting = FITTING.get(place, "plain")
    match work, plain:
        case ManualWork(), ManualWork():
            assert work.text.value == str(plain.text.value).replace(fitting, value)
            assert work.text.integrity is Integrity.EXTERNAL
        case ActionWork(), ActionWork():
            # What is done, by what, how long and why is the playbook's, whatever the value.
            as_plain = (plain.action_class, plain.tool, plain.lease_s, plain.purpose, plain.max_level)
            assert (work.action_class, work.tool, work.lease_s, work.purpose, work.max_level) == as_plain
            assert work.arguments.keys() == plain.arguments.keys()
            pairs = [(one, plain.arguments[name]) for name, one in work.arguments.items()]
            for one, other in [(work.target, plain.target), *pairs]:
                # A command's text is the same for every value; whatever holds the value is told to be an attacker's.
                assert one.value == str(other.value).replace(fitting, value)
                assert one.is_tainted == (fitting in str(other.value))
            fixed = work.arguments.keys() & {"script", "command", "path", "content", "header.X-Case"}
            assert not any(work.arguments[name].is_tainted for name in fixed)
        case _:
            raise AssertionError(work)
    assert OTHER not in str(work) or OTHER in value


ADDRESSES = [name for name, one in PLACES.items() if one.address is not None and "__x__" in str(one.address)]


@pytest.mark.parametrize("place", ADDRESSES)
@pytest.mark.parametrize("value", [
    "proxy.corp.example:8443#", "proxy.corp.example/v1", "proxy.corp.example?", "proxy.corp.example\\", "me@proxy",
    "a\r\nb", "a\nb", "a\tb", "a b", "%2f", "proxy.corp.example:8443/v1#", "\uff0fproxy", "pro\u200bxy", "pro\u202exy",
    "\u0440roxy", "proxy\u3002corp", ".", "..", "-", "a..b", "[::1]:8443#", "fe80::1%eth0", "file://a", "$(reboot)", "",
])  # fmt: skip
def test_no_value_moves_a_command_to_another_place(place: str, value: str) -> None:
    found = tried(BOOKS[place], value)
    assert found.work == ()
    assert escape_untrusted(found.refused) == found.refused != ""


@pytest.mark.parametrize(("url", "place"), [
    ("https://edge-1.corp.example", "https://edge-1.corp.example"), ("http://h:080/", "http://h:80"),
    ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"), ("https://192.0.2.7/", "https://192.0.2.7"),
    ("https://win_10", "https://win_10"),
    ("https://h:0", None), ("https://h:65536", None), ("https://h:", None), ("https://h/v1", None), ("ftp://h", None),
    ("https://[::1", None), ("https://::1", None), (f"https://{'a' * 64}.example", None), ("https://", None),
    (f"https://{'a.' * 126}ab", None),
])  # fmt: skip
def test_where_an_http_command_runs_is_a_host_and_a_port(url: str, place: str | None) -> None:
    work = tried(BOOKS["http whole url"], url).work
    assert [one.target.value for one in work if isinstance(one, ActionWork)] == ([] if place is None else [place])


def choosing() -> Playbook:
    sketch = Sketch("Choose").variable("__x__", external=True).variable("__other__", value=OTHER)
    done = sketch.end("done")
    ask = sketch.manual("ask", "Look.", out_args=["__x__"], on_completion=sketch.end("asked"))
    loop = sketch.step("while-condition", "loop", condition="__x__:value = 'b'", on_true=ask, on_completion=done)
    choice = sketch.step(
        "switch-condition", "choose", switch="__x__:value",
        cases={"a": sketch.end("case a"), "default": sketch.end("default")}, on_completion=loop,
    )  # fmt: skip
    says = "__x__:value = 'a' OR __x__:value = '__other__:value'"
    first = sketch.step(
        "if-condition", "if", condition=says, on_true=sketch.end("yes"), on_false=sketch.end("no"), on_completion=choice
    )
    return sketch.playbook(first)


CHOOSING = choosing()


@settings(max_examples=60)
@given(value=VALUES)
@example(value="a' OR '1' = '1")
@example(value="a")
def test_a_condition_holds_for_a_value_as_it_is_and_never_for_what_it_says(value: str) -> None:
    assume(value != "b")
    try:
        machine = Machine(CHOOSING, new_state(CHOOSING, {"__x__": Held(value, Integrity.EXTERNAL)}))
    except ConfigurationError:
        # What a value may be is another test's matter.
        return
    names = {key: str(one.name) for key, one in CHOOSING.steps.items()}
    taken = [names[one.step] for one in machine.start(0).ended if one.step.startswith("end--")]
    is_said, is_case = value in ("a", "__other__:value"), value == "a"
    assert taken == ["yes" if is_said else "no", "case a" if is_case else "default", "done"]


@BY_VALUE
def test_a_playbook_inside_gets_a_value_and_not_what_it_refers_to(value: str) -> None:
    sketch = Sketch("Inner").variable("__x__", external=True).variable("__other__", value=OTHER)
    work = tried(sketch.playbook(sketch.manual("look", "__x__:value", on_completion=sketch.end("done"))), value).work
    assert [str(one.text.value) for one in work if isinstance(one, ManualWork)] in ([], [value])


def test_an_attacker_chooses_neither_the_runner_nor_the_port_unnoticed() -> None:
    sketch = Sketch("Choose the runner").variable("__x__", external=True)
    agent, target = step_id("individual", "agent"), step_id("net-address", "there")
    sketch.more = {
        "agent_definitions": {agent: {"type": "individual", "name": "__x__:value"}},
        "target_definitions": {
            target: {"type": "net-address", "name": "t", "address": {"ipv4": ["192.0.2.1"]}, "port": "__x__:value"}
        },
    }
    commands = [{"type": "bash", "command": "id"}]
    first = sketch.step("action", "try", commands=commands, agent=agent, on_completion=sketch.end("done"))
    assert "it is named, and never taken from a variable" in tried(sketch.playbook(first), "root-shell").refused
    sketch.more["agent_definitions"][agent]["name"] = "hosts"
    commands[0]["type"] = "ssh"
    sketch.workflow[first]["targets"] = [target]
    (work,) = tried(sketch.playbook(first), "2222").work
    assert isinstance(work, ActionWork)
    assert (work.target.value, work.target.is_tainted) == ("ssh://192.0.2.1:2222", True)


def test_values_put_in_many_times_make_no_endless_text() -> None:
    sketch = Sketch("Much").variable("__x__", external=True)
    text = "__x__:value " * 1_000
    first = sketch.manual("look", text, on_completion=sketch.end("done"))
    assert "at most 65,536 are kept" in tried(sketch.playbook(first), "A" * 60_000).refused


# --- In the store: both databases keep what is let through, and no run stands still over what is not ------------------


@dataclass
class Heard:
    notices: list[ApprovalNotice]

    def send(self, notice: ApprovalNotice) -> None:
        self.notices.append(notice)


@BY_VALUE
def test_a_store_keeps_every_value_that_is_let_in(store: Store, value: str) -> None:
    make_attack(store, "acme")
    heard = Heard([])
    for place, playbook in BOOKS.items():
        try:
            run_id = started(store, playbook, {"__x__": Held(value, Integrity.EXTERNAL)})
        except ConfigurationError:
            assert value in (LONG, "a\0b")
            continue
        turn = take_turn(store, MemoryShelf(), RunRef("acme", run_id), -1)
        with store.read() as connection:
            run, work = read_run(connection, "acme", run_id), list_work(connection, "acme", run_id)
            tasks = list_tasks(connection, "acme") if place == "task" else []
        assert run.given["__x__"].value == value
        # It waits for what it has begun, or has ended over what was refused.
        assert bool(work) is not turn.status.is_over
        for one in tasks:
            shown = str(one.work.task)
            assert escape_untrusted(shown) == shown
            assert "\n" not in shown
            tell_task(store, heard, RunRef("acme", run_id), work[0].key)
    for notice in heard.notices:
        assert escape_untrusted(notice.text) == notice.text
        assert len(notice.text) < 2_000
    assert bool(heard.notices) is (value not in (LONG, "a\0b"))


def test_a_playbook_whose_own_words_hold_a_nul_does_not_begin_or_ends_over_it(store: Store) -> None:
    make_attack(store, "acme")
    for name, target in (("with\0in", "soc"), ("Its words", "so\0c"), ("Its values", "__nul__:value")):
        sketch = Sketch(name).variable("__nul__", value="so\0c")
        playbook = sketch.playbook(sketch.action("tell", "notify channel", target, on_success=sketch.end("done")))
        try:
            run_id = started(store, playbook, {})
        except ConfigurationError as error:
            told = str(error)
        else:
            assert take_turn(store, MemoryShelf(), RunRef("acme", run_id), -1).status is RunStatus.FAILED
            with store.read() as connection:
                told = read_run(connection, "acme", run_id).outcome
        assert "holds a NUL, which no database keeps" in told


def started(store: Store, playbook: Playbook, given: Mapping[str, Held]) -> str:
    proposer = proposer_of(playbook, PrincipalKind.SERVICE, "rita")
    with store.write() as connection:
        run_id, _ = start_run(
            connection, "acme", "inc-1", Shelved(playbook), given=given, proposer=proposer, reason="a test wants it"
        )
    return run_id


# --- Through the gate: real commands ----------------------------------------------------------------------------------

SENT = ["$(reboot)", "; rm -rf /", "a\r\nb", "{{7*7}}", "__other__:value", "\u202e\u200bx", "'\"`", "${1}"]
TARGETS = """\
targets:
  - {{tool: scripts, kind: bash, tenants: "*", timeout_s: 8}}
  - {{tool: api, kind: http_api, tenants: "*", base_urls: ["{url}"], networks: [127.0.0.0/8]}}
"""
SSH = """\
  - {{tool: hosts, kind: ssh, tenants: "*", user: {s.user}, identity: "file:{s.identity}", known_hosts: {s.known_hosts}, hosts: [127.0.0.0/8], port: {s.port}, timeout_s: 8}}
"""  # noqa: E501 - one tool, one line


@pytest.fixture
def web() -> Iterator[http_server.Server]:
    with http_server.serving() as server:
        yield server


async def gate(settings: Settings, store: Store, web: http_server.Server, more: str = "") -> PlaybookBench:
    (settings.data_dir / "targets.yaml").write_text(TARGETS.format(url=web.url) + more)
    register(store, BEN, LEA)
    make_attack(store, settings.tenant)
    tools = ActionTargets.load(settings)
    return PlaybookBench(ActionBench(await connect(settings), store, settings, tools=tools))


def sketched(kind: str, agent: str, commands: list[dict[str, Any]], url: str = "", host: str = "") -> Playbook:
    sketch = Sketch(f"Real {kind}").variable("__other__", value=OTHER).variable("__out__")
    for number, _ in enumerate(SENT):
        sketch.variable(f"__v{number}__", external=True)
    own, target = step_id("individual", "agent"), step_id("net-address", "there")
    sketch.more = {"agent_definitions": {own: {"type": "individual", "name": agent}}}
    more: dict[str, Any] = {}
    if url or host:
        address = {"url": [url]} if url else {"ipv4": [host]}
        sketch.more["target_definitions"] = {target: {"type": "net-address", "name": "there", "address": address}}
        more["targets"] = [target]
    first = sketch.step(
        "action", "try", commands=commands, agent=own, out_args=["__out__"], on_success=sketch.end("done"), **more
    )
    return sketch.playbook(first)


async def output_of(bench: PlaybookBench, playbook: Playbook) -> str:
    """What the command gave, once people have approved it."""
    values = {f"__v{number}__": Held(value, Integrity.EXTERNAL) for number, value in enumerate(SENT)}
    async with bench.actions.workers():
        run_id = bench.start(playbook, given=values)
        (work,) = await bench.until_work(run_id, 1, ProposalStatus.WAITING)
        for person in (BEN, LEA):
            if bench.actions.stored(str(work.proposal_id)).status is ProposalStatus.WAITING:
                await bench.actions.vote(person, str(work.proposal_id))
        run = await bench.until_over(run_id)
    assert run.status is RunStatus.SUCCEEDED, run.outcome
    assert run.state is not None
    held = dict(run.state)["values"]
    assert isinstance(held, dict)
    found = held["__out__"]
    assert isinstance(found, dict)
    assert found["integrity"] == Integrity.EXTERNAL
    return str(found["value"])


REFERENCES = " ".join(f"__v{number}__:value" for number, _ in enumerate(SENT))
SHELL = f"for one in {REFERENCES}; do printf '<%s>' \"$one\"; done"


@pytest.mark.anyio
async def test_a_real_shell_gets_every_value_byte_for_byte(
    settings: Settings, sqlite_store: Store, web: http_server.Server
) -> None:
    bench = await gate(settings, sqlite_store, web)
    assert bench.actions.tools is not None
    try:
        bench.actions.tools.of(settings.tenant, "scripts").read_state(Target(TargetKind.COMMAND, "local://scripts"))
    except NotReadyError as error:
        pytest.skip(f"no namespaces can be made here: {error}")
    told = await output_of(bench, sketched("bash", "scripts", [{"type": "bash", "command": SHELL}]))
    assert told == "".join(f"<{one}>" for one in SENT)


@pytest.mark.anyio
async def test_a_real_server_gets_every_value_as_one_piece_of_data(
    settings: Settings, sqlite_store: Store, web: http_server.Server
) -> None:
    bench = await gate(settings, sqlite_store, web)
    web.content = b'{"out": "__other__:value $(reboot)"}'
    content = "{" + ", ".join(f'"v{number}": __v{number}__:value' for number, _ in enumerate(SENT)) + "}"
    command = {
        "type": "http-api",
        "command": "POST /v1/__v0__:value?why=__v4__:value HTTP/1.1",
        "headers": {"Content-Type": ["application/json"], "X-Case": ["__v1__:value"]},
        "content": content,
    }
    told = await output_of(bench, sketched("http", "api", [command], url=web.url))
    (request,) = web.requests
    path, _, query = request.target.partition("?")
    assert [unquote(one) for one in path.split("/")] == ["", "v1", SENT[0]]
    assert unquote(query) == f"why={SENT[4]}"
    assert request.header("X-Case") == [SENT[1]]
    assert json.loads(request.content) == {f"v{number}": value for number, value in enumerate(SENT)}
    # What it answers is a value like any other.
    assert told == "__other__:value $(reboot)"


@pytest.mark.anyio
async def test_a_real_host_gets_every_value_byte_for_byte(
    settings: Settings, sqlite_store: Store, web: http_server.Server
) -> None:
    folder = settings.data_dir / "sshd"
    folder.mkdir()
    with ssh_server.running(folder) as server:
        bench = await gate(settings, sqlite_store, web, SSH.format(s=server))
        told = await output_of(bench, sketched("ssh", "hosts", [{"type": "ssh", "command": SHELL}], host="127.0.0.1"))
    assert told == "".join(f"<{one}>" for one in SENT)
