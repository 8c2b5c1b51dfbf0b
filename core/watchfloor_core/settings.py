"""The one reader of the environment: every setting, its default and its meaning.

Environment variables are the field's name in upper case behind ``WATCHFLOOR_``; ``.env`` files are not read.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

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


def _origin(address: str) -> str:
    """``https://host[:port]`` in the form in which browsers name an origin; ``http`` for localhost only."""
    parts = urlsplit(address)
    host, port = parts.hostname or "", parts.port  # raises ValueError for a port that is none
    is_plain = parts.path in ("", "/") and not parts.query and not parts.fragment and "@" not in parts.netloc
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and host == "localhost")
    if not (is_plain and is_safe and re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", host)):
        raise ValueError("expected https://host or https://host:port, or http://localhost:port, and nothing behind it")
    is_usual = port is None or port == {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" if is_usual else f"{parts.scheme}://{host}:{port}"


def _engine(name: str) -> str:
    if not re.fullmatch(r"plugin:[a-z][a-z0-9_]{0,63}", name):
        raise ValueError(
            "expected plugin:NAME, with the name of an entry point that WATCHFLOOR_ENGINES_ALLOWED names as well"
        )
    return name


FOR_ANY_PROGRAM: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "TZ", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TERM"}
)
"""Variables that say where a program runs, and nothing else."""
_FOR_PYTHON: Final = frozenset({"PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"})
DirectoryPath = Annotated[Path, AfterValidator(_expanded)]
Origin = Annotated[str, AfterValidator(_origin)]


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

    playbooks_folder: DirectoryPath | None = None
    """Playbooks that may be run, ``*.json`` and ``*.yaml``; none: ``playbooks`` in the data directory."""
    playbooks_signed: bool = False
    """Only playbooks with a signature that holds, by a key that is registered here, are run."""

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
    executor_queue: str = "watchfloor-executor"
    """Where the process with the targets' credentials takes its orders; also the audience of grants."""
    payload_keys: str | None = None
    """Where the keys are that payloads in Temporal are encrypted with: ``file:/path``, ``env:NAME`` or
    ``vault:<mount>/<path>#<field>``; none: ``keys/payload.json`` in the data directory, made at the first start."""

    # Secret store (HashiCorp Vault, key-value engine version 2)
    vault_address: str | None = None
    """``https://host:8200``."""
    vault_token: SecretStr | None = None
    vault_token_file: Path | None = None
    """Read for each request: agents renew it."""
    vault_namespace: str | None = None
    vault_ca: Path | None = None
    """PEM file of the authority that signed Vault's certificate."""

    # API
    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8470, ge=0, le=65535)
    public_url: Origin | None = None
    """Where people's browsers find the console and the API, ``https://host[:port]``: passkeys are made for it. None:
    ``http://localhost:<port>`` where the API listens on this machine alone."""
    max_request_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    max_record_bytes: int = Field(default=1024 * 1024, ge=256)
    """A longer record goes to the dead letters."""
    max_pending_alerts: int = Field(default=1_000_000, ge=1)
    """So many alerts may wait for correlation before the API answers 429."""

    # Single sign-on (OpenID Connect)
    oidc_issuer: str | None = None
    """The identity provider, exactly as it names itself; none: people sign in with passwords alone."""
    oidc_client_id: str | None = None
    oidc_client_secret: SecretStr | None = None
    oidc_redirect_url: str | None = None
    """Where the provider sends people back: this API's ``/v1/oidc/callback`` as a browser reaches it."""
    oidc_role_claim: str = "groups"
    """The claim of the ID token that lists a person's groups."""
    oidc_role_mapping: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """``group=role`` or ``group=tenant/role``, separated by commas; who is in none of the groups needs an account."""

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

    # Investigation
    logs_file: Path | None = None
    """The log sources that agents may ask; none: ``logs.yaml`` in the data directory, else no source."""
    log_sources_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """Names, separated by commas, of third-party log sources (entry-point group ``watchfloor.log_sources``) that may be
    loaded."""
    context_sources_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """The same for sources of context (``watchfloor.context_sources``)."""
    context_file: Path | None = None
    """What agents may look up beside telemetry; none: ``context.yaml`` in the data directory, else nothing but the
    installation's own store."""
    analysers_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """Names, separated by commas, of third-party analysers (entry-point group ``watchfloor.analysers``) that may be
    loaded."""
    investigation_engine: Annotated[str, AfterValidator(_engine)] | None = None
    """Who looks into what the rules leave open: ``plugin:NAME``; none: the models of ``models.yaml``, where there is
    such a file."""
    engines_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """Names, separated by commas, of third-party engines (entry-point group ``watchfloor.engines``) that may be
    started."""
    tools_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """Names, separated by commas, of third-party reading tools (entry-point group ``watchfloor.tools``) that models and
    agents are offered."""

    endorsers_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """Names, separated by commas, of third-party label endorsers (entry-point group ``watchfloor.endorsers``) that may
    vouch for the targets that a report recommends."""

    # Action
    targets_file: Path | None = None
    """The tools that act on the outside world; none: ``targets.yaml`` in the data directory, else one blocklist."""
    grant_public_key: Path | None = None
    """PEM file of the worker's public key, by which the executor checks grants; none: ``keys/grant.pub`` in the data
    directory."""
    targets_allowed: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = ()
    """Names, separated by commas, of third-party kinds of tools (entry-point group ``watchfloor.targets``) that may be
    loaded."""

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

    # Ledger
    checkpoint_interval_s: int = Field(default=300, ge=10)
    """A checkpoint of the ledger is signed so often, where anything came since the last one."""
    checkpoint_witness: Path | None = None
    """Folder that gets a copy of every checkpoint: one that whoever can write to the database cannot reach."""

    # Telemetry
    otlp_endpoint: str | None = None
    """OTLP/HTTP base URL; spans are always kept locally as well."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    # Retention, in days since receipt; 0 keeps for ever
    retention_raw_days: int = Field(default=90, ge=0)
    retention_alert_days: int = Field(default=400, ge=0)
    retention_span_days: int = Field(default=90, ge=0)

    @property
    def passkey_origin(self) -> str | None:
        """The origin that passkeys are made for; None where no browser could use one."""
        if self.public_url is not None:
            return self.public_url
        is_local = self.api_host in ("127.0.0.1", "::1", "localhost") and self.api_port != 0
        return f"http://localhost:{self.api_port}" if is_local else None

    @property
    def store_url(self) -> str:
        """The SQLAlchemy URL in use."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'watchfloor.db'}"


def environment_secret(name: str) -> SecretStr | None:
    """The variable that a reference ``env:NAME`` means; None where it is not set or empty."""
    value = os.environ.get(name)
    return SecretStr(value) if value else None


def plugin_environment(name: str) -> dict[str, str]:
    """For a plug-in in a process of its own: where programs run, and the variables that begin with its own name.

    ``second_look`` gets ``SECOND_LOOK_KEY``, and nothing that was set for us or for another.
    """
    own = f"{name.upper()}_"
    wanted = FOR_ANY_PROGRAM | _FOR_PYTHON
    return {
        key: value
        for key, value in os.environ.items()
        if key in wanted or (key.startswith(own) and not key.startswith("WATCHFLOOR_"))
    }
