"""What is configured of each channel, with its secrets resolved. Made by `watchfloor_connectors.channels.config`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pydantic import SecretBytes, SecretStr


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelSettings:
    """Common to all."""

    name: str
    tenant: str
    roles: tuple[str, ...]
    """Whom it reaches."""
    users: Mapping[str, str]
    """Who somebody is here, by how the channel names them. Whoever is not in it decides nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackSettings(ChannelSettings):
    team: str
    """The workspace; people of others that share a conversation have ids of their own."""
    conversation: str
    bot_token: SecretStr
    signing_secret: SecretBytes
    api_url: str
    hooks_url: str
    """Below which Slack's own ``response_url`` must lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamsSettings(ChannelSettings):
    workflow_url: SecretStr
    """Holds its own signature: whoever has it can post."""
    security_token: SecretBytes | None
    """Decoded key of the outgoing webhook; without one the channel only tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings(ChannelSettings):
    url: str | None
    """Without one the channel only listens."""
    secret: SecretBytes | None
    """Signs what is sent."""
    inbound_secret: SecretBytes | None
    """Proves what is received; without one the channel only tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings(ChannelSettings):
    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    username: str | None
    password: SecretStr | None
    ca_file: str | None


AnyChannel: TypeAlias = SlackSettings | TeamsSettings | WebhookSettings | MailSettings


@dataclass(frozen=True, slots=True)
class Channels:
    """The whole file. Without one there is no channel, and nothing is sent."""

    public_url: str
    channels: tuple[AnyChannel, ...]

    def slack(self, tenant: str) -> tuple[SlackSettings, ...]:
        return tuple(one for one in self.channels if isinstance(one, SlackSettings) and one.tenant == tenant)

    def teams(self, tenant: str) -> tuple[TeamsSettings, ...]:
        return tuple(one for one in self.channels if isinstance(one, TeamsSettings) and one.tenant == tenant)

    def webhooks(self, tenant: str) -> tuple[WebhookSettings, ...]:
        return tuple(one for one in self.channels if isinstance(one, WebhookSettings) and one.tenant == tenant)


NO_CHANNELS = Channels("", ())
