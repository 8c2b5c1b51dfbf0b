"""``channels.yaml``: which channels there are, whom they reach, and who their users are here.

Secrets stand elsewhere; the file names them (``env:NAME``, ``file:/path`` …)::

    public_url: https://watchfloor.example.org
    channels:
      - name: soc-slack
        kind: slack
        tenant: default
        roles: [responder, lead]
        team: T012AB3CD
        conversation: C012AB3CD
        bot_token: env:SLACK_BOT_TOKEN
        signing_secret: env:SLACK_SIGNING_SECRET
        users:
          U012AB3CD: maria
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from pydantic import SecretBytes, SecretStr, ValidationError

from watchfloor_connectors.channels.config_schema import (
    KINDS,
    AnyModel,
    ChannelsModel,
    MailModel,
    SlackModel,
    TeamsModel,
    WebhookModel,
)
from watchfloor_connectors.channels.http import url_fault
from watchfloor_connectors.channels.settings import (
    NO_CHANNELS,
    AnyChannel,
    Channels,
    MailSettings,
    SlackSettings,
    TeamsSettings,
    WebhookSettings,
)
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.yaml_source import Document, read_yaml
from watchfloor_guardrails.yaml_source import Path as Place

FILE: Final = "channels.yaml"
MIN_SECRET_BYTES: Final = 32
"""Of the secrets that we ask for; Slack's and Microsoft's have the length that they have."""

Resolve = Callable[[str], str]
"""The secret behind a reference. Raises `ConfigurationError` where there is none."""


def load_channels(path: Path, resolve: Resolve) -> Channels:
    """The channels of a file; none where there is no such file.

    Raises `ConfigurationError` with every mistake in it, and every secret that cannot be had, at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return NO_CHANNELS
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            [Problem(f"cannot be read ({error}); make it a readable UTF-8 file", str(path))]
        ) from error
    return read_channels(text, str(path), resolve)


def read_channels(text: str, file: str, resolve: Resolve) -> Channels:
    """As `load_channels`, of a file's text."""
    document = read_yaml(text, file)
    problems = list(document.problems)
    try:
        model = ChannelsModel.model_validate(document.content)
    except ValidationError as error:
        for mistake in error.errors(include_url=False, include_input=False):
            is_unknown = mistake["type"] == "extra_forbidden"
            message = "unknown key" if is_unknown else mistake["msg"].removeprefix("Value error, ")
            problems.append(document.problem(_place(mistake["loc"]), message))
        raise _all(problems) from None
    reader = _Reader(document, resolve, problems)
    channels = tuple(
        found
        for index, one in enumerate(model.channels)
        if (found := reader.read(one, ("channels", index))) is not None
    )
    reader.check_together(model)
    if problems:
        raise _all(problems)
    return Channels(model.public_url, channels)


def _all(problems: list[Problem]) -> ConfigurationError:
    return ConfigurationError(sorted(problems, key=lambda problem: problem.line or 0))


def _place(location: tuple[int | str, ...]) -> Place:
    """Where in the file; pydantic also names the member of the union, and the key of a mapping as such."""
    is_in_channel = len(location) > 2 and location[0] == "channels" and location[2] in KINDS
    place = (*location[:2], *location[3:]) if is_in_channel else location
    return tuple(part for part in place if part != "[key]")


@dataclass(frozen=True, slots=True)
class _Reader:
    document: Document
    resolve: Resolve
    problems: list[Problem]

    def read(self, model: AnyModel, place: Place) -> AnyChannel | None:
        """The channel with its secrets; None where one of them cannot be had."""
        before = len(self.problems)
        channel = self._resolved(model, place)
        return channel if len(self.problems) == before else None

    def _resolved(self, model: AnyModel, place: Place) -> AnyChannel:
        name, tenant, roles = model.name, model.tenant, tuple(model.roles)
        match model:
            case SlackModel():
                return SlackSettings(
                    name=name,
                    tenant=tenant,
                    roles=roles,
                    users=model.users,
                    team=model.team,
                    conversation=model.conversation,
                    bot_token=SecretStr(self._secret(model.bot_token, (*place, "bot_token"))),
                    signing_secret=self._key(model.signing_secret, (*place, "signing_secret"), 16),
                    api_url=model.api_url,
                    hooks_url=model.hooks_url,
                )
            case TeamsModel():
                return TeamsSettings(
                    name=name,
                    tenant=tenant,
                    roles=roles,
                    users=model.users,
                    workflow_url=self._workflow_url(model.workflow_url, (*place, "workflow_url")),
                    security_token=self._token(model.security_token, (*place, "security_token")),
                )
            case WebhookModel():
                secret = self._optional_key(model.secret, (*place, "secret"))
                inbound = self._optional_key(model.inbound_secret, (*place, "inbound_secret"))
                if secret is not None and inbound is not None and secret == inbound and secret.get_secret_value():
                    # What we send must never be good as what we receive.
                    self._wrong((*place, "inbound_secret"), "the two secrets of a webhook are different; make another")
                return WebhookSettings(
                    name=name,
                    tenant=tenant,
                    roles=roles,
                    users=model.users,
                    url=model.url,
                    secret=secret,
                    inbound_secret=inbound,
                )
            case MailModel():
                host, port = model.host_and_port
                password = self._secret(model.password, (*place, "password")) if model.password is not None else None
                return MailSettings(
                    name=name,
                    tenant=tenant,
                    roles=roles,
                    users={},
                    host=host,
                    port=port,
                    sender=model.sender,
                    recipients=tuple(model.recipients),
                    username=model.username,
                    password=SecretStr(password) if password is not None else None,
                    ca_file=model.ca_file,
                )
            case unknown:
                assert_never(unknown)

    def check_together(self, model: ChannelsModel) -> None:
        """What no channel by itself can get wrong."""
        names: dict[str, int] = {}
        people: dict[tuple[str, str, str], tuple[str, str]] = {}
        for index, one in enumerate(model.channels):
            if one.name in names:
                self._wrong(("channels", index, "name"), f"a second channel {one.name!r}; names are unique")
            names[one.name] = index
            for user, principal in ({} if isinstance(one, MailModel) else one.users).items():
                known, where = people.setdefault((one.tenant, one.kind, user), (principal, one.name))
                if known != principal:
                    self._wrong(
                        ("channels", index, "users", user),
                        f"{user!r} is {principal!r} here and {known!r} in channel {where!r}; one of them is wrong",
                    )

    def _secret(self, reference: str, place: Place) -> str:
        try:
            secret = self.resolve(reference).strip("\r\n")
        except ConfigurationError as error:
            self._wrong(place, str(error))
            return ""
        if not secret or not secret.isascii() or not secret.isprintable():
            self._wrong(place, f"the secret behind {reference!r} is empty or no printable ASCII text")
            return ""
        return secret

    def _key(self, reference: str, place: Place, minimum: int = MIN_SECRET_BYTES) -> SecretBytes:
        secret = self._secret(reference, place).encode()
        if 0 < len(secret) < minimum:
            self._wrong(
                place,
                f"the secret has {len(secret)} bytes; expected {minimum} or more, "
                "for instance from `openssl rand -hex 32`",
            )
        return SecretBytes(secret)

    def _optional_key(self, reference: str | None, place: Place) -> SecretBytes | None:
        return None if reference is None else self._key(reference, place)

    def _token(self, reference: str | None, place: Place) -> SecretBytes | None:
        if reference is None:
            return None
        text = self._secret(reference, place)
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if text and len(key) < 16:
            self._wrong(
                place, "expected the security token as Teams shows it when the outgoing webhook is made: base64"
            )
        return SecretBytes(key)

    def _workflow_url(self, reference: str, place: Place) -> SecretStr:
        url = self._secret(reference, place)
        fault = url_fault(url) if url else None
        if fault is not None:
            self._wrong(place, f"what {reference!r} names {fault}")
        return SecretStr(url)

    def _wrong(self, place: Place, message: str) -> None:
        self.problems.append(self.document.problem(place, message))
