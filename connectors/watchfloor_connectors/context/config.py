"""``context.yaml``: what agents may look up beside telemetry, and for which tenants.

::

    sources:
      - name: sharing-group
        kind: stix
        tenants: [default]
        paths: [/srv/intelligence/bundles]
        warning_lists: [/srv/intelligence/misp-warninglists]
      - name: runbooks
        kind: runbooks
        tenants: [default]
        paths: [/srv/wiki/runbooks]
      - name: corp
        kind: ldap
        tenants: [default]
        url: ldaps://dc01.corp.example
        schema: ad
        base_dn: dc=corp,dc=example
        bind_dn: cn=svc-watchfloor,ou=Service,dc=corp,dc=example
        password: env:SOC_LDAP_PASSWORD

Paths are files or folders; relative ones begin at the file's own folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from watchfloor_connectors.channels.http import is_loopback
from watchfloor_connectors.context.accounts import Layout
from watchfloor_connectors.logs.config import Option, Tenant, check_reference
from watchfloor_connectors.source_file import read_source_file
from watchfloor_core.context import ContextKind

FILE: Final = "context.yaml"

Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
RESERVED: Final = frozenset({"inventory", "history"})
"""Names of the sources that every installation has."""
_SECRET_ATTRIBUTE: Final = re.compile(r"(?i)pass|pwd|key|credential|hash")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class IntelligenceModel(_Model):
    """Indicators in files."""

    name: Name
    kind: Literal["stix", "misp", "list"]
    tenants: list[Tenant] = Field(min_length=1)
    paths: list[str] = Field(min_length=1)
    warning_lists: list[str] = []
    """Files or folders in the format of the MISP project."""
    confidence: int | None = Field(default=None, ge=0, le=100)
    """Of a list, which does not state any itself."""


class RunbooksModel(_Model):
    """Markdown files."""

    name: Name
    kind: Literal["runbooks"]
    tenants: list[Tenant] = Field(min_length=1)
    paths: list[str] = Field(min_length=1)


class DirectoryModel(_Model):
    """An identity directory, asked over LDAP."""

    name: Name
    kind: Literal["ldap"]
    tenants: list[Tenant] = Field(min_length=1)
    url: str
    """``ldaps://host[:port]``, or ``ldap://`` with `start_tls`; plain LDAP to this machine itself alone."""
    start_tls: bool = False
    base_dn: str = Field(min_length=1, max_length=1_000)
    bind_dn: str = Field(min_length=1, max_length=1_000)
    """An account that may do no more than read."""
    password: str
    """Reference."""
    layout: Layout = Field(strict=False, alias="schema")
    user_attribute: str | None = Field(default=None, pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")
    """That holds the name by which people log on; None for the layout's own."""
    domains: list[Annotated[str, Field(min_length=1, max_length=255)]] = []
    """Windows domains, before a backslash, whose accounts the directory has; none: whatever stands there."""
    privileged_groups: list[Annotated[str, Field(min_length=1, max_length=1_000)]] | None = None
    """By name or DN; None for the layout's usual ones."""
    ca_file: str | None = None
    timeout_s: float = Field(default=10.0, gt=0, le=120)
    """For one question in all."""

    @model_validator(mode="after")
    def _binds_where_nobody_listens(self) -> Self:
        check_reference(self.password)
        fault = ldap_url_fault(self.url, start_tls=self.start_tls)
        if fault is not None:
            raise ValueError(f"url {fault}")
        if self.user_attribute is not None and _SECRET_ATTRIBUTE.search(self.user_attribute):
            raise ValueError(f"user_attribute {self.user_attribute!r} may hold a secret, and is told as a name")
        return self


def ldap_url_fault(url: str, *, start_tls: bool) -> str | None:
    """Why a directory is not asked at ``url``; None where it is."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return "is no URL"
    if not parts.hostname or not port_is_right or any(character.isspace() for character in url):
        return "is no URL with a host"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password; write bind_dn, and password as a reference"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "goes on after the host; write where accounts are as base_dn"
    match parts.scheme:
        case "ldaps" if start_tls:
            return "is ldaps, which is encrypted from the start; leave start_tls out, or write ldap://"
        case "ldaps":
            return None
        case "ldap" if start_tls or is_loopback(parts.hostname):
            return None
        case "ldap":
            return "would carry the password in clear text; write ldaps://, or start_tls: true"
        case _:
            return "is neither ldaps:// nor ldap://"


class PluginModel(_Model):
    """Somebody else's kind of source, by the name of its entry point."""

    name: Name
    kind: Literal["plugin"]
    tenants: list[Tenant] = Field(min_length=1)
    plugin: str = Field(min_length=1, max_length=200)
    context: ContextKind = Field(strict=False)
    """What it knows; by this its facts are labelled and asked for."""
    options: dict[str, Option] = {}
    paths: list[str] = []
    """Files whose change has it opened anew."""


SourceModel: TypeAlias = Annotated[
    IntelligenceModel | RunbooksModel | DirectoryModel | PluginModel, Field(discriminator="kind")
]


class ContextModel(_Model):
    sources: list[SourceModel]


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """The sources of a file, not opened yet."""

    sources: tuple[SourceModel, ...] = ()
    folder: Path = Path()
    """Where relative paths begin: the file's own folder."""

    def of(self, tenant: str) -> tuple[SourceModel, ...]:
        return tuple(one for one in self.sources if tenant in one.tenants)


NO_CONTEXT: Final = ContextSettings()


def load_context_settings(path: Path, *, is_required: bool = False) -> ContextSettings:
    """The sources that a file names; none where there is no such file and none is required.

    Raises `ConfigurationError` with every mistake in it at once.
    """
    model = read_source_file(
        path,
        ContextModel,
        lambda file: [one.name for one in file.sources],
        "sources of context",
        is_required=is_required,
        reserved=RESERVED,
    )
    return NO_CONTEXT if model is None else ContextSettings(tuple(model.sources), path.absolute().parent)
