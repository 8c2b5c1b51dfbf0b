"""``channels.yaml``: what it may say, every mistake at once and in its line, and no secret in a message."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretBytes

from watchfloor_connectors.channels.built import build_channels
from watchfloor_connectors.channels.config import load_channels, read_channels
from watchfloor_connectors.channels.settings import Channels, MailSettings, TeamsSettings, WebhookSettings
from watchfloor_connectors.channels.signatures import verify_webhook
from watchfloor_connectors.channels.webhook import parse_vote
from watchfloor_core.errors import ConfigurationError

SECRETS = {
    "env:TOKEN": "xoxb-1",
    "env:SIGNING": "8f742231b10e8888abcd99yyyzzz85a5\n",
    "env:FLOW": "https://prod-1.westeurope.logic.azure.com/workflows/a/triggers/manual/paths/invoke?sig=s3cr3t",
    "env:TEAMS": base64.b64encode(b"k" * 32).decode(),
    "env:OUT": "o" * 32,
    "env:IN": "i" * 32,
    "env:MAIL": "hunter2",
}

FILE = """\
public_url: https://watchfloor.example.org
channels:
  - name: soc-slack
    kind: slack
    tenant: default
    roles: [responder, lead]
    team: T012AB3CD
    conversation: C012AB3CD
    bot_token: env:TOKEN
    signing_secret: env:SIGNING
    users:
      U012AB3CD: maria
  - name: soc-teams
    kind: teams
    tenant: acme
    roles: [responder]
    workflow_url: env:FLOW
    security_token: env:TEAMS
    users:
      3f8a2d10-0000-4000-8000-1234567890ab: maria
  - name: soar
    kind: webhook
    tenant: default
    roles: [lead]
    url: https://soar.example.org/hook
    secret: env:OUT
    inbound_secret: env:IN
    users:
      maria@soar: maria
  - name: duty
    kind: mail
    tenant: default
    roles: [lead]
    server: mail.example.org:587
    sender: watchfloor@example.org
    recipients: [soc@example.org]
    username: watchfloor
    password: env:MAIL
"""


def resolve(reference: str) -> str:
    try:
        return SECRETS[reference]
    except KeyError:
        raise ConfigurationError(f"{reference!r} is not set") from None


def read(text: str = FILE) -> Channels:
    return read_channels(text, "channels.yaml", resolve)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        read(text)
    return [str(problem) for problem in raised.value.problems]


def test_a_whole_file_is_read_with_its_secrets() -> None:
    channels = read()
    (slack,) = channels.slack("default")
    assert slack.signing_secret.get_secret_value() == b"8f742231b10e8888abcd99yyyzzz85a5"
    assert (slack.users, slack.api_url) == ({"U012AB3CD": "maria"}, "https://slack.com/api/")
    (teams,) = channels.teams("acme")
    assert teams.security_token is not None
    assert teams.security_token.get_secret_value() == b"k" * 32
    assert channels.teams("default") == ()
    assert [one.channel.name for one in build_channels(channels)] == ["soc-slack", "soc-teams", "soar", "duty"]
    for secret in SECRETS.values():
        assert secret.strip() not in repr(channels)
    assert "k" * 32 not in repr(channels)


def test_without_a_file_there_is_no_channel(tmp_path: Path) -> None:
    assert load_channels(tmp_path / "channels.yaml", resolve).channels == ()


def test_a_channel_may_only_listen_or_only_tell() -> None:
    listening = FILE.replace("    url: https://soar.example.org/hook\n    secret: env:OUT\n", "")
    assert "soar" not in [one.channel.name for one in build_channels(read(listening))]
    telling = FILE.replace("    security_token: env:TEAMS\n", "").replace(
        "    users:\n      3f8a2d10-0000-4000-8000-1234567890ab: maria\n", ""
    )
    (teams,) = read(telling).teams("acme")
    assert teams.security_token is None


def test_every_mistake_is_told_at_once_with_its_line() -> None:
    wrong = (
        FILE.replace("https://watchfloor", "http://watchfloor")
        .replace("roles: [responder, lead]", "roles: [boss]")
        .replace("bot_token: env:TOKEN", "bot_token: xoxb-very-secret")
        .replace("U012AB3CD: maria", "maria: U012AB3CD")
        .replace("kind: teams", "kind: fax")
        .replace("url: https://soar", "colour: red\n    url: ftp://soar")
        .replace("server: mail.example.org:587", "server: mail.example.org")
    )
    told = mistakes(wrong)
    assert [line.split(" ")[0] for line in told] == [
        "channels.yaml:1:",
        "channels.yaml:6:",
        "channels.yaml:9:",
        "channels.yaml:12:",
        "channels.yaml:13:",
        "channels.yaml:25:",
        "channels.yaml:26:",
        "channels.yaml:31:",
    ]
    assert "xoxb-very-secret" not in "\n".join(told)


def test_every_secret_that_cannot_be_had_is_told_at_once() -> None:
    told = mistakes(FILE.replace("env:TOKEN", "env:GONE").replace("env:IN", "env:AWAY"))
    assert told == [
        "channels.yaml:9: 'env:GONE' is not set (at channels[0].bot_token)",
        "channels.yaml:27: 'env:AWAY' is not set (at channels[2].inbound_secret)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("inbound_secret: env:IN", "inbound_secret: env:OUT", r":27: the two secrets of a webhook are different"),
        ("secret: env:OUT", "secret: env:MAIL", r":26: the secret has 7 bytes; expected 32"),
        ("env:FLOW", "env:MAIL", r":17: what 'env:MAIL' names is no URL"),
        ("env:TEAMS", "env:MAIL", r":18: expected the security token as Teams shows it"),
        ("name: duty", "name: soar", r":30: a second channel 'soar'"),
        ("    password: env:MAIL\n", "", r"username and password belong together"),
        ("    secret: env:OUT\n", "", r"url and secret belong together"),
        ("    inbound_secret: env:IN\n", "", r"users can say nothing without inbound_secret"),
        ("    security_token: env:TEAMS\n", "", r"users can say nothing without security_token"),
        ("public_url: https://", "public_url: https://user:pass@", r":1: .* holds a user name or password"),
    ],
)
def test_a_mistake_is_told_in_its_place(old: str, new: str, expected: str) -> None:
    (told,) = mistakes(FILE.replace(old, new, 1))
    assert re.search(expected, told), told
    assert "hunter2" not in told


def test_one_outside_user_is_one_principal_within_a_tenant() -> None:
    second = """\
  - name: second
    kind: slack
    tenant: default
    roles: [lead]
    team: T012AB3CD
    conversation: C0000000
    bot_token: env:TOKEN
    signing_secret: env:SIGNING
    users:
      U012AB3CD: nina
"""
    (told,) = mistakes(FILE + second)
    assert told.startswith("channels.yaml:48: 'U012AB3CD' is 'nina' here and 'maria' in channel 'soc-slack'")
    other_tenant = read(FILE + second.replace("tenant: default", "tenant: acme"))
    assert other_tenant.slack("acme")[0].users == {"U012AB3CD": "nina"}


def test_a_ca_file_that_holds_no_certificates_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    with pytest.raises(ConfigurationError, match="holds no certificates in PEM"):
        build_channels(read(FILE + f"    ca_file: {tmp_path / 'ca.pem'}\n"))


def test_the_kinds_are_told_apart() -> None:
    kinds = [type(one) for one in read().channels]
    assert kinds[1:] == [TeamsSettings, WebhookSettings, MailSettings]


DOCUMENTATION = Path(__file__).parent.parent.parent / "docs" / "how-to" / "connect-a-channel.md"


def documented(language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", DOCUMENTATION.read_text())


def test_the_documented_file_is_one() -> None:
    def found(reference: str) -> str:
        return SECRETS["env:FLOW"] if "WORKFLOW" in reference else base64.b64encode(reference.encode() * 4).decode()

    channels = read_channels(documented("yaml")[0], "channels.yaml", found)
    assert [one.channel.name for one in build_channels(channels)] == ["soc-slack", "soc-teams", "soar", "duty-mail"]


def test_the_documented_signature_is_one_and_its_body_a_vote() -> None:
    (snippet,) = documented("python")
    made: dict[str, Any] = {}
    exec(compile(snippet, str(DOCUMENTATION), "exec"), made)  # noqa: S102  # our own text
    secrets = {"soar": SecretBytes(made["secret"])}
    header = made["headers"]["Watchfloor-Signature"]
    assert verify_webhook(secrets, header, made["body"], int(made["stamp"])) is not None
    assert parse_vote(made["body"]).subject == "maria@soar"
    assert verify_webhook(secrets, header, made["body"] + b" ", int(made["stamp"])) is None
