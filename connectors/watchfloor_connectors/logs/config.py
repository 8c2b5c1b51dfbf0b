"""``logs.yaml``: the telemetry that agents may ask, and for which tenants.

::

    sources:
      - name: windows-lab
        kind: files
        tenants: [default]
        paths: [/var/log/collected, /srv/exports/week.zip]
      - name: siem
        kind: elasticsearch
        tenants: [default]
        url: https://elastic.example.org:9200
        index: logs-*
        api_key: env:SOC_ELASTIC_KEY
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from watchfloor_connectors.channels.http import url_fault
from watchfloor_connectors.source_file import read_source_file
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.keys.sources import parse_reference

FILE: Final = "logs.yaml"

Tenant: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


Id: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-fA-F-]{36}$")]
"""A UUID, as Microsoft's portals show it."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FilesModel(_Model):
    """Log files on this machine; folders are walked, archives opened."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    kind: Literal["files"]
    tenants: list[Tenant] = Field(min_length=1)
    paths: list[str] = Field(min_length=1)


class ElasticsearchModel(_Model):
    """Elasticsearch or OpenSearch, searched in place."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    kind: Literal["elasticsearch"]
    tenants: list[Tenant] = Field(min_length=1)
    url: str
    index: str = Field(pattern=r"^[a-z0-9*][a-z0-9*,_.-]{0,254}$")
    api_key: str | None = None
    """Reference to an encoded API key; else ``user`` and ``password``."""
    user: str | None = Field(default=None, min_length=1)
    password: str | None = None
    """Reference."""
    ca_file: str | None = None
    timeout_s: float = Field(default=30.0, gt=0, le=600)

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        has_user = self.user is not None and self.password is not None
        if (self.api_key is not None) == has_user or (self.user is None) != (self.password is None):
            raise ValueError("give api_key, or user and password; keys as references such as env:SOC_ELASTIC_KEY")
        for reference in (self.api_key, self.password):
            if reference is not None:
                check_reference(reference)
        fault = url_fault(self.url)
        if fault is not None:
            raise ValueError(f"url {fault}")
        return self


class SentinelModel(_Model):
    """Microsoft Sentinel, asked in its Log Analytics workspace."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    kind: Literal["sentinel"]
    tenants: list[Tenant] = Field(min_length=1)
    workspace: Id
    directory: Id
    """The Entra tenant."""
    application: Id
    secret: str
    """Reference."""
    timeout_s: float = Field(default=60.0, gt=0, le=600)
    api_url: str = "https://api.loganalytics.azure.com"
    login_url: str = "https://login.microsoftonline.com"
    """Others for national clouds."""

    @model_validator(mode="after")
    def _speaks_to_whom_it_may(self) -> Self:
        check_reference(self.secret)
        for name in ("api_url", "login_url"):
            fault = url_fault(getattr(self, name))
            if fault is not None:
                raise ValueError(f"{name} {fault}")
        return self


class SplunkModel(_Model):
    """Splunk, searched in place."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    kind: Literal["splunk"]
    tenants: list[Tenant] = Field(min_length=1)
    url: str
    indexes: list[Annotated[str, Field(pattern=r"^[a-z0-9_][a-z0-9_-]{0,79}$")]] = Field(min_length=1, max_length=50)
    token: str
    """Reference."""
    ca_file: str | None = None
    timeout_s: float = Field(default=60.0, gt=0, le=600)

    @model_validator(mode="after")
    def _speaks_to_whom_it_may(self) -> Self:
        check_reference(self.token)
        fault = url_fault(self.url)
        if fault is not None:
            raise ValueError(f"url {fault}")
        return self


Option: TypeAlias = str | int | bool | list[str]


class PluginModel(_Model):
    """Somebody else's kind of source, by the name of its entry point."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    kind: Literal["plugin"]
    tenants: list[Tenant] = Field(min_length=1)
    plugin: str = Field(min_length=1, max_length=200)
    options: dict[str, Option] = {}
    secrets: dict[str, str] = {}
    """References."""

    @model_validator(mode="after")
    def _names_secrets_by_reference(self) -> Self:
        for reference in self.secrets.values():
            check_reference(reference)
        return self


def check_reference(text: str) -> None:
    """Raises ValueError, which does not repeat what may be the secret itself."""
    try:
        parse_reference(text)
    except ConfigurationError:
        raise ValueError("a key is no reference; write where it is, such as env:SOC_ELASTIC_KEY") from None


SourceModel: TypeAlias = Annotated[
    FilesModel | ElasticsearchModel | SentinelModel | SplunkModel | PluginModel, Field(discriminator="kind")
]


class LogsModel(_Model):
    sources: list[SourceModel]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The sources of a file, not opened yet."""

    sources: tuple[SourceModel, ...] = ()
    folder: Path = Path()
    """Where relative paths begin: the file's own folder."""

    def of(self, tenant: str) -> tuple[SourceModel, ...]:
        return tuple(one for one in self.sources if tenant in one.tenants)


NO_LOGS: Final = LogSettings()


def load_log_settings(path: Path, *, is_required: bool = False) -> LogSettings:
    """The sources that a file names; none where there is no such file and none is required.

    Raises `ConfigurationError` with every mistake in it at once.
    """
    model = read_source_file(
        path, LogsModel, lambda file: [one.name for one in file.sources], "log sources", is_required=is_required
    )
    return NO_LOGS if model is None else LogSettings(tuple(model.sources), path.absolute().parent)
