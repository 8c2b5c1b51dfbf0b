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

Paths are files or folders; relative ones begin at the file's own folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from watchfloor_connectors.logs.config import Option, Tenant
from watchfloor_connectors.source_file import read_source_file
from watchfloor_core.context import ContextKind

FILE: Final = "context.yaml"

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


SourceModel: TypeAlias = Annotated[IntelligenceModel | RunbooksModel | PluginModel, Field(discriminator="kind")]


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
