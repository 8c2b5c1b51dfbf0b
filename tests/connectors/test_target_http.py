"""Requests of playbooks, with a real server: what arrives, where nothing is sent, and what an answer means."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from io import BufferedIOBase
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from pydantic import ValidationError

from tests.connectors import http_server
from tests.connectors.http_server import Request, Server
from watchfloor_connectors.targets.base import NeverError, NotReadyError, Slot
from watchfloor_connectors.targets.commands.endpoint import looked_up
from watchfloor_connectors.targets.commands.http import HttpApi, HttpOptions
from watchfloor_connectors.targets.commands.openc2 import OpenC2Http, OpenC2Options
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import RecordError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import MAX_OUTPUT, Effect, NotDoneError, ReadBack
from watchfloor_playbooks.templates import http_arguments, openc2_arguments

LOOPBACK = {"networks": ("127.0.0.0/8",), "timeout_s": 4}
HOSTILE = (
    "$(reboot)", "; rm -rf /", "a\r\nX-Evil: 1", "{{7*7}}", "\u202e\u200b", "-x", '"}, "admin": {"', "a&b=c#d?e",
    "%2e%2e%2f", "${1}", "é", "\\", "\\u0022", "10.0.0.0/8",
)  # fmt: skip
JSON = {"Content-Type": "application/json"}
Send = Callable[..., ReadBack]


@pytest.fixture
def server() -> Iterator[Server]:
    with http_server.serving() as server:
        yield server


@pytest.fixture
def send(server: Server, slot: Slot, permit_for: PermitFor, key: Callable[[str], str]) -> Send:
    """Sends the arguments, and reads back; an outcome that is open is left to the reading."""

    def act(arguments: dict[str, Any], word: str = "one", target: str = "", **options: Any) -> ReadBack:
        where = target or server.url
        tool = HttpApi(slot, HttpOptions(**{"base_urls": (where,), **LOOPBACK, **options}))
        action = Action("start command", "tool", Target(TargetKind.COMMAND, where), arguments)
        try:
            tool.act(permit_for(action, key(word)))
        except NotDoneError:
            raise
        except UnavailableError:
            pass
        return tool.read_back(action, key(word))

    return act


GET = {"method": "GET", "path": "/"}


def test_it_keeps_the_contract(server: Server, slot: Slot, permit_for: PermitFor) -> None:
    other = "https://other.example"
    tool = HttpApi(slot, HttpOptions(base_urls=(server.url, other), **LOOPBACK, never=(other,)))
    never = [
        Target(TargetKind.COMMAND, text) for text in (other, "https://169.254.169.254", "https://evil.example:8443")
    ]
    sample = Sample("start command", Target(TargetKind.COMMAND, server.url), GET)
    check_target(tool, [sample], permit_for, never)
    assert len(server.requests) == 1


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_value_arrives_as_one_piece_of_data(
    value: str, server: Server, send: Send, key: Callable[[str], str]
) -> None:
    content = '{"host": "h:__x__:value", "tags": [__x__:value, __n__:value]}'
    line = "POST /v1/hosts/__x__:value/isolate?why=__x__:value&n=1 HTTP/1.1"
    made = http_arguments(line, {**JSON, "X-Case": "1"}, content, {"__x__": value, "__n__": 3})
    assert send(made).effect is Effect.APPLIED
    (request,) = server.requests
    path, _, query = request.target.partition("?")
    assert [unquote(part) for part in path.split("/")] == ["", "v1", "hosts", value, "isolate"]
    assert parse_qsl(query, keep_blank_values=True) == [("why", value), ("n", "1")]
    assert json.loads(request.content) == {"host": f"h:{value}", "tags": [value, 3]}
    assert request.header("X-Evil") == []
    assert request.header("Idempotency-Key") == [f"wf:{key('one')}"]
    assert (request.header("X-Case"), request.header("Host")) == (["1"], [f"127.0.0.1:{server.port}"])


def test_a_form_and_a_header_take_values_too(server: Server, send: Send) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-Reason": "for __x__:value"}
    send(http_arguments("PUT /", form, "a=__x__:value&b=1", {"__x__": "c&d=e f"}))
    assert parse_qsl(server.requests[0].content.decode()) == [("a", "c&d=e f"), ("b", "1")]
    assert server.requests[0].header("X-Reason") == ["for c&d=e f"]


@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (200, Effect.APPLIED), (201, Effect.APPLIED), (202, Effect.APPLIED), (204, Effect.APPLIED),
        (301, Effect.UNKNOWN), (303, Effect.UNKNOWN), (307, Effect.UNKNOWN),
        (400, Effect.NOT_APPLIED), (401, Effect.NOT_APPLIED), (403, Effect.NOT_APPLIED), (404, Effect.NOT_APPLIED),
        (409, Effect.NOT_APPLIED), (429, Effect.NOT_APPLIED), (408, Effect.UNKNOWN),
        (500, Effect.UNKNOWN), (502, Effect.UNKNOWN), (503, Effect.UNKNOWN),
    ],
)  # fmt: skip
def test_the_status_says_whether_it_was_done(status: int, effect: Effect, server: Server, send: Send) -> None:
    server.status, server.content = status, b"" if status == 204 else b'{"id": 7}'
    server.headers = {"Location": f"{server.url}/elsewhere"}
    back = send({"method": "POST", "path": "/"})
    assert (back.effect, f"status {status}" in back.text) == (effect, True)
    assert back.output == server.content.decode()
    assert len(server.requests) == 1  # no redirect is followed


def test_it_is_sent_once_under_one_key(server: Server, send: Send) -> None:
    assert send(GET).effect is send(GET).effect
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("options", "name", "expected"),
    [
        ({"auth": "basic", "username": "wf"}, "Authorization", f"Basic {base64.b64encode(b'wf:s3cret').decode()}"),
        ({"auth": "bearer"}, "Authorization", "Bearer s3cret"),
        ({"auth": "header", "header": "X-Key"}, "X-Key", "s3cret"),
    ],
    ids=["basic", "bearer", "header"],
)
def test_credentials_come_from_the_options(
    options: dict[str, Any], name: str, expected: str, server: Server, send: Send, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    back = send({**GET, "header.x-key": "a playbook's own"}, secret=f"file:{secret}", **options)
    assert server.requests[0].header(name) == [expected]
    assert "s3cret" not in repr(back)
    secret.write_text("two\nlines")
    with pytest.raises(NotDoneError, match="no header can hold") as refusal:
        send(GET, word="b", secret=f"file:{secret}", **options)
    assert "lines" not in str(refusal.value)
    secret.chmod(0o644)
    with pytest.raises(NotReadyError, match="chmod 600"):
        send(GET, word="c", secret=f"file:{secret}", **options)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({}, "'method' and 'path' are needed"),
        ({"method": "GET", "path": 5}, "all are texts"),
        ({"method": "TRACE", "path": "/"}, "'methods'"),
        ({"method": "GET\r\nX: y", "path": "/"}, "'methods'"),
        ({"method": "GET", "path": "https://evil.example/"}, "begins with one '/'"),
        ({"method": "GET", "path": "//evil.example/"}, "begins with one '/'"),
        ({"method": "GET", "path": "/a b"}, "begins with one '/'"),
        ({"method": "GET", "path": "/\r\nX: y"}, "begins with one '/'"),
        ({"method": "GET", "path": "/%2e%2e/a"}, "leads elsewhere"),
        ({"method": "GET", "path": "/${1}/a", "value.1": "../x"}, "leads elsewhere"),
        ({"method": "GET", "path": "/${2}", "value.1": "x"}, "no value for the placeholder"),
        ({**GET, "header.X-A": "a\r\nb"}, "a header holds"),
        ({**GET, "header.X-A": "${1}", "value.1": "a\nb"}, "a header holds"),
        ({**GET, "header.Host": "evil.example"}, "'Host' is not a playbook's to set"),
        ({**GET, "header.authorization": "Bearer x"}, "'authorization' is not a playbook's"),
        ({**GET, "header.Transfer-Encoding": "chunked"}, "'Transfer-Encoding' is not"),
        ({**GET, "header.Idempotency-Key": "x"}, "'Idempotency-Key' is not"),
        ({**GET, "header.X-A": "a", "header.x-a": "b"}, "one is twofold"),
        ({**GET, "header.X A": "a"}, "knows no argument"),
        ({**GET, "header.": "a"}, "knows no argument"),
        ({**GET, "content": "${1}", "value.1": "x"}, "JSON and of forms only"),
        ({**GET, "header.Content-Type": "application/json", "content": "{"}, "no JSON"),
    ],
    ids=lambda value: None,
)  # fmt: skip
def test_what_is_no_request_is_not_sent(arguments: dict[str, Any], why: str, server: Server, send: Send) -> None:
    with pytest.raises(NotDoneError, match=why):
        send(arguments)
    assert server.requests == []


def test_a_method_that_the_operator_leaves_out_is_not_used(server: Server, send: Send) -> None:
    with pytest.raises(NeverError, match="'methods'"):
        send({"method": "DELETE", "path": "/"}, methods=("GET", "POST"))
    assert server.requests == []


def test_no_connection_is_not_done_and_no_answer_is_unknown(server: Server, send: Send) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and nobody listens
        with pytest.raises(NotDoneError, match="nothing was sent"):
            send(GET, target=f"http://127.0.0.1:{held.getsockname()[1]}")
    server.answer = lambda request, stream: None
    back = send(GET, word="b")
    assert (back.effect, "gives no answer" in back.text) == (Effect.UNKNOWN, True)

    def garbage(request: Request, stream: BufferedIOBase) -> None:
        stream.write(b"garbage\r\n\r\n")

    server.answer = garbage
    assert send(GET, word="c").effect is Effect.UNKNOWN
    assert len(server.requests) == 2


def test_the_whole_takes_no_longer_than_its_time_however_slowly_it_drips(server: Server, send: Send) -> None:
    def drip(request: Request, stream: BufferedIOBase) -> None:
        stream.write(b"HTTP/1.1 200 OK\r\n")
        while not server.closing.wait(0.05):
            stream.write(b"X-A: b\r\n")
            stream.flush()

    server.answer = drip
    back = send(GET, timeout_s=0.5)
    assert (back.effect, "ReadTimeout" in back.text) == (Effect.UNKNOWN, True)


def test_an_answer_is_bounded_and_its_status_counts_even_if_it_does_not_end(server: Server, send: Send) -> None:
    server.content = b"x" * 5_000_000
    back = send(GET)
    assert (back.effect, len(back.output), "answer is cut" in back.text) == (Effect.APPLIED, MAX_OUTPUT, True)

    def half(request: Request, stream: BufferedIOBase) -> None:
        stream.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf\xff\x00")

    server.answer = half
    back = send(GET, word="b")
    assert (back.effect, back.output, "answer is cut" in back.text) == (Effect.APPLIED, "half\ufffd\ufffd", True)


def test_a_proxy_of_the_environment_is_not_used(server: Server, send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(GET).effect is Effect.APPLIED


# --- TLS


def test_a_certificate_must_be_trusted_and_of_that_name(slot: Slot, send: Send, tmp_path: Path) -> None:
    right = http_server.certificates_for(tmp_path / "right", "localhost")
    wrong = http_server.certificates_for(tmp_path / "wrong", "other.example")
    with http_server.serving(right) as server:
        url = f"https://localhost:{server.port}"
        inside = {"networks": ("127.0.0.0/8", "::1/128")}
        with pytest.raises(NotDoneError, match="certificate is not trusted"):
            send(GET, target=url, **inside)
        with pytest.raises(NotDoneError, match="certificate is not trusted"):
            send(GET, word="b", target=url, ca=str(wrong.ca), **inside)
        assert send(GET, word="c", target=url, ca=str(right.ca), **inside).effect is Effect.APPLIED
        assert server.requests[0].header("Host") == [f"localhost:{server.port}"]
        with pytest.raises(NotReadyError, match="no readable certificates"):
            send(GET, word="d", target=url, ca=str(tmp_path / "none"), **inside)
    with http_server.serving(wrong) as server, pytest.raises(NotDoneError, match="certificate is not trusted"):
        send(GET, word="e", target=f"https://localhost:{server.port}", ca=str(wrong.ca), **inside)


# --- Where requests go


def resolver(*answers: list[str]) -> tuple[Callable[..., Any], list[str]]:
    """Stands for the system's; gives one answer after the other."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, *more: Any, **named: Any) -> list[Any]:
        if not host.endswith(".example"):
            return real(host, port, *more, **named)
        asked.append(host)
        return [(0, 0, 0, "", (address, port)) for address in answers[min(len(asked), len(answers)) - 1]]

    return getaddrinfo, asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "168.63.129.16",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254",  # noqa: S104
        "::ffff:127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_not_followed_unless_the_option_names_the_network(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answers in ([address], ["93.184.216.34", address], [address, "93.184.216.34"]):
        monkeypatch.setattr(socket, "getaddrinfo", resolver(answers)[0])
        with pytest.raises(NeverError, match="an inner address"):
            looked_up("api.example", 443, (), 2)
    monkeypatch.setattr(socket, "getaddrinfo", resolver([address])[0])
    assert looked_up("api.example", 443, (ip_network(address),), 2) == str(ip_address(address))


def test_a_public_address_is_taken_and_a_name_without_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver(["93.184.216.34", "2606:2800:220:1::"])[0])
    assert looked_up("api.example", 443, (), 2) == "93.184.216.34"
    monkeypatch.setattr(socket, "getaddrinfo", resolver([])[0])
    with pytest.raises(NotReadyError, match="has no address"):
        looked_up("api.example", 443, (), 2)

    def fails(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    with pytest.raises(NotReadyError, match="gaierror"):
        looked_up("api.example", 443, (), 2)


def test_a_name_that_answers_otherwise_a_moment_later_leads_nowhere_else(
    server: Server, send: Send, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    certificates = http_server.certificates_for(tmp_path / "ca", "api.corp.example")
    with http_server.serving(certificates) as secure:
        getaddrinfo, asked = resolver(["127.0.0.1"], ["169.254.169.254"])
        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        url = f"https://api.corp.example:{secure.port}"
        assert send(GET, target=url, ca=str(certificates.ca)).effect is Effect.APPLIED
        assert asked == ["api.corp.example"]
        with pytest.raises(NeverError, match="an inner address"):
            send(GET, word="b", target=url, ca=str(certificates.ca))
        assert len(secure.requests) == 1


@pytest.mark.parametrize(
    "value",
    [
        "https://api.example/", "https://api.example/v1", "https://API.example", "https://api.example:443",
        "https://u:p@api.example", "https://api.example?x", "https://api.example#x", "http://api.example",
        "//api.example",
        "api.example", "https://", "https://api.example:0", "https://api.example:99999", "https://api.éxample",
        "https://api.example\\@evil.example", "local://tool",
    ],
)  # fmt: skip
def test_what_is_no_place_in_its_one_spelling_is_refused(value: str, slot: Slot) -> None:
    tool = HttpApi(slot, HttpOptions(base_urls=("https://api.example",)))
    with pytest.raises(RecordError):
        tool.read_state(Target(TargetKind.COMMAND, value))
    assert (
        tool.read_state(Target(TargetKind.COMMAND, "https://api.example")).content["endpoint"] == "https://api.example"
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"base_urls": ()}, {"base_urls": ("http://api.example",)}, {"base_urls": ("https://api.example/v1",)},
        {"base_urls": ("https://u:p@api.example",)}, {"secret": "hunter2"}, {"header": "Host"}, {"header": "X A"},
        {"username": "a:b"}, {"methods": ()}, {"methods": ("TRACE",)}, {"networks": ("10.0.0.1/8",)}, {"timeout_s": 9},
        {"ca": "relative"}, {"auth": "digest"},
    ],
    ids=str,
)  # fmt: skip
def test_options_that_cannot_be_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        HttpOptions(**{"base_urls": ("https://api.example",), **changed})


@pytest.mark.parametrize("kind", [HttpApi, OpenC2Http])
@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"auth": "bearer"}, "belong together"),
        ({"secret": "file:/a"}, "belong together"),
        ({"auth": "basic", "secret": "file:/a"}, "needs 'username'"),
        ({"auth": "bearer", "secret": "file:/a", "base_urls": ("https://a.example", "https://b.example")}, "one place"),
    ],
    ids=["no secret", "no auth", "no username", "two places"],
)  # fmt: skip
def test_options_that_do_not_fit_together_are_told(kind: Any, changed: dict[str, Any], why: str) -> None:
    options = kind.options_type(**{"base_urls": ("https://a.example",), **changed})
    assert any(why in fault for fault in kind.faults(options, is_shared=False))
    assert list(kind.faults(kind.options_type(base_urls=("https://a.example",)), is_shared=False)) == []


def test_the_pin_changes_with_what_is_sent_and_not_with_what_restricts(slot: Slot) -> None:
    def pin(**options: Any) -> str:
        return HttpApi(slot, HttpOptions(**{"base_urls": ("https://a.example",), **options})).version

    assert pin(networks=("10.0.0.0/8",), methods=("GET",), timeout_s=1, base_urls=("https://b.example",)) == pin()
    assert pin(auth="bearer", secret="file:/a") != pin()
    assert pin(ca="/etc/ca.pem") != pin()


# --- OpenC2

DENY = '{"action": "deny", "target": {"ipv4_net": "__ip__:value"}, "args": {"response_requested": "complete"}}'


def response(status: int, **more: Any) -> Callable[[Request], bytes]:
    """As in appendix E.1.2 of the transfer specification 1.1."""

    def made(request: Request) -> bytes:
        sent = json.loads(request.content)
        headers = {"request_id": sent["headers"]["request_id"], "created": 1545257710000, "from": "consumer"}
        return json.dumps({"headers": headers, "body": {"openc2": {"response": {"status": status, **more}}}}).encode()

    return made


@pytest.fixture
def command(server: Server, slot: Slot, permit_for: PermitFor, key: Callable[[str], str]) -> Send:
    def act(content: str = DENY, value: str = "198.51.100.7", word: str = "one", **options: Any) -> ReadBack:
        tool = OpenC2Http(slot, OpenC2Options(**{"base_urls": (server.url,), **LOOPBACK, **options}))
        arguments = openc2_arguments(content, {"__ip__": value})
        action = Action("start command", "tool", Target(TargetKind.COMMAND, server.url), arguments)
        try:
            tool.act(permit_for(action, key(word)))
        except NotDoneError:
            raise
        except UnavailableError:
            pass
        return tool.read_back(action, key(word))

    return act


def test_openc2_keeps_the_contract(server: Server, slot: Slot, permit_for: PermitFor) -> None:
    server.reply = response(200)
    tool = OpenC2Http(slot, OpenC2Options(base_urls=(server.url,), **LOOPBACK))
    sample = Sample(
        "start command", Target(TargetKind.COMMAND, server.url), {"content": DENY.replace("__ip__:value", "x")}
    )
    check_target(tool, [sample], permit_for, [Target(TargetKind.COMMAND, "https://other.example")])
    assert len(server.requests) == 1


def test_an_openc2_command_is_sent_as_the_transfer_specification_has_it(
    server: Server, command: Send, key: Callable[[str], str]
) -> None:
    server.reply = response(200, status_text="blocked", results={"slpf": {"rule_number": 7}})
    back = command(value='1"}, "args": {"x": "')
    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/.well-known/openc2")
    for name, expected in (
        ("Content-Type", "application/openc2+json;version=1.0"),
        ("Accept", "application/openc2+json;version=1.0"),
        ("X-Request-ID", key("one")),
        ("Idempotency-Key", f"wf:{key('one')}"),
    ):
        assert request.header(name) == [expected]
    sent = json.loads(request.content)
    assert sent["headers"]["request_id"] == key("one")
    assert isinstance(sent["headers"]["created"], int)
    assert sent["body"]["openc2"]["request"] == {
        "action": "deny",
        "target": {"ipv4_net": '1"}, "args": {"x": "'},
        "args": {"response_requested": "complete"},
    }
    assert (back.effect, '"blocked"' in back.text, '"rule_number": 7' in back.output) == (Effect.APPLIED, True, True)


def test_a_command_in_a_message_of_its_own_keeps_its_command_and_gets_our_headers(
    server: Server, command: Send, key: Callable[[str], str]
) -> None:
    server.reply = response(200)
    command(f'{{"headers": {{"request_id": "theirs"}}, "body": {{"openc2": {{"request": {DENY}}}}}}}', word="b")
    sent = json.loads(server.requests[0].content)
    assert sent["headers"]["request_id"] == key("b")
    assert sent["body"]["openc2"]["request"]["target"] == {"ipv4_net": "198.51.100.7"}


@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (102, Effect.UNKNOWN), (200, Effect.APPLIED), (201, Effect.APPLIED), (400, Effect.NOT_APPLIED),
        (401, Effect.NOT_APPLIED), (403, Effect.NOT_APPLIED), (404, Effect.NOT_APPLIED), (500, Effect.UNKNOWN),
        (501, Effect.NOT_APPLIED), (503, Effect.UNKNOWN),
    ],
)  # fmt: skip
@pytest.mark.parametrize("http_status", [200, 400, 500])
def test_the_consumers_own_status_counts(
    status: int, effect: Effect, http_status: int, server: Server, command: Send
) -> None:
    server.reply, server.status = response(status), http_status
    back = command()
    assert (back.effect, f"status {status}" in back.text) == (effect, True)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"[]", b"nonsense", b"\xff", b"[" * 100_000,
        b'{"body": {"openc2": {"response": {"status": "done"}}}}',
        b'{"body": {"openc2": {"response": {"status": 20}}}}',
        b'{"headers": {"request_id": "another"}, "body": {"openc2": {"response": {"status": 200}}}}',
        b'{"body": {"openc2": {"response": {"status": 200, "results": "' + b"x" * 100_000 + b'"}}}}',
    ],
    ids=range(10),
)  # fmt: skip
def test_an_answer_that_is_no_response_to_this_command_is_unknown(
    content: bytes, server: Server, command: Send
) -> None:
    server.content = content
    back = command()
    assert (back.effect, "is not known" in back.text) == (Effect.UNKNOWN, True)
    server.status = 403
    assert command(word="b").effect is Effect.NOT_APPLIED


@pytest.mark.parametrize(
    "content",
    [
        "[]", "5", "{}", '{"action": "deny"}', '{"action": "deny", "target": {}}',
        '{"action": "DENY", "target": {"uri": "x"}}', '{"action": "deny", "target": {"uri": "x", "file": {}}}',
        '{"action": "deny", "target": {"uri": "x"}, "more": 1}',
        '{"body": {}}', '{"body": 5}',
    ],
)  # fmt: skip
def test_what_is_no_openc2_command_is_not_sent(content: str, server: Server, command: Send) -> None:
    with pytest.raises(NotDoneError, match="no OpenC2 command"):
        command(content)
    assert server.requests == []


@pytest.mark.parametrize("path", ["relative", "//evil.example", "/a/../b", "/a b", "/${1}", "https://evil.example/"])
def test_the_path_of_a_consumer_is_a_path(path: str) -> None:
    with pytest.raises(ValidationError):
        OpenC2Options(base_urls=("https://a.example",), path=path)
