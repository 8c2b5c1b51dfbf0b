"""A playbook contains, tells and is taken back in the real world: a packet filter, a directory, tickets and mail.

nftables in a network namespace, OpenLDAP's slapd, a server that speaks as Jira documents, and one that hears SMTP; the
tools are those of a ``targets.yaml``, in the executor of every installation.
"""

from __future__ import annotations

import email
import email.policy
import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ldap3 import NONE, Connection, Server
from sqlalchemy import select

from tests.connectors.directory_server import BASE, PASSWORD, POLICY, WRITER, Slapd, slapd
from tests.connectors.ticket_servers import JiraServer
from tests.connectors.vendor_server import SECRET, served
from tests.workflows.autonomy import allow_everything, certify
from watchfloor_connectors.channels.testing import SmtpReceiver, smtp_receiver
from watchfloor_connectors.targets.programs import PATH
from watchfloor_connectors.targets.registry import ActionTargets
from watchfloor_core.alert import Integrity
from watchfloor_core.ledger import verify_store
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema import span as span_table
from watchfloor_core.store.schema_authority import execution
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_workflows.client import connect
from watchfloor_workflows.playbooks.undoing import start_undoing
from watchfloor_workflows.testing.actions import ActionBench, Person, make_attack, register
from watchfloor_workflows.testing.playbooks import PlaybookBench

pytestmark = pytest.mark.anyio

WAITING, SUCCEEDED = ProposalStatus.WAITING, ProposalStatus.SUCCEEDED
ANA, BEN = Person("ana"), Person("ben")
"""Whoever wrote the policy approves nothing that is ruled by it."""
INCIDENT = "inc-0123456789abcdef"
ADDRESS, USER = "203.0.113.7", "eve"
USER_PASSWORD = "0ne of the users"
RULES = """
table inet watchfloor {
    set blocked4 { type ipv4_addr; }
    set blocked6 { type ipv6_addr; }
    chain guard {
        type filter hook prerouting priority raw; policy accept;
        ip saddr @blocked4 drop
        ip6 saddr @blocked6 drop
    }
}
"""
PEOPLE = f"""\
dn: {POLICY}
objectClass: organizationalRole
objectClass: pwdPolicy
cn: policy
pwdAttribute: userPassword
pwdLockout: TRUE

dn: uid={USER},{BASE}
objectClass: inetOrgPerson
uid: {USER}
cn: {USER}
sn: x
userPassword: {USER_PASSWORD}

"""
TARGETS = """\
targets:
  - {{tool: edge, kind: nftables, tenants: "*", netns: {netns}}}
  - tool: directory
    kind: ldap_account
    tenants: "*"
    url: ldaps://127.0.0.1:{slapd.tls_port}
    ca: {slapd.certificates.ca}
    layout: posix
    base_dn: {base}
    bind_dn: {writer}
    password: file:{folder}/password
    policy_dn: {policy}
  - tool: tickets
    kind: jira
    tenants: "*"
    api_url: {jira}
    email: bot@corp.example
    api_token: file:{folder}/token
    project: SOC
  - tool: people
    kind: notify
    tenants: "*"
    channels:
      - {{name: duty, kind: mail, host: 127.0.0.1, port: {mail}, sender: watchfloor@example.org, recipients: [soc@example.org]}}
"""  # noqa: E501 - one channel, one line
PLAYBOOK = """\
type: playbook
spec_version: cacao-2.0
id: playbook--8f0d1a52-7d2e-4f3a-9a0e-1f2b3c4d5e6f
name: Contain a stolen account
created_by: identity--0c1d2e3f-4a5b-4c6d-8e7f-901234567890
created: "2026-11-28T08:00:00.000Z"
modified: "2026-11-28T08:00:00.000Z"
playbook_variables:
  __address__: {type: ipv4-addr, external: true}
  __user__: {type: string, external: true}
  __incident_id__: {type: string, external: true}
  __ticket__: {type: string, value: none}
workflow_start: start--00000000-0000-4000-8000-000000000000
workflow:
  start--00000000-0000-4000-8000-000000000000:
    {type: start, on_completion: action--00000000-0000-4000-8000-000000000001}
  action--00000000-0000-4000-8000-000000000001:
    type: action
    name: Shut the address out
    agent: individual--00000000-0000-4000-8000-0000000000aa
    on_success: action--00000000-0000-4000-8000-000000000002
    commands: [{type: watchfloor-action, action_class: deny ip, target: "__address__:value"}]
  action--00000000-0000-4000-8000-000000000002:
    type: action
    name: Lock the account
    agent: individual--00000000-0000-4000-8000-0000000000aa
    on_success: action--00000000-0000-4000-8000-000000000003
    commands: [{type: watchfloor-action, action_class: disable user, target: "__user__:value"}]
  action--00000000-0000-4000-8000-000000000003:
    type: action
    name: Have the password changed
    agent: individual--00000000-0000-4000-8000-0000000000aa
    on_success: action--00000000-0000-4000-8000-000000000004
    out_args: [__ticket__]
    commands:
      - type: watchfloor-action
        action_class: create ticket
        target: "__incident_id__:value"
        arguments: {title: "Change the password of __user__:value", text: "It came from __address__:value."}
  action--00000000-0000-4000-8000-000000000004:
    type: action
    name: Tell those on duty
    agent: individual--00000000-0000-4000-8000-0000000000aa
    on_success: end--00000000-0000-4000-8000-000000000005
    commands:
      - type: watchfloor-action
        action_class: notify channel
        target: duty
        arguments: {text: "__user__:value is locked, see ticket __ticket__:value."}
  end--00000000-0000-4000-8000-000000000005: {type: end, name: Done}
agent_definitions:
  individual--00000000-0000-4000-8000-0000000000aa: {type: individual, name: The analyst}
"""
STEPS = ["Shut the address out", "Lock the account", "Have the password changed", "Tell those on duty"]


@dataclass(frozen=True)
class World:
    """What is really there, asked without any tool of ours."""

    netns: str
    directory: Slapd
    jira: JiraServer
    mail: SmtpReceiver

    def blocked(self) -> list[str]:
        listed = run("ip", "netns", "exec", self.netns, "nft", "-j", "list", "set", "inet", "watchfloor", "blocked4")
        (found,) = [one["set"] for one in json.loads(listed)["nftables"] if "set" in one]
        return [one["elem"]["val"] if isinstance(one, dict) else one for one in found.get("elem", [])]

    def lets_in(self, user: str) -> bool:
        connection = Connection(
            Server("127.0.0.1", port=self.directory.port, get_info=NONE), f"uid={user},{BASE}", USER_PASSWORD
        )
        connection.open()
        plain = connection.socket
        try:
            return bool(connection.bind())
        finally:
            connection.unbind()
            # The library leaves it open where nobody was let in.
            plain.close()

    def tickets(self) -> list[tuple[str, str, str]]:
        """Number, title and state of each."""
        found = [(one["key"], one["fields"]) for one in self.jira.tickets.values()]
        return [(number, fields["summary"], fields["status"]["name"]) for number, fields in found]

    def mails(self) -> list[str]:
        parsed = [email.message_from_bytes(one, policy=email.policy.default) for one in self.mail.mails]
        return [str(body.get_content()) for one in parsed if (body := one.get_body(("plain",))) is not None]


def run(*command: str, text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, env={"PATH": PATH})
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.fixture
def netns() -> Iterator[str]:
    missing = [program for program in ("nft", "ip") if shutil.which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)} (Debian: nftables, iproute2)")
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root here")
    name = f"wfp{uuid.uuid4().hex[:6]}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"this environment allows no network namespace: {made.stderr.strip()}")
    try:
        run("ip", "netns", "exec", name, "nft", "-f", "-", text=RULES)
        yield name
    finally:
        run("ip", "netns", "delete", name)


@pytest.fixture
def world(netns: str) -> Iterator[World]:
    jira = JiraServer()
    with slapd(PEOPLE) as directory, served(jira), smtp_receiver() as mail:
        yield World(netns, directory, jira, mail)


@pytest.fixture
async def bench(settings: Settings, sqlite_store: Store, world: World) -> PlaybookBench:
    folder = settings.data_dir
    for name, text in (("password", PASSWORD), ("token", SECRET)):
        (folder / name).write_text(f"{text}\n")
        (folder / name).chmod(0o600)
    told = {"netns": world.netns, "slapd": world.directory, "jira": world.jira.url, "mail": world.mail.port}
    told |= {"base": BASE, "writer": WRITER, "policy": POLICY, "folder": folder}
    (folder / "targets.yaml").write_text(TARGETS.format(**told))
    register(sqlite_store, ANA, BEN)
    make_attack(sqlite_store, settings.tenant, INCIDENT)
    actions = ActionBench(await connect(settings), sqlite_store, settings, tools=ActionTargets.load(settings))
    return PlaybookBench(actions)


async def test_what_a_playbook_does_to_the_world_is_there_and_is_taken_back_in_reverse_order(
    bench: PlaybookBench, world: World
) -> None:
    actions = bench.actions
    playbook = load(PLAYBOOK.encode(), "contain.yaml", is_strict=True)
    allow_everything(actions, ANA)
    for tool, action_class in (("edge", "deny ip"), ("tickets", "create ticket"), ("people", "notify channel")):
        assert actions.tools is not None
        certify(actions, playbook, actions.tools.of(actions.tenant, tool), action_class)
    assert (world.blocked(), world.lets_in(USER), world.tickets(), world.mails()) == ([], True, [], [])

    async with actions.workers():
        given = {"__address__": Held(ADDRESS, Integrity.SENSOR), "__user__": Held(USER, Integrity.SENSOR)}
        run_id = bench.start(playbook, given=given, incident_id=INCIDENT)
        _, lock = await bench.until_work(run_id, 2)
        await actions.until(str(lock.proposal_id), WAITING)
        # What outcomes bear out is done; what they do not waits for a person, and everything behind it.
        assert (world.blocked(), world.lets_in(USER), world.tickets()) == ([ADDRESS], True, [])
        await actions.vote(BEN, str(lock.proposal_id))
        tell = (await bench.until_work(run_id, 4))[-1]
        # What the tracker answered stands in the message: outcomes bear it out, and a person looks all the same.
        await actions.until(str(tell.proposal_id), WAITING)
        await actions.vote(BEN, str(tell.proposal_id))
        ended = await bench.until_over(run_id)

        assert (ended.status, ended.outcome) == (RunStatus.SUCCEEDED, "")
        assert (world.blocked(), world.lets_in(USER)) == ([ADDRESS], False)
        ((number, title, state),) = world.tickets()
        assert (title, state) == (f"Change the password of {USER}", "To Do")
        (mail,) = world.mails()
        assert number in mail
        done = bench.proposals(run_id)
        assert [one.status for one in done] == [SUCCEEDED] * 4

        with actions.store.write() as connection:
            undoing = start_undoing(connection, ended, ended.proposer, "eve was on a journey")
        states = []
        for count in (1, 2, 3):
            work = (await bench.until_work(undoing, count))[-1]
            await actions.until(str(work.proposal_id), WAITING)
            states.append((world.tickets()[0][2], world.lets_in(USER), world.blocked()))
            await actions.vote(BEN, str(work.proposal_id))
        taken_back = await bench.until_over(undoing)

    assert taken_back.status is RunStatus.SUCCEEDED, taken_back.outcome
    # As it stood before each undo: one after the other, the latest first.
    assert states == [("To Do", False, [ADDRESS]), ("Cancelled", False, [ADDRESS]), ("Cancelled", True, [ADDRESS])]
    assert (world.blocked(), world.lets_in(USER), world.tickets()[0][2]) == ([], True, "Cancelled")
    assert len(world.mails()) == 1
    assert [(one.draft.action_class, one.status) for one in bench.proposals(undoing)] == [
        ("cancel ticket", SUCCEEDED), ("enable user", SUCCEEDED), ("allow ip", SUCCEEDED),
    ]  # fmt: skip
    the_ledger_tells_of_all_of_it(bench, run_id, undoing)


def the_ledger_tells_of_all_of_it(bench: PlaybookBench, run_id: str, undoing: str) -> None:
    actions, tenant = bench.actions, bench.actions.tenant
    proposals = {one.id for one in (*bench.proposals(run_id), *bench.proposals(undoing))}
    with actions.store.read() as connection:
        verify_store(connection, tenant).raise_for_fault()
        chain = connection.execute(
            select(ledger_entry.c.id, ledger_entry.c.kind, ledger_entry.c.body)
            .where(ledger_entry.c.tenant == tenant, ledger_entry.c.chain == INCIDENT)
            .order_by(ledger_entry.c.seq)
        ).all()
        spans = connection.execute(
            select(span_table.c.span_id, span_table.c.attributes).where(span_table.c.tenant == tenant)
        ).all()
        receipts = connection.execute(
            select(execution.c.authority, execution.c.receipt)
            .where(execution.c.tenant == tenant)
            .order_by(execution.c.consumed_us)
        ).all()
    told = [(row.id, json.loads(row.body)["body"]) for row in chain if row.kind == "playbook"]
    attributes = {row.span_id: row.attributes for row in spans}
    assert {body["run"] for _, body in told} == {run_id, undoing}
    steps = [(entry, body) for entry, body in told if body["stage"] == "step"]
    assert [body["name"] for _, body in steps] == STEPS
    for entry, body in told:
        assert attributes[entry][SpanAttribute.PLAYBOOK_RUN_ID] == body["run"]
        assert attributes[entry].get(SpanAttribute.PLAYBOOK_STEP_ID) == body.get("step")
    assert [row.receipt["read_back"]["effect"] for row in receipts] == ["applied"] * 7
    assert [row.authority for row in receipts] == ["level", "people", "level", *["people"] * 4]
    drafts = [json.loads(row.body)["body"] | {"entry": row.id} for row in chain if row.kind == "proposal"]
    drafts = [one for one in drafts if one["stage"] == "drafted"]
    # Which action came of which step of which run.
    assert [(one["run"], one.get("step")) for one in drafts] == [
        *((run_id, body["step"]) for _, body in steps), *[(undoing, None)] * 3,
    ]  # fmt: skip
    for one in drafts:
        assert attributes[one["entry"]][SpanAttribute.PLAYBOOK_RUN_ID] == one["run"]
    for kind in ("proposal", "execution", "receipt"):
        found = {re.search(r"act-[0-9a-f]{16}", row.body) for row in chain if row.kind == kind}
        assert {match[0] for match in found if match is not None} == proposals
