"""The channels of a tool of the kind ``notify``, as they stand in ``targets.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from watchfloor_connectors.channels.config_schema import MailAddress
from watchfloor_connectors.targets.http_api import ApiOptions, BaseUrl
from watchfloor_connectors.targets.secret import SecretReference

ChannelName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class _Channel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ChannelName


class SlackPlace(_Channel):
    """A conversation, told by an app of its own (``chat:write``), which may read it again (``channels:history``)."""

    kind: Literal["slack"]
    conversation: str = Field(pattern=r"^[CDG][A-Z0-9]{2,20}$")
    bot_token: SecretReference
    api_url: BaseUrl = "https://slack.com/api"


class TeamsPlace(_Channel):
    """A channel, told by a Workflow's address, which is a secret."""

    kind: Literal["teams"]
    workflow_url: SecretReference


class WebhookPlace(_Channel):
    """A receiver of one's own; what is sent is signed with ``secret`` as notices are."""

    kind: Literal["webhook"]
    url: BaseUrl
    secret: SecretReference


class MailPlace(_Channel):
    """Some addresses behind one mail server, by STARTTLS."""

    kind: Literal["mail"]
    host: str = Field(pattern=r"^[A-Za-z0-9.-]{1,253}$")
    port: int = Field(default=587, ge=1, le=65_535)
    sender: MailAddress
    recipients: tuple[MailAddress, ...] = Field(min_length=1, max_length=50)
    username: str | None = Field(default=None, min_length=1, max_length=200)
    password: SecretReference | None = None

    @model_validator(mode="after")
    def _logs_in_or_not(self) -> MailPlace:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        return self


Place: TypeAlias = Annotated[
    Annotated[SlackPlace, Tag("slack")]
    | Annotated[TeamsPlace, Tag("teams")]
    | Annotated[WebhookPlace, Tag("webhook")]
    | Annotated[MailPlace, Tag("mail")],
    Discriminator("kind"),
]


class NotifyOptions(ApiOptions):
    """Options of the kind ``notify``."""

    channels: tuple[Place, ...] = Field(min_length=1, max_length=100)
    """Who can be told: ``kind`` (``slack``, ``teams``, ``mail``, ``webhook``), ``name``, and what that kind needs."""
    never: tuple[str, ...] = ()
    """Names of channels that are not told for now."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> NotifyOptions:
        names = [one.name for one in self.channels]
        if len(set(names)) != len(names):
            raise ValueError("two channels have one name; actions go by the name")
        return self
