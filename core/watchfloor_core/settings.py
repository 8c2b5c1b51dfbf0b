"""The one reader of the environment: every setting, its default and its meaning.

Environment variables are the field's name in upper case behind ``WATCHFLOOR_``; ``.env`` files are not read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


def _expanded(path: Path) -> Path:
    return path.expanduser().absolute()


def _names(value: object) -> object:
    """``a, b`` as the environment gives it; a JSON list does as well."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    return tuple(name.strip() for name in value.split(",") if name.strip())


DirectoryPath = Annotated[Path, AfterValidator(_expanded)]


class Settings(BaseSettings):
    """Frozen: what a process was started with is what it runs with."""

    model_config = SettingsConfigDict(env_prefix="WATCHFLOOR_", frozen=True, extra="ignore")

    data_dir: DirectoryPath = Field(default=Path("~/.local/share/watchfloor"), validate_default=True)
    """Where the embedded run keeps its store, Temporal's database, logs and keys."""
    database_url: SecretStr | None = None
    """SQLAlchemy URL, e.g. ``postgresql+psycopg://…``; none: SQLite in the data directory."""
    tenant: str = Field(default="default", pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """The tenant that the command line works on."""
    autonomy_file: Path | None = None
    """The autonomy matrix; none: ``autonomy.yaml`` in the data directory, else the one that ships."""

    # Temporal
    temporal_address: str | None = None
    """``host:port`` of a Temporal cluster; none: the embedded server."""
    temporal_namespace: str = "default"
    temporal_tls: bool = False
    temporal_tls_ca: Path | None = None
    temporal_tls_cert: Path | None = None
    temporal_tls_key: Path | None = None
    temporal_api_key: SecretStr | None = None
    temporal_port: int = Field(default=7233, ge=0, le=65535)
    """Port of the embedded server on 127.0.0.1; 0 takes a free one."""
    task_queue: str = "watchfloor"

    # API
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8470, ge=0, le=65535)
    max_request_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_record_bytes: int = Field(default=1024 * 1024, ge=256)
    """A longer record goes to the dead letters."""
    max_pending_alerts: int = Field(default=1_000_000, ge=1)
    """So many alerts may wait for correlation before the API answers 429."""

    # Ingest
    batch_records: int = Field(default=5_000, ge=1, le=100_000)
    """Records per transaction."""
    connectors_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """Names, separated by commas, of third-party connectors (entry-point group ``watchfloor.connectors``) that may be
    loaded."""
    mappings_dir: Path | None = None
    """Folder of the operator's own mapping files; each is a connector by its ``name``."""
    watch_folder: Path | None = None
    """Folder whose new files are taken in."""

    # Event time
    tick_s: int = Field(default=60, ge=1, le=3600)
    """The slice of event time that correlation takes at once."""
    lateness_s: int = Field(default=30, ge=0)
    """How far out of order live alerts may come and still be counted in order."""
    idle_s: int = Field(default=60, ge=1)
    """A live source that is silent for so long (wall clock) holds event time back no more."""
    session_gap_s: int = Field(default=3600, ge=60)
    """An incident takes further alerts until its entities are quiet for so long."""
    incident_max_s: int = Field(default=86_400, ge=3600)
    """No incident spans more event time than this."""
    routine_window_s: int = Field(default=86_400, ge=3600)
    """Alerts within the learned normal are gathered per asset for so long and decided once."""

    # Triage
    debounce_s: float = Field(default=2.0, ge=0)
    """Wall-clock seconds that a re-triage waits for further alerts."""

    # Telemetry
    otlp_endpoint: str | None = None
    """OTLP/HTTP base URL; spans are always kept locally as well."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Retention, in days since receipt; 0 keeps for ever
    retention_raw_days: int = Field(default=90, ge=0)
    retention_alert_days: int = Field(default=400, ge=0)
    retention_span_days: int = Field(default=90, ge=0)

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL in use."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'watchfloor.db'}"
