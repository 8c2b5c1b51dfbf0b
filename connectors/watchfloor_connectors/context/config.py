"""``context.yaml``: what agents may look up beside telemetry, and for which tenants.

::

    sources:
      - name: sharing-group
        kind: stix
        tenants: [default]
        paths: [/srv/intelligence/bundles]
        warning_lists: [/srv/intelligence/misp-warninglists]
      - name: directory
        kind: ldap
        tenants: [default]
        url: ldaps://dc1.example.org
        base_dn: DC=example,DC=org
        bind_dn: CN=watchfloor,OU=Services,DC=example,DC=org
        password: file:/etc/watchfloor/ldap-password
        privileged_groups: [Domain Admins, Backup Operators]
      - name: runbooks
        kind: runbooks
        tenants: [default]
        paths: [/srv/wiki/runbooks]

Paths are files or folders; relative ones begin at the file's own folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from watchfloor_connectors.logs.config import Option, Tenant, check_reference
from watchfloor_connectors.source_file import read_source_file
from watchfloor_core.context import ContextKind

FILE: Final = "context.yaml"

_LDAP: Final = re.compile(r"(?P<scheme>ldaps?)://(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>\d{1,5}))?/?")
Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
RESERVED: Final = frozenset({"inventory", "history"})
"""Names of the sources that every installation has."""


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


class LdapModel(_Model):
    """An LDAP directory, asked in place."""

    name: Name
    kind: Literal["ldap"]
    tenants: list[Tenant] = Field(min_length=1)
    url: str
    """``ldaps://host``; ``ldap://host`` with ``start_tls``, or on this machine."""
    base_dn: str = Field(min_length=1, max_length=500)
    bind_dn: str = Field(min_length=1, max_length=500)
    password: str
    """Reference."""
    layout: Literal["ad", "posix"] = "ad"
    start_tls: bool = False
    ca_file: str | None = None
    privileged_groups: list[Annotated[str, Field(min_length=1, max_length=200)]] = []
    timeout_s: int = Field(default=10, ge=1, le=60)
    paths: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        check_reference(self.password)
        found = _LDAP.fullmatch(self.url)
        if found is None:
            raise ValueError(f"url is {self.url!r}; ldaps://directory.example.org was expected, with a port if need be")
        host = (found["host"] or "").strip("[]").lower()
        if found["scheme"] == "ldap" and not self.start_tls and not _is_loopback(host):
            raise ValueError(
                "url begins with ldap://: password and answers would go in the clear; use ldaps:// or start_tls"
            )
        if found["scheme"] == "ldaps" and self.start_tls:
            raise ValueError("start_tls is for ldap://; ldaps:// is encrypted from the start")
        return self


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


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
    IntelligenceModel | RunbooksModel | LdapModel | PluginModel, Field(discriminator="kind")
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
