"""The form of ``channels.yaml``: what may stand in it, before any secret is looked up."""

from __future__ import annotations

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from watchfloor_connectors.channels.http import is_loopback, url_fault
from watchfloor_guardrails.roles import Role

_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9.-]{1,190}")
_REFERENCE = re.compile(r"(?:env|file|vault):\S{1,500}")
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|\[[0-9a-fA-F:]{2,39}\]")


def _url(value: str) -> str:
    fault = url_fault(value)
    if fault is not None:
        raise ValueError(f"{value!r} {fault}")
    return value


def _mail_address(value: str) -> str:
    if not _ADDRESS.fullmatch(value):
        raise ValueError(f"{value!r} is not a plain mail address such as soc@example.org")
    return value


def _role(value: str) -> str:
    if value not in {role.value for role in Role}:
        raise ValueError(f"{value!r} is not a role; expected {', '.join(Role)}")
    return value


def _reference(value: str) -> str:
    # What is not a reference may be the secret itself: it is not repeated.
    if not _REFERENCE.fullmatch(value):
        raise ValueError("name the secret by reference, such as env:NAME or file:/path; the file never holds it")
    return value


Url: TypeAlias = Annotated[str, AfterValidator(_url)]
MailAddress: TypeAlias = Annotated[str, AfterValidator(_mail_address)]
Secret: TypeAlias = Annotated[str, AfterValidator(_reference)]
"""A reference, never the secret: ``env:NAME``, ``file:/path`` …"""
Principal: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ChannelModel(_Model):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    tenant: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    roles: list[Annotated[str, AfterValidator(_role)]] = Field(min_length=1)


class SlackModel(ChannelModel):
    kind: Literal["slack"]
    team: str = Field(pattern=r"^T[A-Z0-9]{2,20}$")
    conversation: str = Field(pattern=r"^[CDG][A-Z0-9]{2,20}$")
    bot_token: Secret
    signing_secret: Secret
    users: dict[Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,20}$")], Principal] = {}
    api_url: Url = "https://slack.com/api/"
    hooks_url: Url = "https://hooks.slack.com/"


class TeamsModel(ChannelModel):
    kind: Literal["teams"]
    workflow_url: Secret
    security_token: Secret | None = None
    users: dict[
        Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")], Principal
    ] = {}

    @model_validator(mode="after")
    def _listens_for_its_users(self) -> TeamsModel:
        if self.users and self.security_token is None:
            raise ValueError("users can say nothing without security_token, that of the outgoing webhook; add it")
        return self


class WebhookModel(ChannelModel):
    kind: Literal["webhook"]
    url: Url | None = None
    secret: Secret | None = None
    inbound_secret: Secret | None = None
    users: dict[Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")], Principal] = {}

    @model_validator(mode="after")
    def _has_a_direction(self) -> WebhookModel:
        if (self.url is None) != (self.secret is None):
            raise ValueError("url and secret belong together: what is sent is signed")
        if self.url is None and self.inbound_secret is None:
            raise ValueError("give url and secret to tell, inbound_secret to listen, or all three")
        if self.users and self.inbound_secret is None:
            raise ValueError("users can say nothing without inbound_secret; add it")
        return self


class MailModel(ChannelModel):
    kind: Literal["mail"]
    server: str
    """``host:port``"""
    sender: MailAddress
    recipients: list[MailAddress] = Field(min_length=1, max_length=50)
    username: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    password: Secret | None = None
    ca_file: str | None = None

    @property
    def host_and_port(self) -> tuple[str, int]:
        host, _, port = self.server.rpartition(":")
        return host.strip("[]"), int(port)

    @model_validator(mode="after")
    def _can_be_reached(self) -> MailModel:
        host, _, port = self.server.rpartition(":")
        if not _HOST.fullmatch(host) or not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65_535:
            raise ValueError(f"server is {self.server!r}, expected host:port such as mail.example.org:587")
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password belong together")
        return self

    @property
    def is_local(self) -> bool:
        return is_loopback(self.host_and_port[0])


KINDS = ("slack", "teams", "webhook", "mail")


def _kind(value: object) -> str:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else ""


AnyModel: TypeAlias = Annotated[
    Annotated[SlackModel, Tag("slack")]
    | Annotated[TeamsModel, Tag("teams")]
    | Annotated[WebhookModel, Tag("webhook")]
    | Annotated[MailModel, Tag("mail")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message=f"kind is missing or unknown; expected one of {', '.join(KINDS)}",
    ),
]


class ChannelsModel(_Model):
    public_url: Url
    channels: list[AnyModel] = Field(max_length=200)
