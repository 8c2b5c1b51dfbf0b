"""Commands by SSH, with a real client and a real server: what runs, what is never sent, and how it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.connectors import ssh_server
from watchfloor_connectors.targets.base import NeverError, NotReadyError, Slot
from watchfloor_connectors.targets.commands.ssh import REMOTE, Ssh, SshOptions
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import NotFoundError, RecordError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect, NotDoneError, ReadBack
from watchfloor_playbooks.templates import ssh_arguments

Act = Callable[..., ReadBack]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ssh_server.Server]:
    with ssh_server.running(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def options(server: ssh_server.Server) -> dict[str, Any]:
    return {
        "user": server.user,
        "identity": f"file:{server.identity}",
        "known_hosts": str(server.known_hosts),
        "hosts": ("127.0.0.0/8", "localhost"),
        "port": server.port,
        "timeout_s": 8,
    }


def there(host: str = "127.0.0.1", port: int | None = None) -> Target:
    return Target(TargetKind.COMMAND, f"ssh://{host}" if port is None else f"ssh://{host}:{port}")


@pytest.fixture
def act(slot: Slot, options: dict[str, Any], permit_for: PermitFor, key: Callable[[str], str]) -> Act:
    def run(command: str, *values: str, word: str = "one", target: Target | None = None, **changed: Any) -> ReadBack:
        tool = Ssh(slot, SshOptions(**{**options, **changed}))
        arguments = {f"value.{number}": value for number, value in enumerate(values, 1)}
        action = Action("start command", "tool", target or there(), {"command": command, **arguments})
        try:
            tool.act(permit_for(action, key(word)))
        except NotDoneError:
            raise
        except UnavailableError:
            pass
        return tool.read_back(action, key(word))

    return run


def test_it_keeps_the_contract(slot: Slot, options: dict[str, Any], permit_for: PermitFor) -> None:
    tool = Ssh(slot, SshOptions(**options, never=("127.0.0.66",)))
    elsewhere = [there("127.0.0.66"), there("203.0.113.9"), there("db.corp.example")]
    check_target(tool, [Sample("start command", there(), {"command": "echo hello"})], permit_for, elsewhere)


HOSTILE = (
    "$(touch pwned)", "`touch pwned`", "; rm -rf /", "'; touch pwned; '", '"; touch pwned; "', "a\r\nb\n", "{{7*7}}",
    "\u202e\u200b", "-rf", "--", "*", "~", "\\", "\\'", "!!", "$1", "\x01\x7f", "é", "wf:", " ",
    "\n) </dev/null\nid\n(",
)  # fmt: skip


@pytest.mark.usefixtures("server")
def test_hostile_values_arrive_byte_for_byte(act: Act) -> None:
    names = {f"__v{number}__": value for number, value in enumerate(HOSTILE)}
    made = ssh_arguments("printf -- '%s|' " + " ".join(f'"{name}:value"' for name in names), names)
    values = [made[f"value.{number}"] for number in range(1, len(HOSTILE) + 1)]
    back = act(made["command"], *values)
    assert (back.effect, back.output) == (Effect.APPLIED, "".join(f"{value}|" for value in HOSTILE))


def test_how_it_ended_is_read_back_with_what_it_wrote(act: Act) -> None:
    back = act("echo out; echo problem >&2; exit 7", word="a")
    assert (back.effect, back.output) == (Effect.NOT_APPLIED, "out\n")
    assert "exit code 7" in back.text
    assert '"problem"' in back.text
    back = act("printf 'no line end'", word="b")
    assert (back.effect, back.output) == (Effect.APPLIED, "no line end")
    back = act("exit 255", word="c")
    assert (back.effect, "exit code 255" in back.text) == (Effect.NOT_APPLIED, True)
    assert act("if", word="d").effect is Effect.NOT_APPLIED
    back = act("false; echo last", word="e")
    assert (back.effect, back.output) == (Effect.APPLIED, "last\n")


def test_a_command_that_reads_its_input_does_not_get_the_rest_of_the_script(act: Act) -> None:
    assert act("cat\nread line\necho \"[$line]\"\ncat <<'E'\nheld\nE").output == "[]\nheld\n"


def test_it_runs_once_under_one_key(act: Act, tmp_path: Path) -> None:
    file = tmp_path / "count"
    assert act('echo x >>"$1"', str(file)).effect is Effect.APPLIED
    assert act('echo x >>"$1"', str(file)).effect is Effect.APPLIED
    assert file.read_text() == "x\n"


def test_the_account_may_be_held_to_the_one_shell(act: Act, server: ssh_server.Server) -> None:
    kept = server.authorized_keys.read_text()
    server.authorized_keys.write_text(f'restrict,command="{REMOTE}" {server.public_key}\n')
    try:
        assert act("echo $#", "a", "b").output == "2\n"
    finally:
        server.authorized_keys.write_text(kept)


def test_an_account_without_a_shell_runs_nothing(act: Act, server: ssh_server.Server) -> None:
    kept = server.authorized_keys.read_text()
    server.authorized_keys.write_text(f'restrict,command="cat >/dev/null; exit 3" {server.public_key}\n')
    try:
        with pytest.raises(NotDoneError, match="no shell answers"):
            act("echo hello", timeout_s=2)
    finally:
        server.authorized_keys.write_text(kept)


def test_what_takes_too_long_is_unknown(act: Act) -> None:
    back = act("echo begun; exec sleep 30", timeout_s=2)
    assert (back.effect, back.output) == (Effect.UNKNOWN, "begun\n")
    assert "may go on over there" in back.text


def test_a_connection_that_breaks_meanwhile_leaves_it_unknown(
    act: Act, options: dict[str, Any], tmp_path: Path
) -> None:
    with ssh_server.running(tmp_path) as own:
        of_its_own = {"identity": f"file:{own.identity}", "known_hosts": str(own.known_hosts), "port": own.port}
        # What started the shell is what holds the connection.
        back = act("echo begun; kill -9 $PPID; sleep 5", timeout_s=6, **of_its_own)
    assert back.effect is Effect.UNKNOWN
    assert "by a broken connection" in back.text


def test_a_host_with_another_key_or_none_is_not_spoken_to(
    act: Act, server: ssh_server.Server, slot: Slot, options: dict[str, Any], tmp_path: Path
) -> None:
    other = ssh_server.make_key(tmp_path / "other").with_suffix(".pub").read_text()
    wrong, ran = tmp_path / "wrong", tmp_path / "ran"
    wrong.write_text(f"[127.0.0.1]:{server.port} {other}\n")
    with pytest.raises(NotDoneError, match="no shell answers"):
        act(f"touch {ran}", known_hosts=str(wrong))
    empty = tmp_path / "empty"
    empty.write_text("")
    with pytest.raises(NotFoundError, match="put its key there"):
        Ssh(slot, SshOptions(**{**options, "known_hosts": str(empty)})).read_state(there())
    with pytest.raises(NotDoneError, match="put its key there"):
        act(f"touch {ran}", word="b", known_hosts=str(empty))
    with pytest.raises(NotReadyError, match="does not exist"):
        act("true", word="c", known_hosts=str(tmp_path / "none"))
    assert not ran.exists()


def test_a_key_that_the_host_does_not_take_runs_nothing(act: Act, tmp_path: Path) -> None:
    other = ssh_server.make_key(tmp_path / "other")
    with pytest.raises(NotDoneError, match="Permission denied"):
        act("true", identity=f"file:{other}")
    os.chmod(other, 0o640)
    with pytest.raises(NotReadyError, match="chmod 600"):
        act("true", word="b", identity=f"file:{other}")


def test_a_host_that_does_not_answer_runs_nothing(act: Act, server: ssh_server.Server) -> None:
    with server.known_hosts.open("a") as stream:
        stream.write(f"127.0.0.1 {server.host_key}\n[127.0.0.1]:1 {server.host_key}\n")
    with pytest.raises(NotDoneError, match=r"no shell answers at 127\.0\.0\.1 port 1"):
        act("true", target=there(port=1))


def test_neither_an_agent_nor_a_configuration_of_the_executors_account_is_used(
    act: Act, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(f"Host *\n  ProxyCommand touch {tmp_path}/used\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    assert act("echo ${SSH_AUTH_SOCK-none}").output == "none\n"
    assert not (tmp_path / "used").exists()


def test_the_state_is_the_hosts_key_and_the_pin_does_not_change_with_what_restricts(
    slot: Slot, options: dict[str, Any], server: ssh_server.Server
) -> None:
    tool = Ssh(slot, SshOptions(**options))
    content = tool.read_state(there()).content
    assert (content["host"], content["port"]) == ("127.0.0.1", server.port)
    (fingerprint,) = content["host_keys"] if isinstance(content["host_keys"], list) else []
    assert str(fingerprint).startswith("ssh-ed25519 SHA256:")
    assert tool.read_state(there("localhost", server.port)).content["host"] == "localhost"
    assert Ssh(slot, SshOptions(**{**options, "hosts": ("localhost",), "timeout_s": 2})).version == tool.version
    assert Ssh(slot, SshOptions(**{**options, "user": "other"})).version != tool.version


# --- Without a server


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Any]:
    ssh_server.keygen()
    key = ssh_server.make_key(tmp_path / "key").with_suffix(".pub").read_text()
    file = tmp_path / "known"
    file.write_text(f"ws-17.corp.example {key}[ws-17.corp.example]:2222 {key}@cert-authority *.branch.example {key}")
    return {
        "user": "responder",
        "identity": "file:/etc/watchfloor/ssh",
        "known_hosts": str(file),
        "hosts": ("ws-17.corp.example", "a.branch.example", "10.0.0.0/8", "2001:db8::/32"),
    }


def test_a_host_is_known_by_name_and_port_or_by_its_authority(slot: Slot, known: dict[str, Any]) -> None:
    tool = Ssh(slot, SshOptions(**known))
    plain = tool.read_state(there("ws-17.corp.example")).content
    assert (plain["port"], tool.read_state(there("ws-17.corp.example", 2222)).content["port"]) == (22, 2222)
    assert str(tool.read_state(there("a.branch.example")).content["host_keys"]).startswith(
        "['@cert-authority ssh-ed25519"
    )
    with pytest.raises(NotFoundError):
        tool.read_state(there("ws-17.corp.example", 2223))


@pytest.mark.parametrize(
    "value",
    [
        "ssh://", "ssh://WS-17.corp.example", "ssh://root@ws-17.corp.example", "ssh://ws-17.corp.example/", "ssh://-oProxyCommand=id",
        "ssh://ws-17.corp.example:0", "ssh://ws-17.corp.example:65536", "ssh://ws-17.corp.example:22:22", "ssh://10.1",
        "ssh://0x0a000001", "ssh://167772161", "ssh://010.0.0.1", "ssh://[10.0.0.1]", "ssh://2001:db8::1", "ssh://[2001:db8:0::1]",
        "ssh://[fe80::1%eth0]", "https://ws-17.corp.example", "ws-17.corp.example", "local://tool", "ssh://ws-17.corp.example.",
        "ssh://ws_17$(id)", "ssh://ws-17.corp.example#a", "ssh://ws-17.corp.example?x",
    ],
)  # fmt: skip
def test_what_is_no_host_is_refused(value: str, slot: Slot, known: dict[str, Any]) -> None:
    with pytest.raises(RecordError):
        Ssh(slot, SshOptions(**known)).read_state(Target(TargetKind.COMMAND, value))


@pytest.mark.parametrize("host", ["10.1.2.3", "[2001:db8::1]"])
def test_an_address_is_let_in_by_its_network_and_held_back_by_never(
    host: str, slot: Slot, known: dict[str, Any]
) -> None:
    with pytest.raises(NotFoundError):
        Ssh(slot, SshOptions(**known)).read_state(there(host))
    with pytest.raises(NeverError, match="'never'"):
        Ssh(slot, SshOptions(**known, never=("10.1.0.0/16", "2001:db8::1"))).read_state(there(host))
    with pytest.raises(NeverError, match="'hosts'"):
        Ssh(slot, SshOptions(**{**known, "hosts": ("ws-17.corp.example", "192.0.2.0/24")})).read_state(there(host))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("identity", "hunter2"), ("identity", "file:relative"), ("identity", "file:/a b"), ("identity", "file:/%h/key"),
        ("known_hosts", "/a b"), ("known_hosts", "known"), ("user", "-l"), ("user", "root;id"), ("hosts", ()),
        ("hosts", ("*",)), ("hosts", ("10.0.0.0/33",)), ("hosts", ("10.0.0.1/8",)), ("port", 0), ("timeout_s", 9),
    ],
    ids=lambda value: str(value),
)  # fmt: skip
def test_options_that_could_mean_something_else_are_refused(option: str, value: object, known: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SshOptions(**{**known, option: value})


def test_records_that_are_not_readable_are_no_answer(
    slot: Slot, known: dict[str, Any], key: Callable[[str], str]
) -> None:
    tool = Ssh(slot, SshOptions(**known))
    action = Action("start command", "tool", there("ws-17.corp.example"), {"command": "true"})
    folder = slot.data_dir / "targets" / "tool" / "runs" / "default"
    folder.mkdir(parents=True)
    (folder / f"{key('a')}.begun").touch()
    assert tool.read_back(action, key("a")).effect is Effect.UNKNOWN
    (folder / f"{key('a')}.json").write_text("{}")
    with pytest.raises(UnavailableError, match="is not readable"):
        tool.read_back(action, key("a"))
