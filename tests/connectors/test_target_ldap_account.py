"""Accounts of a directory, disabled and enabled on a real LDAP server that then refuses them, or lets them in."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from ldap3 import BASE as ENTRY
from ldap3 import MODIFY_REPLACE, NONE, Connection, Server

from tests.connectors.directory_server import BASE, PASSWORD, POLICY, READER, WRITER, Slapd, slapd
from watchfloor_connectors.context.accounts import Layout
from watchfloor_connectors.context.answer_bounds import Bounds
from watchfloor_connectors.context.directory_session import Place
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.ldap_account import LdapAccount
from watchfloor_connectors.targets.ldap_entry import Accounts, LdapAccountOptions
from watchfloor_connectors.targets.ldap_note import Note, note_in, with_note, without_note
from watchfloor_connectors.targets.ldap_session import WritingSession, writing_session
from watchfloor_connectors.targets.registry import load_targets
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target, hostile
from watchfloor_core.errors import ConfigurationError, NotFoundError, RecordError, RefusedError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError

Key = Callable[[str], str]
Edit = Callable[[str, str, list[str]], None]
See = Callable[[str, str], list[str]]

PEOPLE = f"ou=people,{BASE}"
LAX = f"cn=lax,{BASE}"
USER_PASSWORD = "0ne of the users"


def person(uid: str, *lines: str, unit: str = "people") -> str:
    head = f"dn: uid={uid},ou={unit},{BASE}\nobjectClass: inetOrgPerson\nuid: {uid}\ncn: {uid}\nsn: x\n"
    return "\n".join([f"{head}userPassword: {USER_PASSWORD}", *lines, "", ""])


def policy(dn: str, lockout: str) -> str:
    name = dn.partition(",")[0].partition("=")[2]
    return (
        f"dn: {dn}\nobjectClass: organizationalRole\nobjectClass: pwdPolicy\ncn: {name}\n"
        f"pwdAttribute: userPassword\npwdLockout: {lockout}\n\n"
    )


def windows(name: str, *lines: str, rid: int = 1_105, control: int = 512, of: str = "user") -> str:
    sid = base64.b64encode(bytes.fromhex("010500000000000515000000") + bytes(12) + rid.to_bytes(4, "little")).decode()
    classes = "objectClass: user\n" if of == "user" else "objectClass: user\nobjectClass: computer\n"
    head = f"dn: cn={name},{PEOPLE}\n{classes}cn: {name}\nsn: x\nsAMAccountName: {name}\nobjectSid:: {sid}\n"
    return "\n".join([f"{head}userAccountControl: {control}", *lines, "", ""])


LDIF = "".join(
    [
        policy(POLICY, "TRUE"),
        policy(LAX, "FALSE"),
        *(f"dn: ou={one},{BASE}\nobjectClass: organizationalUnit\nou: {one}\n\n" for one in ("people", "others")),
        person("ann", "description: Accounting, 2nd floor"),
        person("bob"),
        person("carl", "description: one", "description: two"),
        person("dora", "pwdAccountLockedTime: 20260101120000Z"),
        person("eve", "pwdAccountLockedTime: 000001010000Z"),
        person("lax", f"pwdPolicySubentry: {LAX}"),
        person("twin"),
        person("twin", unit="others"),
        person("ánn"),
        person("breakglass"),
        windows("wendy", "description: Sales", "userPrincipalName: w.smith@corp.example", control=66_048),
        windows("walt", control=514),
        windows("admin", rid=500),
        windows("krbtgt", rid=502, control=514),
        windows("ws17$", of="computer"),
    ]
)  # fmt: skip


@pytest.fixture(scope="module")
def running() -> Iterator[Slapd]:
    with slapd(LDIF) as found:
        yield found


@contextmanager
def connected(server: Slapd, dn: str, password: str) -> Iterator[Connection]:
    connection = Connection(Server("127.0.0.1", port=server.port, get_info=NONE), dn, password)
    connection.open()
    plain = connection.socket
    try:
        yield connection
    finally:
        connection.unbind()
        # The library leaves it open where nobody was let in.
        plain.close()


@contextmanager
def root(server: Slapd) -> Iterator[Connection]:
    """Whoever looks after the directory."""
    with connected(server, WRITER, PASSWORD) as connection:
        assert connection.bind(), connection.result
        yield connection


@pytest.fixture
def server(running: Slapd) -> Slapd:
    """All entries as they were at the start."""
    with root(running) as connection:
        for uid, lock, notes in (
            ("ann", [], ["Accounting, 2nd floor"]),
            ("bob", [], []),
            ("carl", [], ["one", "two"]),
            ("dora", ["20260101120000Z"], []),
            ("breakglass", [], []),
            ("lax", [], []),
        ):
            changes = {"pwdAccountLockedTime": [(MODIFY_REPLACE, lock)], "description": [(MODIFY_REPLACE, notes)]}
            assert connection.modify(f"uid={uid},{PEOPLE}", changes), connection.result
        for name, control, notes in (("wendy", "66048", ["Sales"]), ("walt", "514", [])):
            changes = {"userAccountControl": [(MODIFY_REPLACE, [control])], "description": [(MODIFY_REPLACE, notes)]}
            assert connection.modify(f"cn={name},{PEOPLE}", changes), connection.result
    return running


@pytest.fixture
def see(server: Slapd) -> See:
    def values(rdn: str, attribute: str) -> list[str]:
        with root(server) as connection:
            connection.search(f"{rdn},{PEOPLE}", "(objectClass=*)", ENTRY, attributes=[attribute])
            return sorted(one.decode() for one in connection.entries[0][attribute].raw_values or ())

    return values


@pytest.fixture
def edit(server: Slapd) -> Edit:
    def write(rdn: str, attribute: str, values: list[str]) -> None:
        with root(server) as connection:
            assert connection.modify(f"{rdn},{PEOPLE}", {attribute: [(MODIFY_REPLACE, values)]}), connection.result

    return write


@pytest.fixture
def options(server: Slapd, tmp_path: Path) -> LdapAccountOptions:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    return LdapAccountOptions(
        url=f"ldap://127.0.0.1:{server.port}",
        start_tls=True,
        ca=str(server.certificates.ca),
        layout=Layout.POSIX,
        base_dn=BASE,
        bind_dn=WRITER,
        password=f"file:{secret}",
        policy_dn=POLICY,
        never=("breakglass",),
        domains=("CORP", "corp.example"),
    )


@pytest.fixture
def tool(slot: Slot, options: LdapAccountOptions) -> LdapAccount:
    return LdapAccount(slot, options)


@pytest.fixture
def windows_tool(slot: Slot, options: LdapAccountOptions) -> LdapAccount:
    return LdapAccount(slot, options.model_copy(update={"layout": Layout.AD, "policy_dn": None}))


def user(name: str) -> Target:
    return Target(TargetKind.USER, name)


def disable(name: str) -> Action:
    return Action("disable user", "tool", user(name), {})


def enable(name: str) -> Action:
    return Action("enable user", "tool", user(name), {})


def logs_in(server: Slapd, uid: str) -> bool:
    with connected(server, f"uid={uid},{PEOPLE}", USER_PASSWORD) as connection:
        return bool(connection.bind())


def test_it_keeps_the_contract_of_tools(tool: LdapAccount, permit_for: PermitFor) -> None:
    check_target(tool, [Sample("disable user", user("ann")), Sample("disable user", user("carl"))], permit_for,
                 [user("breakglass")])  # fmt: skip


def test_it_keeps_the_contract_of_tools_in_active_directory(windows_tool: LdapAccount, permit_for: PermitFor) -> None:
    never = [user("admin"), user("krbtgt"), user("ws17$")]
    check_target(windows_tool, [Sample("disable user", user("wendy"))], permit_for, never)


def test_a_disabled_account_is_refused_by_the_directory_and_let_in_once_enabled(
    tool: LdapAccount, server: Slapd, permit_for: PermitFor, key: Key
) -> None:
    assert logs_in(server, "ann")
    tool.act(permit_for(disable("ann"), key("a")))
    assert not logs_in(server, "ann")
    back = tool.read_back(disable("ann"), key("a"))
    assert (back.effect, "by this action" in back.text) == (Effect.APPLIED, True)
    tool.act(permit_for(enable("ann"), key("b")))
    assert logs_in(server, "ann")
    assert tool.read_back(enable("ann"), key("b")).effect is Effect.APPLIED


def test_the_note_is_a_part_of_the_text_and_leaves_it_as_it_was(
    tool: LdapAccount, see: See, permit_for: PermitFor, key: Key
) -> None:
    for uid, before, during in (
        ("ann", ["Accounting, 2nd floor"], [f"Accounting, 2nd floor [wf:{key('a')}]"]),
        ("bob", [], [f"[wf:{key('a')}]"]),
        ("carl", ["one", "two"], [f"[wf:{key('a')}]", "one", "two"]),
    ):
        tool.act(permit_for(disable(uid), key("a")))
        assert see(f"uid={uid}", "description") == during
        tool.act(permit_for(enable(uid), key("b")))
        assert see(f"uid={uid}", "description") == before


def test_what_people_write_beside_the_note_stays(
    tool: LdapAccount, see: See, edit: Edit, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(disable("ann"), key("a")))
    edit("uid=ann", "description", [f"Accounting [wf:{key('a')}], on leave"])
    tool.act(permit_for(enable("ann"), key("b")))
    assert see("uid=ann", "description") == ["Accounting, on leave"]


def test_other_bits_of_an_account_of_windows_stay(
    windows_tool: LdapAccount, see: See, edit: Edit, permit_for: PermitFor, key: Key
) -> None:
    windows_tool.act(permit_for(disable("wendy"), key("a")))
    assert see("cn=wendy", "userAccountControl") == ["66050"]
    # Another hand takes away "password never expires" meanwhile.
    edit("cn=wendy", "userAccountControl", ["514"])
    windows_tool.act(permit_for(enable("wendy"), key("b")))
    assert see("cn=wendy", "userAccountControl") == ["512"]


def test_a_lock_that_the_server_had_set_by_itself_is_put_back(
    tool: LdapAccount, see: See, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(disable("dora"), key("a")))
    assert see("uid=dora", "pwdAccountLockedTime") == ["000001010000Z"]
    tool.act(permit_for(enable("dora"), key("b")))
    assert see("uid=dora", "pwdAccountLockedTime") == ["20260101120000Z"]
    assert see("uid=dora", "description") == []


@pytest.mark.parametrize(("layout", "name"), [(Layout.POSIX, "eve"), (Layout.AD, "walt")])
def test_what_another_hand_disabled_is_neither_taken_over_nor_enabled(
    slot: Slot, options: LdapAccountOptions, permit_for: PermitFor, key: Key, layout: Layout, name: str
) -> None:
    tool = LdapAccount(slot, options.model_copy(update={"layout": layout}))
    for action in (disable(name), enable(name)):
        with pytest.raises(NotDoneError, match="by another hand"):
            tool.act(permit_for(action, key("a")))
    back = tool.read_back(disable(name), key("a"))
    assert (back.effect, "by another hand" in back.text) == (Effect.APPLIED, True)
    with pytest.raises(NotDoneError, match="is not disabled"):
        tool.act(permit_for(enable("bob" if layout is Layout.POSIX else "wendy"), key("a")))


def test_what_another_proposal_disabled_is_not_disabled_twice(
    tool: LdapAccount, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(disable("ann"), key("a")))
    with pytest.raises(NotDoneError, match=key("a")):
        tool.act(permit_for(disable("ann"), key("b")))
    assert key("a") in tool.read_back(disable("ann"), key("b")).text


def test_a_note_that_another_hand_left_behind_by_enabling_is_replaced(
    tool: LdapAccount, see: See, edit: Edit, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(disable("ann"), key("a")))
    edit("uid=ann", "pwdAccountLockedTime", [])
    assert tool.read_back(disable("ann"), key("a")).effect is Effect.NOT_APPLIED
    tool.act(permit_for(disable("ann"), key("b")))
    assert see("uid=ann", "description") == [f"Accounting, 2nd floor [wf:{key('b')}]"]


def test_a_lock_that_no_policy_enforces_is_not_called_an_effect(
    tool: LdapAccount, server: Slapd, edit: Edit, permit_for: PermitFor, key: Key
) -> None:
    with pytest.raises(NotDoneError, match="pwdLockout"):
        tool.act(permit_for(disable("lax"), key("a")))
    edit("uid=lax", "pwdAccountLockedTime", ["000001010000Z"])
    assert logs_in(server, "lax"), "this server refuses it all the same, so the check is of no use"
    back = tool.read_back(disable("lax"), key("a"))
    assert (back.effect, "does not enforce" in back.text) == (Effect.NOT_APPLIED, True)


def test_a_policy_that_cannot_be_read_leaves_open_whether_a_lock_holds(
    slot: Slot, options: LdapAccountOptions, permit_for: PermitFor, key: Key
) -> None:
    blind = LdapAccount(slot, options.model_copy(update={"policy_dn": f"cn=nowhere,{BASE}"}))
    with pytest.raises(NotDoneError, match="mend policy_dn"):
        blind.act(permit_for(disable("ann"), key("a")))
    LdapAccount(slot, options).act(permit_for(disable("ann"), key("a")))
    assert blind.read_back(disable("ann"), key("a")).effect is Effect.UNKNOWN
    # It can be taken back all the same.
    blind.act(permit_for(enable("ann"), key("b")))
    assert blind.read_back(enable("ann"), key("b")).effect is Effect.APPLIED


def test_what_we_disabled_is_enabled_even_if_it_was_protected_since(
    tool: LdapAccount, slot: Slot, options: LdapAccountOptions, server: Slapd, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(disable("ann"), key("a")))
    for never in ("Ann", f"UID=ann,{PEOPLE}", f" uid = ann , {PEOPLE.replace(',', ', ')}"):
        later = LdapAccount(slot, options.model_copy(update={"never": (never,)}))
        assert later.version == tool.version
        later.act(permit_for(enable("ann"), key("b")))
        assert logs_in(server, "ann")
        assert later.read_back(enable("ann"), key("b")).effect is Effect.APPLIED
        with pytest.raises(RefusedError):
            later.act(permit_for(disable("ann"), key("a")))
        tool.act(permit_for(disable("ann"), key("a")))


def test_its_own_account_is_never_touched(slot: Slot, options: LdapAccountOptions) -> None:
    tool = LdapAccount(slot, options.model_copy(update={"user_attribute": "cn"}))
    with pytest.raises(RefusedError, match="never touched"):
        tool.read_state(user("writer"))


@pytest.mark.parametrize("bind_dn", ["CORP\\Wendy", "wendy@corp.example", f"CN=Wendy, {PEOPLE}"])
def test_its_own_account_is_known_by_each_way_to_bind(options: LdapAccountOptions, server: Slapd, bind_dn: str) -> None:
    changes = {"layout": Layout.AD, "bind_dn": bind_dn}
    accounts = Accounts("tool", options.model_copy(update=changes))
    place = Place(
        host="127.0.0.1", port=server.port, tls=None, start_tls=False, base_dn=BASE, bind_dn=WRITER, timeout_s=4
    )
    with writing_session(place, lambda: PASSWORD) as session, pytest.raises(RefusedError, match="never touched"):
        accounts.find(session, accounts.wanted(user("wendy")))


def test_a_protected_account_is_known_by_its_principal_name_too(windows_tool: LdapAccount, slot: Slot) -> None:
    tool = LdapAccount(slot, windows_tool.options.model_copy(update={"never": ("W.Smith@corp.example",)}))
    with pytest.raises(RefusedError, match="never touched"):
        tool.read_state(user("wendy"))


@pytest.mark.parametrize(
    ("name", "dn"),
    [("wendy", "wendy"), ("WENDY", "wendy"), ("CORP\\wendy", "wendy"), ("w.smith@corp.example", "wendy")],
)
def test_an_account_is_found_by_each_of_its_names(windows_tool: LdapAccount, name: str, dn: str) -> None:
    assert windows_tool.read_state(user(name)).content["dn"] == f"cn={dn},{PEOPLE}"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("OTHER\\wendy", RecordError),
        ("wendy@evil.example", RecordError),
        ("wendy@corp.example", NotFoundError),
        ("nobody", NotFoundError),
        ("ánn", NotFoundError),
    ],
)
def test_a_name_of_another_domain_or_of_nobody_is_no_target(
    windows_tool: LdapAccount, name: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        windows_tool.read_state(user(name))


def test_a_name_that_the_server_takes_for_a_similar_one_is_not_that(tool: LdapAccount) -> None:
    assert tool.read_state(user("ann")).content["dn"] == f"uid=ann,{PEOPLE}"
    assert str(tool.read_state(user("ánn")).content["dn"]).startswith("uid=")
    assert tool.read_state(user("ánn")) != tool.read_state(user("ann"))


def test_a_name_of_two_accounts_is_left_to_people(tool: LdapAccount, permit_for: PermitFor, key: Key) -> None:
    with pytest.raises(NotDoneError, match="several accounts"):
        tool.act(permit_for(disable("twin"), key("a")))


def test_an_account_without_the_right_to_write_changes_nothing(
    slot: Slot, options: LdapAccountOptions, server: Slapd, permit_for: PermitFor, key: Key
) -> None:
    tool = LdapAccount(slot, options.model_copy(update={"bind_dn": READER}))
    with pytest.raises(NotDoneError, match="insufficientAccessRights"):
        tool.act(permit_for(disable("ann"), key("a")))
    assert logs_in(server, "ann")


def test_a_right_that_is_missing_for_the_note_leaves_the_lock_undone(
    slot: Slot, options: LdapAccountOptions, server: Slapd, permit_for: PermitFor, key: Key
) -> None:
    tool = LdapAccount(slot, options.model_copy(update={"note_attribute": "title"}))
    with pytest.raises(NotDoneError, match="did none of it"):
        tool.act(permit_for(disable("ann"), key("a")))
    assert logs_in(server, "ann")


def test_a_wrong_password_is_told_without_it(
    slot: Slot, options: LdapAccountOptions, tmp_path: Path, permit_for: PermitFor, key: Key
) -> None:
    (tmp_path / "password").write_text("hunter2")
    tool = LdapAccount(slot, options)
    with pytest.raises(NotDoneError, match="refuses bind_dn") as found:
        tool.act(permit_for(disable("ann"), key("a")))
    assert "hunter2" not in str(found.value)
    (tmp_path / "password").write_text("")
    with pytest.raises(NotDoneError, match="password is empty"):
        tool.act(permit_for(disable("ann"), key("a")))


def test_tls_that_is_not_trusted_gets_no_password(slot: Slot, options: LdapAccountOptions, server: Slapd) -> None:
    for change in ({"ca": None}, {"ca": None, "start_tls": False, "url": f"ldaps://127.0.0.1:{server.tls_port}"}):
        with pytest.raises(UnavailableError, match="is not trusted, and gets no password"):
            LdapAccount(slot, options.model_copy(update=change)).read_state(user("ann"))
    with pytest.raises(NotDoneError, match="cannot be read"):
        LdapAccount(slot, options.model_copy(update={"ca": "/nowhere.pem"})).read_state(user("ann"))


def test_ldaps_is_spoken_too(slot: Slot, options: LdapAccountOptions, server: Slapd) -> None:
    change = {"start_tls": False, "url": f"ldaps://127.0.0.1:{server.tls_port}"}
    assert LdapAccount(slot, options.model_copy(update=change)).read_state(user("ann")).content["is_disabled"] is False


def test_a_server_that_is_away_means_that_nothing_was_done(
    slot: Slot, options: LdapAccountOptions, permit_for: PermitFor, key: Key
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        tool = LdapAccount(slot, options.model_copy(update={"url": f"ldap://127.0.0.1:{unused.getsockname()[1]}"}))
    with pytest.raises(NotDoneError, match="does not answer"):
        tool.act(permit_for(disable("ann"), key("a")))


def message(stream: socket.socket) -> bytes:
    """One LDAPMessage (RFC 4511, 5.1), or nothing at the end."""
    head = stream.recv(2, socket.MSG_WAITALL)
    if len(head) < 2:
        return b""
    size = head[1]
    if size & 0x80:
        length = stream.recv(size & 0x7F, socket.MSG_WAITALL)
        head, size = head + length, int.from_bytes(length, "big")
    return head + stream.recv(size, socket.MSG_WAITALL)


def is_entry(answer: bytes) -> bool:
    """Something more comes after it."""
    if not answer:
        return False
    identity = answer[2 + (answer[1] & 0x7F if answer[1] & 0x80 else 0) :]
    return identity[2 + identity[1]] == 0x64


@contextmanager
def relay(server: Slapd, answered: int) -> Iterator[int]:
    """Passes on all that a client sends, and the answers to the first requests of each connection; gives its port."""

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", server.port)) as behind:
            seen = 0
            while request := message(client):
                behind.sendall(request)
                seen += 1
                while is_entry(answer := message(behind)):
                    client.sendall(answer)
                if not answer:
                    return
                if seen > answered:
                    # It was done, and nobody hears of it.
                    client.recv(1)
                    return
                client.sendall(answer)

    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(client,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in [accepting, *threads]:
            one.join(timeout=10)


def test_an_answer_that_is_lost_leaves_the_outcome_open_and_the_effect_is_found(
    tool: LdapAccount, slot: Slot, options: LdapAccountOptions, server: Slapd, permit_for: PermitFor, key: Key
) -> None:
    # Bind, the account, its policy: answered. The modification: done, and the answer lost.
    with relay(server, 3) as port:
        change = {"url": f"ldap://127.0.0.1:{port}", "start_tls": False, "timeout_s": 1.0}
        lossy = LdapAccount(slot, options.model_copy(update=change))
        with pytest.raises(UnavailableError, match="did not answer in time") as found:
            lossy.act(permit_for(disable("ann"), key("a")))
    assert not isinstance(found.value, NotDoneError)
    assert tool.read_back(disable("ann"), key("a")).effect is Effect.APPLIED


@pytest.mark.parametrize(("code", "is_certain"), [(80, False), (1, False), (50, True), (53, True), (16, True)])
def test_an_answer_that_says_nothing_leaves_the_outcome_open(
    options: LdapAccountOptions, code: int, is_certain: bool
) -> None:
    class Answering:
        """As the library's connection, after an answer (RFC 4511, appendix A)."""

        def __init__(self) -> None:
            self.result = {"result": code, "description": "told"}

        def modify(self, dn: str, changes: object) -> bool:
            return False

    place = Place(host="d", port=389, tls=None, start_tls=False, base_dn=BASE, bind_dn=WRITER, timeout_s=4)
    with pytest.raises((NotDoneError, UnavailableError)) as found:
        WritingSession(Answering(), place, Bounds(4)).modify("uid=ann", [("add", "description", b"x")])
    assert isinstance(found.value, NotDoneError) is is_certain


def test_what_another_hand_changes_in_the_very_moment_is_not_overwritten(
    tool: LdapAccount, see: See, edit: Edit, permit_for: PermitFor, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing = LdapAccount._disabling

    def meanwhile(self: LdapAccount, account: object, given: str) -> object:
        edit("uid=ann", "description", ["Moved to sales"])
        return changing(self, account, given)  # type: ignore[arg-type]  # handed on as it comes

    monkeypatch.setattr(LdapAccount, "_disabling", meanwhile)
    with pytest.raises(NotDoneError, match="noSuchAttribute"):
        tool.act(permit_for(disable("ann"), key("a")))
    assert (see("uid=ann", "description"), see("uid=ann", "pwdAccountLockedTime")) == (["Moved to sales"], [])


def test_nothing_is_sent_for_a_value_that_is_no_account(
    slot: Slot, options: LdapAccountOptions, permit_for: PermitFor, key: Key
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"ldap://127.0.0.1:{listener.getsockname()[1]}"
        tool = LdapAccount(slot, options.model_copy(update={"url": url}))
        for target in [*hostile(user("ann")), user("ann)(uid=*"), user("a*"), user("uid=ann,ou=people"), user("a,b")]:
            with pytest.raises(RecordError):
                tool.read_state(target)
            with pytest.raises(RecordError):
                tool.act(permit_for(replace(disable("ann"), target=target), key("a")))
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_mistakes_of_the_file_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "targets.yaml").write_text(
        "targets:\n  - tool: d\n    kind: ldap_account\n    tenants: [a]\n    url: ldap://dc.corp.example\n"
        "    layout: posix\n    base_dn: dc=corp\n    bind_dn: cn=w\n    password: file:/p\n"
        "  - tool: e\n    kind: ldap_account\n    tenants: [a]\n    url: ldaps://dc\n    layout: ad\n"
        "    base_dn: dc=corp\n    bind_dn: cn=w\n    password: hunter2\n"
    )
    with pytest.raises(ConfigurationError) as found:
        load_targets(tmp_path / "targets.yaml", tmp_path)
    told = str(found.value)
    for part in ("would carry the password in clear text", "policy_dn is missing", "a secret stands in a place"):
        assert part in told
    assert "hunter2" not in told


def test_notes_are_read_as_they_are_written(key: Key) -> None:
    for values in ((), (b"text",), (b"one", b"two"), (b"text ",)):
        for note in (Note(key("a")), Note(key("a"), "20260101120000Z"), Note(key("a"), "20260101120000.123456Z")):
            marked = with_note(values, note)
            assert note_in(marked) == note
            assert without_note(marked) == values
    with pytest.raises(UnavailableError, match="several notes"):
        note_in((Note(key("a")).text(), Note(key("b")).text()))
    assert note_in((b"[wf:short]", b"wf:" + key("a").encode())) is None
