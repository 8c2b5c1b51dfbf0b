"""Real parts for tests of the service: the API on a socket, alerts for it, and incidents that triage has seen.

Needs the development dependency httpx.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import httpx
import orjson
import uvicorn
from sqlalchemy import select

from watchfloor_agents.correlation.sequencer import Sequencer
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_connectors.framing import Format, read_bytes
from watchfloor_connectors.parse import parse_records
from watchfloor_connectors.registry import Registry
from watchfloor_core.settings import Settings
from watchfloor_core.store import schema
from watchfloor_core.store.engine import Store
from watchfloor_core.store.ingest import register_source
from watchfloor_service.access.tokens import PrincipalKind, Scope, create_token
from watchfloor_service.api.app import create_app
from watchfloor_service.api.incident_desk import IncidentDesk
from watchfloor_service.intake.door import batches, take_in
from watchfloor_workflows.action_messages import ProposalRef, VoteInput, VoteResult
from watchfloor_workflows.authority.voting import record_vote
from watchfloor_workflows.human import record_decision, record_reopening
from watchfloor_workflows.messages import DecideIncidentInput, IncidentStanding, ReopenIncidentInput
from watchfloor_workflows.passkeys import relying_party
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.settle import settle
from watchfloor_workflows.triaging import triage

TLS: Final = ssl.create_default_context()
"""Of all clients: making one takes longer than a request, whether or not it is used."""


class DirectDesk:
    """Takes decisions to the store at once, as the workflow's activities do, without a Temporal between."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def decide(self, tenant: str, incident_id: str, decision: DecideIncidentInput) -> IncidentStanding:
        return await asyncio.to_thread(record_decision, self._store, tenant, incident_id, decision)

    async def reopen(self, tenant: str, incident_id: str, order: ReopenIncidentInput) -> IncidentStanding:
        return await asyncio.to_thread(record_reopening, self._store, tenant, incident_id, order)

    async def is_reachable(self) -> bool:
        return True


class DirectApprovalDesk:
    """Records votes in the store at once, as the workflow's activity does."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._policy = PolicyFile(settings)
        self._party = relying_party(settings)

    async def vote(self, tenant: str, proposal_id: str, vote: VoteInput) -> VoteResult:
        ref = ProposalRef(tenant, proposal_id)
        return await asyncio.to_thread(record_vote, self._store, self._policy.current(), ref, vote, self._party)


class Server(uvicorn.Server):
    """Says when it listens, and ends as soon as it is told to."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens.set()

    async def main_loop(self) -> None:
        # As the library's, which looks ten times as seldom: tests start and end a server hundreds of times.
        while not await self.on_tick(0):
            await asyncio.sleep(0.01)

    @property
    def port(self) -> int:
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port


class Api:
    """A running API, and clients for it."""

    def __init__(self, store: Store, settings: Settings, port: int) -> None:
        self.store = store
        self.settings = settings
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._clients = ExitStack()

    def token(
        self,
        *scopes: Scope,
        tenant: str = "default",
        kind: PrincipalKind = PrincipalKind.SERVICE,
        principal: str = "edge",
    ) -> str:
        """A token for the scopes, ``alerts:write`` where none is named."""
        with self.store.write() as connection:
            return create_token(connection, tenant, principal, kind, scopes or [Scope.ALERTS_WRITE]).text

    def client(
        self,
        *scopes: Scope,
        tenant: str = "default",
        kind: PrincipalKind = PrincipalKind.SERVICE,
        principal: str = "edge",
    ) -> httpx.Client:
        """A client with such a token."""
        return self.bearer(self.token(*scopes, tenant=tenant, kind=kind, principal=principal))

    def person(self, *, tenant: str = "default", principal: str = "ana") -> httpx.Client:
        """A client of somebody who may read and decide."""
        scopes = (Scope.INCIDENTS_READ, Scope.INCIDENTS_DECIDE)
        return self.client(*scopes, tenant=tenant, kind=PrincipalKind.PERSON, principal=principal)

    def bearer(self, token: str) -> httpx.Client:
        """A client that sends this token."""
        headers = {"Authorization": f"Bearer {token}"}
        return self._clients.enter_context(httpx.Client(base_url=self.url, headers=headers, timeout=30, verify=TLS))

    def stranger(self) -> httpx.Client:
        """A client without a token."""
        return self._clients.enter_context(httpx.Client(base_url=self.url, timeout=30, verify=TLS))

    def close(self) -> None:
        self._clients.close()


@contextmanager
def served(store: Store, settings: Settings, desk: IncidentDesk | None = None) -> Iterator[Api]:
    """The API over a migrated store, on a free port, until the block ends; without a desk, over a `DirectDesk`."""
    app = create_app(settings, store, desk=desk or DirectDesk(store), approvals=DirectApprovalDesk(store, settings))
    server = Server(uvicorn.Config(app, port=0, log_config=None, access_log=False, server_header=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    if not server.listens.wait(20):
        raise RuntimeError("the API does not come up")
    api = Api(store, settings, server.port)
    try:
        yield api
    finally:
        api.close()
        server.should_exit = True
        thread.join()


def eve_lines(count: int, *, first: int = 0, signature: str = "ET SCAN test") -> bytes:
    """Suricata alerts as NDJSON, no two the same: three a minute, of ten hosts against two."""
    return b"".join(orjson.dumps(eve_alert(number, signature)) + b"\n" for number in range(first, first + count))


def eve_alert(number: int, signature: str = "ET SCAN test") -> dict[str, object]:
    """The alert of that number."""
    minute, third = divmod(number, 3)
    return {
        "timestamp": f"2024-06-13T{minute // 60 % 24:02d}:{minute % 60:02d}:{third * 20:02d}.{number:06d}+0000",
        "flow_id": number,
        "event_type": "alert",
        "src_ip": f"198.51.100.{number % 10 + 1}",
        "src_port": 40_000 + number % 20_000,
        "dest_ip": f"10.1.0.{number % 2 + 1}",
        "dest_port": 443,
        "proto": "TCP",
        "alert": {
            "action": "allowed",
            "gid": 1,
            "signature_id": 2_010_000 + number % 4,
            "rev": 1,
            "signature": f"{signature} {number % 4}",
            "category": "Web Application Attack",
            "severity": 1,
        },
    }


def plant_incidents(
    store: Store, settings: Settings, tenant: str, body: bytes, *, connector_name: str = "suricata"
) -> list[str]:
    """Take alerts in, correlate, triage and settle them; returns the incidents' ids."""
    connector = Registry.load(settings).get(connector_name)
    with store.write() as connection:
        register_source(connection, tenant, "file:planted", "planted", is_bounded=True)
    parsed = parse_records(connector, read_bytes(body, layout=Format.NDJSON))
    for batch in batches(connector, parsed, "file:planted", size=500):
        take_in(store, tenant, batch)
    Sequencer(store, settings).advance(tenant, finish=True, budget_s=60.0)
    table = schema.incident
    with store.read() as connection:
        ids = (
            connection.execute(select(table.c.id).where(table.c.tenant == tenant).order_by(table.c.id)).scalars().all()
        )
    engine, policy = SpecialistTriage(), PolicyFile(settings).current()
    for incident_id in ids:
        settle(store, policy, tenant, incident_id, triage(store, engine, policy, tenant, incident_id))
    return list(ids)
