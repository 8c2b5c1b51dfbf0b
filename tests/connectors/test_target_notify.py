"""People are told in a channel, and what is then known of it: Slack, Teams and a webhook over HTTP, mail over SMTP."""

from __future__ import annotations

import email
import email.policy
import hashlib
import hmac
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from tests.connectors.slack_server import CONVERSATION, SlackServer
from tests.connectors.vendor_server import LEAK, SECRET, Reply, Request, secret_file, served
from watchfloor_connectors.channels.testing import Given, HttpReceiver, SmtpReceiver, http_receiver, smtp_receiver
from watchfloor_connectors.targets.base import Slot
from watchfloor_connectors.targets.notify import MAX_LINES, MAX_MESSAGE, Notify
from watchfloor_connectors.targets.notify_options import NotifyOptions
from watchfloor_connectors.targets.registry import load_targets
from watchfloor_connectors.targets.testing import PermitFor, Sample, check_target
from watchfloor_core.errors import ConfigurationError, NotFoundError, RecordError, RefusedError, UnavailableError
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import _AUTHORITY, Effect, EffectPermit, NotDoneError

Key = Callable[[str], str]

TEXT = "Please look at ws-17."
HOSTILE_TEXT = (
    "<!channel> <@U1> @everyone see https://evil.example/x?a=b or evil.example\n"
    "Incident: none, all is well\n[click](https://evil.example) \u202egpj.exe & *bold* <b>x</b>"
)
SIGNING = "w" * 32


def tell(channel: str, text: object = TEXT) -> Action:
    arguments: dict[str, Any] = {} if text is None else {"text": text}
    return Action("notify channel", "tool", Target(TargetKind.CHANNEL, channel), arguments)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    vendor = SlackServer()
    with served(vendor):
        yield vendor


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as found:
        yield found


@pytest.fixture
def mail_server() -> Iterator[SmtpReceiver]:
    with smtp_receiver() as found:
        yield found


def reference(folder: Path, name: str, text: str) -> str:
    (folder / name).mkdir(exist_ok=True)
    return secret_file(folder / name, text)


@pytest.fixture
def options(slack: SlackServer, receiver: HttpReceiver, mail_server: SmtpReceiver, tmp_path: Path) -> NotifyOptions:
    return NotifyOptions.model_validate(
        {
            "timeout_s": 2.0,
            "never": ["muted"],
            "channels": [
                {"name": "soc", "kind": "slack", "conversation": CONVERSATION, "api_url": f"{slack.url}/api",
                 "bot_token": reference(tmp_path, "slack", SECRET)},
                {"name": "muted", "kind": "slack", "conversation": CONVERSATION, "api_url": f"{slack.url}/api",
                 "bot_token": reference(tmp_path, "slack", SECRET)},
                {"name": "team", "kind": "teams",
                 "workflow_url": reference(tmp_path, "teams", f"{receiver.url}/workflows/1/run?sig={SECRET}&v=1")},
                {"name": "soar", "kind": "webhook", "url": f"{receiver.url}/in",
                 "secret": reference(tmp_path, "webhook", SIGNING)},
                {"name": "duty", "kind": "mail", "host": "127.0.0.1", "port": mail_server.port,
                 "sender": "watchfloor@example.org", "recipients": ["soc@example.org", "lead@example.org"]},
            ],
        }
    )  # fmt: skip


@pytest.fixture
def tool(slot: Slot, options: NotifyOptions) -> Notify:
    return Notify(slot, options)


def mails(server: SmtpReceiver) -> list[EmailMessage]:
    return [email.message_from_bytes(one, policy=email.policy.default) for one in server.mails]


@pytest.mark.parametrize("channel", ["soc", "team", "soar", "duty"])
def test_it_keeps_the_contract_of_tools(tool: Notify, permit_for: PermitFor, channel: str) -> None:
    sample = Sample("notify channel", Target(TargetKind.CHANNEL, channel), {"text": TEXT})
    check_target(tool, [sample], permit_for, [Target(TargetKind.CHANNEL, "muted")])


def test_each_message_says_what_it_is_about_and_is_sent_once(
    tool: Notify, slack: SlackServer, receiver: HttpReceiver, mail_server: SmtpReceiver, key: Key
) -> None:
    for channel in ("soc", "team", "soar", "duty"):
        for _ in range(2):
            tool.act(EffectPermit(tell(channel), key(channel), _AUTHORITY, "inc-0123456789abcdef"))
    (posted,) = slack.messages
    (mail,) = mails(mail_server)
    team, soar = receiver.next(), receiver.next()
    assert receiver.is_idle
    said = {
        "soc": "\n".join(block["text"]["text"] for block in posted["blocks"]),
        "team": "\n".join(run["text"] for block in team.json["attachments"][0]["content"]["body"][1:]
                          for run in block["inlines"]),
        "duty": mail.get_content(),
    }  # fmt: skip
    for channel, text in said.items():
        for part in ("Incident: inc-0123456789abcdef", f"digest {key(channel)[:12]}…", "Tenant: default", "ws-17"):
            assert part in text.replace("&gt;", ">"), (channel, text)
    assert soar.json == {
        "v": 1, "type": "message", "id": key("soar"), "tenant": "default", "channel": "soar",
        "incident_id": "inc-0123456789abcdef", "text": TEXT,
    }  # fmt: skip
    stamp, digest = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", soar.headers["watchfloor-signature"]).groups()  # type: ignore[union-attr]  # the test fails where there is no match
    assert hmac.new(SIGNING.encode(), f"{stamp}.".encode() + soar.body, hashlib.sha256).hexdigest() == digest
    assert team.path == f"/workflows/1/run?sig={SECRET}&v=1"
    assert mail["Message-ID"] == f"<wf.{key('duty')}@example.org>"


def test_what_is_known_afterwards_is_said_as_it_is(
    tool: Notify, slack: SlackServer, permit_for: PermitFor, key: Key
) -> None:
    for channel, said in (
        ("soc", "the conversation shows the message"),
        ("team", "whether it posted it in Teams cannot be seen"),
        ("soar", "what it did with it cannot be seen"),
        ("duty", 'took it for all recipients (250 "taken"); whether it reached a mailbox cannot be seen'),
    ):
        assert tool.read_back(tell(channel), key(channel)).effect is Effect.NOT_APPLIED
        tool.act(permit_for(tell(channel), key(channel)))
        back = tool.read_back(tell(channel), key(channel))
        assert (back.effect, said in back.text) == (Effect.APPLIED, True), back.text
    # A workspace that drops what is meant for apps still has the message at its time.
    del slack.messages[0]["metadata"]
    assert tool.read_back(tell("soc"), key("soc")).effect is Effect.APPLIED
    slack.scopes = {"chat:write"}
    back = tool.read_back(tell("soc"), key("soc"))
    assert (back.effect, "may not read it again" in back.text) == (Effect.APPLIED, True)
    slack.scopes, slack.messages = {"channels:history"}, []
    back = tool.read_back(tell("soc"), key("soc"))
    assert (back.effect, "does not show it" in back.text) == (Effect.NOT_APPLIED, True)
    slack.fault = lambda request: Reply(500)
    back = tool.read_back(tell("soc"), key("soc"))
    assert (back.effect, "could not be looked for" in back.text) == (Effect.APPLIED, True)


def test_nothing_in_a_text_is_a_mention_a_link_markup_or_a_line_of_ours(
    tool: Notify, slack: SlackServer, receiver: HttpReceiver, mail_server: SmtpReceiver, permit_for: PermitFor, key: Key
) -> None:
    for channel in ("soc", "team", "soar", "duty"):
        tool.act(permit_for(tell(channel, HOSTILE_TEXT), key(channel)))
    (posted,) = slack.messages
    (mail,) = mails(mail_server)
    card, webhook = receiver.next().json["attachments"][0]["content"], receiver.next().json
    shown = [block["text"]["text"] for block in posted["blocks"]]
    lines = "\n".join(shown).splitlines()
    # Slack's own escaping on top: nothing of it can open a tag.
    assert not any("<" in line or "https://" in line or "evil.example" in line for line in lines)
    assert posted["text"] == "Message from Watchfloor"
    assert [line for line in lines if line.startswith("Incident:")] == ["Incident: none"]
    runs = [run["text"] for block in card["body"][1:] for run in block["inlines"]]
    assert all(block["type"] == "RichTextBlock" for block in card["body"][1:])
    for text in ("\n".join(runs), mail.get_content()):
        assert "> Incident: none, all is well" in text
        assert not re.search(r"https?://|evil\.example|@everyone|\u202e", text)
    assert (mail["Subject"], mail.is_multipart()) == ("[Watchfloor] Message from Watchfloor", False)
    assert "\u202e" not in webhook["text"]


@pytest.mark.parametrize(
    "text",
    [None, "", " \n ", 7, True, "x" * (MAX_MESSAGE + 1), "\n".join("x" * (MAX_LINES + 1))],
    ids=["missing", "empty", "blank", "number", "truth", "long", "lines"],
)
def test_what_is_no_bounded_text_is_not_sent(
    tool: Notify, slack: SlackServer, permit_for: PermitFor, key: Key, text: object
) -> None:
    with pytest.raises(NotDoneError, match="'text'"):
        tool.act(permit_for(tell("soc", text), key("a")))
    assert slack.messages == []


def test_the_longest_text_of_the_worst_characters_is_told_whole(
    tool: Notify, slack: SlackServer, receiver: HttpReceiver, permit_for: PermitFor, key: Key
) -> None:
    worst = "\U000e0100" * MAX_MESSAGE
    for channel, text in (("soc", worst), ("team", worst), ("soc", "&" * MAX_MESSAGE)):
        tool.act(permit_for(tell(channel, text), key(f"{channel}{text[:1]}")))
    amps, worse = ("".join(block["text"]["text"] for block in one["blocks"]) for one in slack.messages)
    assert amps.count("&amp;") == MAX_MESSAGE
    assert worse.replace("\n", "").count("E0100") == MAX_MESSAGE
    assert len(receiver.next().body) < 28 * 1024


def test_a_channel_of_another_name_is_none(tool: Notify) -> None:
    with pytest.raises(NotFoundError, match="it has: duty, muted, soar, soc, team"):
        tool.read_state(Target(TargetKind.CHANNEL, "elsewhere"))
    with pytest.raises(RecordError):
        tool.read_state(Target(TargetKind.CHANNEL, "SOC"))
    with pytest.raises(RefusedError):
        tool.read_state(Target(TargetKind.CHANNEL, "muted"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scopes": {"channels:history"}}, "missing_scope"),
        ({"members": set()}, "not_in_channel"),
    ],
)
def test_what_slack_refuses_was_not_sent(
    tool: Notify, slack: SlackServer, permit_for: PermitFor, key: Key, change: dict[str, Any], said: str
) -> None:
    for name, value in change.items():
        setattr(slack, name, value)
    with pytest.raises(NotDoneError, match=said) as found:
        tool.act(permit_for(tell("soc"), key("a")))
    assert not any(text in str(found.value) for text in (LEAK, SECRET))
    back = tool.read_back(tell("soc"), key("a"))
    assert (back.effect, "refused" in back.text) == (Effect.NOT_APPLIED, True)
    # It may be tried again once that is mended.
    slack.scopes, slack.members = {"chat:write", "channels:history"}, {CONVERSATION}
    tool.act(permit_for(tell("soc"), key("a")))
    assert tool.read_back(tell("soc"), key("a")).effect is Effect.APPLIED


def test_a_wrong_token_is_told_without_it(
    tool: Notify, options: NotifyOptions, permit_for: PermitFor, key: Key, tmp_path: Path
) -> None:
    (tmp_path / "slack" / "secret").write_text("xoxb-of-somebody-else")
    with pytest.raises(NotDoneError, match="invalid_auth") as found:
        tool.act(permit_for(tell("soc"), key("a")))
    assert "xoxb" not in str(found.value)
    assert "xoxb" not in tool.version
    (tmp_path / "teams" / "secret").write_text(f"http://elsewhere.example/{SECRET}")
    with pytest.raises(NotDoneError, match="no https address") as found:
        tool.act(permit_for(tell("team"), key("b")))
    assert SECRET not in str(found.value)
    (tmp_path / "webhook" / "secret").write_text("short")
    with pytest.raises(NotDoneError, match="fewer than 32"):
        tool.act(permit_for(tell("soar"), key("c")))


@pytest.mark.parametrize(
    ("reply", "is_certain"),
    [
        (Reply(429, {"ok": False}, {"Retry-After": "3600"}), True),
        (Reply(403, {"ok": False}), True),
        (Reply(500, {"ok": False}), False),
        (Reply(302, None, {"Location": "http://127.0.0.1:1/"}), False),
        (Reply(200, {"ok": False, "error": "internal_error"}), False),
        (Reply(200, {"ok": True}), False),
        (Reply(200, b"<html>"), False),
        (Reply(200, b" " * 2_000_000), False),
        (Reply(200, {"ok": True, "ts": "1.2; DROP"}), False),
    ],
)
def test_only_what_was_refused_for_certain_is_called_not_done(
    tool: Notify, slack: SlackServer, permit_for: PermitFor, key: Key, reply: Reply, is_certain: bool
) -> None:
    slack.fault = lambda request: reply
    with pytest.raises((NotDoneError, UnavailableError)) as found:
        tool.act(permit_for(tell("soc"), key("a")))
    assert isinstance(found.value, NotDoneError) is is_certain
    slack.fault = None
    assert tool.read_back(tell("soc"), key("a")).effect is (Effect.NOT_APPLIED if is_certain else Effect.UNKNOWN)


def test_a_message_whose_acknowledgement_was_lost_is_found_by_its_key_and_not_sent_twice(
    tool: Notify, slack: SlackServer, permit_for: PermitFor, key: Key
) -> None:
    slack.is_lossy = True
    with pytest.raises(UnavailableError) as found:
        tool.act(permit_for(tell("soc"), key("a")))
    assert not isinstance(found.value, NotDoneError)
    slack.is_lossy = False
    with pytest.raises(UnavailableError, match="not sent twice") as again:
        tool.act(permit_for(tell("soc"), key("a")))
    assert not isinstance(again.value, NotDoneError)
    assert (len(slack.messages), slack.effects) == (1, 1)
    back = tool.read_back(tell("soc"), key("a"))
    assert (back.effect, "was not acknowledged; the conversation shows the message" in back.text) == (
        Effect.APPLIED,
        True,
    )
    slack.scopes = {"chat:write"}
    assert tool.read_back(tell("soc"), key("a")).effect is Effect.UNKNOWN


@pytest.mark.parametrize("channel", ["team", "soar"])
@pytest.mark.parametrize(
    ("status", "is_certain"), [(401, True), (404, True), (410, True), (307, False), (500, False), (502, False)]
)
def test_what_a_receiver_answers_is_taken_for_what_it_is(
    tool: Notify, receiver: HttpReceiver, permit_for: PermitFor, key: Key, channel: str, status: int, is_certain: bool
) -> None:
    receiver.answers = [Given(status, b"", {"Location": f"{receiver.url}/elsewhere"} if status < 400 else {})]
    with pytest.raises((NotDoneError, UnavailableError)) as found:
        tool.act(permit_for(tell(channel), key("a")))
    assert isinstance(found.value, NotDoneError) is is_certain
    assert SECRET not in str(found.value)
    receiver.next()
    assert receiver.is_idle, "a redirect was followed, or it was sent twice"


def test_a_receiver_that_is_away_was_not_told(
    slot: Slot, options: NotifyOptions, permit_for: PermitFor, key: Key, tmp_path: Path
) -> None:
    nobody = "http://127.0.0.1:1"
    (tmp_path / "teams" / "secret").write_text(f"{nobody}/workflows")
    away = [
        one
        if one.kind == "teams"
        else one.model_copy(update={"api_url": "http://127.0.0.1:1", "url": "http://127.0.0.1:1", "port": 1})
        for one in options.channels
    ]
    tool = Notify(slot, options.model_copy(update={"channels": tuple(away)}))
    for channel in ("soc", "team", "soar", "duty"):
        with pytest.raises(NotDoneError):
            tool.act(permit_for(tell(channel), key(channel)))
        assert tool.read_back(tell(channel), key(channel)).effect is Effect.NOT_APPLIED


@pytest.mark.parametrize(
    ("refuse", "said"),
    [
        ({"MAIL": "451 later"}, "451"),
        ({"RCPT": "550 nobody"}, "550"),
        ({"DATA": "552 too much"}, "552"),
        ({"EHLO": "421 going down", "HELO": "421 going down"}, "421|no mail sent"),
    ],
)
def test_what_a_mail_server_refuses_was_not_sent(
    tool: Notify, mail_server: SmtpReceiver, permit_for: PermitFor, key: Key, refuse: dict[str, str], said: str
) -> None:
    mail_server.refuse = refuse
    with pytest.raises(NotDoneError, match=said):
        tool.act(permit_for(tell("duty"), key("a")))
    assert mail_server.mails == []
    assert tool.read_back(tell("duty"), key("a")).effect is Effect.NOT_APPLIED


SmtpScript = list[tuple[bytes, bytes | None]]
"""What each line of a client begins with, and the answer; None hangs up."""


@contextmanager
def smtp_script(script: SmtpScript) -> Iterator[tuple[int, list[bytes]]]:
    """A mail server that goes wrong at one step."""
    heard: list[bytes] = []

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            connection.sendall(b"220 mail.test ESMTP\r\n")
            is_text = False
            for line in lines:
                heard.append(line)
                if is_text and line != b".\r\n":
                    continue
                is_text = False
                answer = next((said for begins, said in script if line.upper().startswith(begins)), b"250 ok\r\n")
                if answer is None:
                    return
                is_text = answer.startswith(b"354")
                connection.sendall(answer)

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], heard
    finally:
        thread.join(timeout=10)
        listener.close()


def at_port(options: NotifyOptions, port: int) -> NotifyOptions:
    changed = [one.model_copy(update={"port": port}) if one.kind == "mail" else one for one in options.channels]
    return options.model_copy(update={"channels": tuple(changed)})


def test_where_one_recipient_is_refused_nobody_gets_the_mail(
    slot: Slot, options: NotifyOptions, permit_for: PermitFor, key: Key
) -> None:
    script: SmtpScript = [(b"RCPT TO:<LEAD", b"550 no such user\r\n"), (b"QUIT", None)]
    with smtp_script(script) as (port, heard), pytest.raises(NotDoneError, match="550"):
        Notify(slot, at_port(options, port)).act(permit_for(tell("duty"), key("a")))
    assert not any(line.upper().startswith(b"DATA") for line in heard)


@pytest.mark.parametrize(
    ("end", "is_certain"), [(None, False), (b"451 later\r\n", True), (b"250 2.0.0 Ok: queued as 4F1\r\n", True)]
)
def test_a_mail_counts_as_taken_by_the_servers_word_alone(
    slot: Slot, options: NotifyOptions, permit_for: PermitFor, key: Key, end: bytes | None, is_certain: bool
) -> None:
    script: SmtpScript = [(b"DATA", b"354 go on\r\n"), (b".\r\n", end), (b"QUIT", None)]
    with smtp_script(script) as (port, _):
        tool = Notify(slot, at_port(options, port))
        if end is not None and end.startswith(b"250"):
            tool.act(permit_for(tell("duty"), key("a")))
            assert '(250 "2.0.0 Ok: queued as 4F1")' in tool.read_back(tell("duty"), key("a")).text
            return
        with pytest.raises((NotDoneError, UnavailableError)) as found:
            tool.act(permit_for(tell("duty"), key("a")))
    assert isinstance(found.value, NotDoneError) is is_certain
    assert tool.read_back(tell("duty"), key("a")).effect is (Effect.NOT_APPLIED if is_certain else Effect.UNKNOWN)


def test_a_mail_server_that_says_a_byte_now_and_then_is_left_in_time(
    slot: Slot, options: NotifyOptions, permit_for: PermitFor, key: Key
) -> None:
    stop = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection:
            while not stop.wait(0.05):
                try:
                    connection.sendall(b"2")
                except OSError:
                    return

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=drip)
    thread.start()
    try:
        slow = at_port(options, listener.getsockname()[1]).model_copy(update={"timeout_s": 0.5})
        with pytest.raises(NotDoneError, match="no mail sent"):
            Notify(slot, slow).act(permit_for(tell("duty"), key("a")))
    finally:
        stop.set()
        thread.join(timeout=10)
        listener.close()


def test_a_receipt_that_is_not_readable_or_cannot_be_written_sends_nothing(
    tool: Notify, slot: Slot, slack: SlackServer, permit_for: PermitFor, key: Key
) -> None:
    folder = slot.data_dir / "targets" / "tool" / "default"
    folder.mkdir(parents=True)
    (folder / f"{key('a')}.json").write_text("{")
    with pytest.raises(UnavailableError, match="mend or remove"):
        tool.act(permit_for(tell("soc"), key("a")))
    (folder / f"{key('a')}.json").unlink()
    folder.rmdir()
    folder.write_text("a file in its place")
    with pytest.raises((NotDoneError, UnavailableError)):
        tool.act(permit_for(tell("soc"), key("b")))
    assert slack.messages == []


def test_mistakes_of_the_file_are_told_without_the_secrets(tmp_path: Path) -> None:
    (tmp_path / "targets.yaml").write_text(
        "targets:\n  - tool: people\n    kind: notify\n    tenants: [a]\n    channels:\n"
        "      - {name: a, kind: slack, conversation: C012AB3CD, bot_token: xoxb-hunter2}\n"
        "      - {name: b, kind: mail, host: mail.example, sender: a@example.org, "
        "recipients: [b@example.org], username: w}\n"
        "      - {name: c, kind: webhook, url: 'http://soar.example/', secret: 'file:/s'}\n"
    )
    with pytest.raises(ConfigurationError) as found:
        load_targets(tmp_path / "targets.yaml", tmp_path)
    told = str(found.value)
    for part in ("a secret stands in a place", "username and password belong together", "is not https"):
        assert part in told
    assert "hunter2" not in told


def test_what_is_asked_of_slack_says_whose_app_it_is(
    tool: Notify, slack: SlackServer, permit_for: PermitFor, key: Key
) -> None:
    tool.act(permit_for(tell("soc"), key("a")))
    asked: list[Request] = slack.asked
    assert {one.method for one in asked} == {"POST"}
    assert asked[0].json["unfurl_links"] is False
    assert asked[0].json["link_names"] is False
    assert asked[0].json["metadata"]["event_payload"] == {"key": key("a")}
