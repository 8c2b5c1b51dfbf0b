"""Channels against receivers that speak as the vendors do: what is sent, and what each answer is taken for."""

from __future__ import annotations

import base64
import email
import email.policy
import hashlib
import hmac
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretBytes, SecretStr

from watchfloor_connectors.channels.http import (
    MAX_ANSWER_BYTES,
    BusyError,
    is_within,
    post,
    require_success,
    url_fault,
)
from watchfloor_connectors.channels.mail import MailChannel
from watchfloor_connectors.channels.settings import MailSettings, SlackSettings, TeamsSettings, WebhookSettings
from watchfloor_connectors.channels.slack import SlackChannel
from watchfloor_connectors.channels.slack_blocks import Reference
from watchfloor_connectors.channels.teams import TeamsChannel
from watchfloor_connectors.channels.testing import Given, HttpReceiver, http_receiver, smtp_receiver
from watchfloor_connectors.channels.webhook import WebhookChannel
from watchfloor_core.errors import ConfigurationError, RefusedError, UnavailableError
from watchfloor_core.notice import ApprovalChannel, ApprovalNotice, NoticeKind

PUBLIC = "https://watchfloor.example.org"
ACT = "act-0123456789abcdef"
NOTICE = ApprovalNotice(
    tenant="default",
    proposal_id=ACT,
    incident_id="inc-0123456789abcdef",
    kind=NoticeKind.REQUEST,
    action_class="deny_ip",
    target='"192.0.2.7"',
    digest="ab" * 32,
    roles=("responder",),
    deadline_us=1_700_000_000_000_000,
    text="deny ip 192.0.2.7",
)
COMMON: dict[str, Any] = {"tenant": "default", "roles": ("responder",), "users": {}}


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as running:
        yield running


def slack(receiver: HttpReceiver) -> SlackChannel:
    settings = SlackSettings(
        name="soc-slack",
        team="T1",
        conversation="C012AB3CD",
        bot_token=SecretStr("xoxb-secret"),
        signing_secret=SecretBytes(b"s" * 32),
        api_url=f"{receiver.url}/api/",
        hooks_url=f"{receiver.url}/hooks/",
        **COMMON,
    )
    return SlackChannel(settings, PUBLIC)


def teams(receiver: HttpReceiver) -> TeamsChannel:
    url = SecretStr(f"{receiver.url}/workflows/1?sig=very-secret")
    return TeamsChannel(TeamsSettings(name="soc-teams", workflow_url=url, security_token=None, **COMMON), PUBLIC)


def webhook(receiver: HttpReceiver) -> WebhookChannel:
    settings = WebhookSettings(
        name="soar", url=f"{receiver.url}/in", secret=SecretBytes(b"o" * 32), inbound_secret=None, **COMMON
    )
    return WebhookChannel(settings, PUBLIC)


def test_slack_is_told_by_chat_post_message(receiver: HttpReceiver) -> None:
    slack(receiver).notify(NOTICE)
    sent = receiver.next()
    assert sent.path == "/api/chat.postMessage"
    assert sent.headers["authorization"] == "Bearer xoxb-secret"
    assert sent.headers["content-type"] == "application/json; charset=utf-8"
    assert sent.json["channel"] == "C012AB3CD"
    assert [block["type"] for block in sent.json["blocks"]] == ["header", "section", "actions"]
    assert "192[.]0[.]2[.]7" in sent.json["blocks"][1]["text"]["text"]
    assert Reference.parse(sent.json["blocks"][2]["elements"][1]["value"]).digest == NOTICE.digest


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Given(200, b'{"ok": false, "error": "invalid_auth"}'), ConfigurationError),
        (Given(200, b'{"ok": false, "error": "not_in_channel"}'), ConfigurationError),
        (Given(200, b'{"ok": false, "error": "internal_error"}'), UnavailableError),
        (Given(200, b'{"ok": false, "error": "ratelimited"}'), BusyError),
        (Given(429, b'{"ok": false, "error": "ratelimited"}', {"Retry-After": "17"}), BusyError),
        (Given(200, b"<html>"), UnavailableError),
        (Given(200, b"[]"), ConfigurationError),
        (Given(200, b'{"ok": 1}'), ConfigurationError),
        (Given(500, b""), UnavailableError),
        (Given(404, b""), ConfigurationError),
    ],
)
def test_what_slack_answers_is_taken_for_what_it_is(
    receiver: HttpReceiver, answer: Given, error: type[Exception]
) -> None:
    receiver.answers = [answer]
    with pytest.raises(error) as raised:
        slack(receiver).notify(NOTICE)
    assert type(raised.value) is error
    assert "xoxb-secret" not in str(raised.value)
    if answer.status == 429:
        assert isinstance(raised.value, BusyError)
        assert raised.value.retry_after_s == 17


def test_what_slack_calls_an_error_is_shown_as_foreign_text(receiver: HttpReceiver) -> None:
    receiver.answers = [Given(200, b'{"ok": false, "error": "a\\nforged: line\\u202e"}')]
    with pytest.raises(ConfigurationError) as raised:
        slack(receiver).notify(NOTICE)
    assert "\n" not in str(raised.value)
    assert "\u202e" not in str(raised.value)


def test_a_dialog_is_opened_and_its_later_outcome_shown(receiver: HttpReceiver) -> None:
    channel = slack(receiver)
    channel.open_deny_dialog("1.2.3", Reference(tenant="default", proposal=ACT, digest="ab" * 32))
    opened = receiver.next()
    assert (opened.path, opened.json["trigger_id"]) == ("/api/views.open", "1.2.3")
    view = opened.json["view"]
    assert (view["type"], view["callback_id"]) == ("modal", "watchfloor_deny_dialog")
    assert len(view["title"]["text"]) <= 24
    channel.show_outcome("V1", "Denied.")
    updated = receiver.next()
    assert (updated.path, updated.json["view_id"]) == ("/api/views.update", "V1")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://evil.example/hooks/1",
        "http://127.0.0.1:1/hooks/1",
        "{base}/hooks",
        "{base}/hooks/../api/views.open",
        "{base}/hooks/%2e%2e/api/views.open",
        "{base}/hookshot/1",
        "{base}@evil.example/hooks/1",
        "file:" + "///etc/passwd",
    ],
)
def test_an_answer_goes_nowhere_but_to_slack(receiver: HttpReceiver, url: str) -> None:
    with pytest.raises(RefusedError, match="nothing was sent"):
        slack(receiver).answer_privately(url.replace("{base}", receiver.url), "hello")
    assert receiver.is_idle


@pytest.mark.parametrize(
    ("url", "is_right"),
    [
        ("https://hooks.slack.com/actions/T1/2/3", True),
        ("https://hooks.slack.com:443/actions/T1", True),
        ("https://HOOKS.slack.com/actions/T1", True),
        ("http://hooks.slack.com/actions/T1", False),
        ("https://hooks.slack.com.evil.example/actions", False),
        ("https://hooks.slack.com@evil.example/actions", False),
        ("https://evil.example/https://hooks.slack.com/", False),
        ("https://hooks.slack.com:8443/actions", False),
        ("https://hooks.slack.com\\@evil.example/", False),
        ("https://hooks.slack.com#@evil.example/", False),
        ("//hooks.slack.com/actions", False),
    ],
)
def test_an_address_is_slacks_only_by_its_whole_origin(url: str, is_right: bool) -> None:
    assert is_within(url, "https://hooks.slack.com/") is is_right


def test_teams_is_told_by_the_workflows_address(receiver: HttpReceiver) -> None:
    receiver.answers = [Given(202, b"")]
    teams(receiver).notify(NOTICE)
    sent = receiver.next()
    assert sent.path == "/workflows/1?sig=very-secret"
    assert sent.json["attachments"][0]["contentType"] == "application/vnd.microsoft.card.adaptive"


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 500])
def test_a_workflows_address_is_a_secret_and_in_no_message(receiver: HttpReceiver, status: int) -> None:
    receiver.answers = [Given(status, b"", {"Location": f"{receiver.url}/elsewhere"} if status < 400 else {})]
    with pytest.raises((ConfigurationError, UnavailableError)) as raised:
        teams(receiver).notify(NOTICE)
    assert "very-secret" not in str(raised.value)
    receiver.next()
    assert receiver.is_idle, "a redirect was followed"


def test_a_webhook_is_told_with_a_signature_that_its_receiver_can_check(receiver: HttpReceiver) -> None:
    webhook(receiver).notify(NOTICE)
    sent = receiver.next()
    stamp, digest = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", sent.headers["watchfloor-signature"]).groups()  # type: ignore[union-attr]  # the test fails where there is no match
    assert hmac.new(b"o" * 32, f"{stamp}.".encode() + sent.body, hashlib.sha256).hexdigest() == digest
    assert abs(int(stamp) - datetime.now(UTC).timestamp()) < 60
    assert sent.json["review_url"] == f"{PUBLIC}/approvals/{ACT}"
    assert (sent.json["kind"], sent.json["digest"]) == ("request", NOTICE.digest)


def test_an_answer_that_never_ends_is_not_read_to_its_end(receiver: HttpReceiver) -> None:
    receiver.answers = [Given(200, b" " * (MAX_ANSWER_BYTES + 1))]
    with pytest.raises(UnavailableError, match="longer than"):
        webhook(receiver).notify(NOTICE)


def test_a_receiver_that_is_away_may_be_tried_again() -> None:
    with http_receiver() as gone:
        channel = webhook(gone)
    with pytest.raises(UnavailableError, match="no answer"):
        channel.notify(NOTICE)


@pytest.mark.parametrize(
    "url",
    [
        "http://soar.example.org/",
        "http://10.0.0.1/",
        "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example/",
        "ftp://soar.example.org/",
        "https://user:pass@soar.example.org/",
        "https:///path",
        "https://soar.example.org:99999/",
        "https://soar.example.org/ x",
    ],
)
def test_nothing_is_sent_in_the_clear_or_to_what_is_no_address(url: str) -> None:
    assert url_fault(url) is not None
    with pytest.raises(ConfigurationError):
        post(url, b"{}", {}, name="x")


def test_every_channel_is_one() -> None:
    with http_receiver() as receiver:
        channels: list[ApprovalChannel] = [slack(receiver), teams(receiver), webhook(receiver), mail(25)]
    assert [one.name for one in channels] == ["soc-slack", "soc-teams", "soar", "duty"]


def test_a_2xx_is_success() -> None:
    with http_receiver() as receiver:
        receiver.answers = [Given(204, b"")]
        require_success(post(receiver.url, b"{}", {}, name="x"), name="x")


# Mail


def mail(port: int, **changes: Any) -> MailChannel:
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": port,
        "sender": "watchfloor@example.org",
        "recipients": ("soc@example.org", "lead@example.org"),
        "username": None,
        "password": None,
        "ca_file": None,
    }
    return MailChannel(MailSettings(name="duty", **COMMON, **{**values, **changes}), PUBLIC)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for 127.0.0.1, and the file by which it is trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, folder / "cert.pem"


def test_mail_goes_out_encrypted_and_logs_in_only_then(certificate: tuple[ssl.SSLContext, Path]) -> None:
    context, ca_file = certificate
    with smtp_receiver(context) as server:
        mail(server.port, ca_file=str(ca_file), username="w", password=SecretStr("hunter2")).notify(NOTICE)
        heard, (sent,) = server.commands, server.mails
    secret = base64.b64encode(b"\0w\0hunter2").decode()
    assert heard[:4] == ["ehlo watchfloor", "STARTTLS", "(tls) ehlo watchfloor", f"(tls) AUTH PLAIN {secret}"]
    assert [line for line in heard if "RCPT" in line.upper()] == [
        "(tls) rcpt TO:<soc@example.org>",
        "(tls) rcpt TO:<lead@example.org>",
    ]
    parsed = email.message_from_bytes(sent, policy=email.policy.default)
    assert parsed["Subject"] == f"[Watchfloor] Approval needed: {ACT}"
    assert f"{PUBLIC}/approvals/{ACT}" in parsed.get_content()


def test_a_server_that_is_not_trusted_gets_no_mail_and_no_password(certificate: tuple[ssl.SSLContext, Path]) -> None:
    with smtp_receiver(certificate[0]) as server:
        with pytest.raises(ConfigurationError, match="SSLCertVerificationError"):
            mail(server.port, username="w", password=SecretStr("hunter2")).notify(NOTICE)
        assert server.commands == ["ehlo watchfloor", "STARTTLS"]


def test_a_server_that_hides_starttls_gets_no_password() -> None:
    with smtp_receiver() as server:
        with pytest.raises(ConfigurationError, match="offers no STARTTLS"):
            mail(server.port, username="w", password=SecretStr("hunter2")).notify(NOTICE)
        assert [line for line in server.commands if "AUTH" in line] == []


def test_a_relay_on_this_machine_may_do_without() -> None:
    with smtp_receiver() as server:
        mail(server.port).notify(NOTICE)
        assert len(server.mails) == 1


@pytest.mark.parametrize(
    ("refuse", "error"),
    [
        ({"MAIL": "451 later"}, UnavailableError),
        ({"MAIL": "550 no"}, ConfigurationError),
        ({"RCPT": "450 later"}, UnavailableError),
        ({"RCPT": "550 nobody of that name"}, ConfigurationError),
        ({"DATA": "552 too much"}, ConfigurationError),
        ({"EHLO": "421 going down", "HELO": "421 going down"}, UnavailableError),
    ],
)
def test_what_a_mail_server_answers_is_taken_for_what_it_is(refuse: dict[str, str], error: type[Exception]) -> None:
    with smtp_receiver() as server:
        server.refuse = refuse
        with pytest.raises(error) as raised:
            mail(server.port).notify(NOTICE)
    assert "nobody of that name" not in str(raised.value)


def test_a_wrong_password_is_the_operators_to_mend(certificate: tuple[ssl.SSLContext, Path]) -> None:
    context, ca_file = certificate
    with smtp_receiver(context) as server:
        server.refuse = {"AUTH": "535 no"}
        with pytest.raises(ConfigurationError, match="check user name, password") as raised:
            mail(server.port, ca_file=str(ca_file), username="w", password=SecretStr("hunter2")).notify(NOTICE)
    assert "hunter2" not in str(raised.value)


def test_a_mail_server_that_is_away_may_be_tried_again() -> None:
    with smtp_receiver() as server:
        channel = mail(server.port)
    with pytest.raises(UnavailableError, match="no mail sent"):
        channel.notify(NOTICE)
