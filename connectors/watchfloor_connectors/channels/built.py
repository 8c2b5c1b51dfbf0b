"""From what is configured to what can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from watchfloor_connectors.channels.mail import MailChannel
from watchfloor_connectors.channels.settings import (
    AnyChannel,
    Channels,
    MailSettings,
    SlackSettings,
    TeamsSettings,
    WebhookSettings,
)
from watchfloor_connectors.channels.slack import SlackChannel
from watchfloor_connectors.channels.teams import TeamsChannel
from watchfloor_connectors.channels.webhook import WebhookChannel
from watchfloor_core.notice import ApprovalChannel, ApprovalNotice


@dataclass(frozen=True, slots=True)
class AddressedChannel:
    """A channel, and whom it reaches."""

    channel: ApprovalChannel
    tenant: str
    roles: tuple[str, ...]

    def is_for(self, notice: ApprovalNotice) -> bool:
        """Of the notice's tenant, and reaching a role that is asked, or anybody where none is named."""
        return self.tenant == notice.tenant and (not notice.roles or bool(set(self.roles) & set(notice.roles)))


def build_channels(configured: Channels) -> tuple[AddressedChannel, ...]:
    """Those that tell, in the order of the file. Raises `ConfigurationError` where a CA file cannot be read."""
    return tuple(
        AddressedChannel(channel, one.tenant, one.roles)
        for one in configured.channels
        if (channel := _channel(one, configured.public_url)) is not None
    )


def _channel(settings: AnyChannel, public_url: str) -> ApprovalChannel | None:
    match settings:
        case SlackSettings():
            return SlackChannel(settings, public_url)
        case TeamsSettings():
            return TeamsChannel(settings, public_url)
        case WebhookSettings(url=None):
            return None
        case WebhookSettings():
            return WebhookChannel(settings, public_url)
        case MailSettings():
            return MailChannel(settings, public_url)
        case unknown:
            assert_never(unknown)
