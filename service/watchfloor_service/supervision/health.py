"""Probes: whether a part answers from outside."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from watchfloor_service.supervision.part import Probe

if TYPE_CHECKING:
    from temporalio.service import ServiceClient

PROBE_S: Final = 5.0
"""How long an answer may take."""


def http_probe(host: str, port: int, path: str) -> Probe:
    """Answers 200 to a GET."""

    async def probe() -> bool:
        async with asyncio.timeout(PROBE_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
                await writer.drain()
                status = await reader.readline()
            finally:
                writer.close()
        return status.split(b" ")[1:2] == [b"200"]

    return probe


def temporal_probe(address: str) -> Probe:
    """Answers the gRPC health check of its workflow service as serving. Plain text: for the embedded server."""
    client: ServiceClient | None = None

    async def probe() -> bool:
        nonlocal client
        # Imported here: it takes a sixth of a second, in which the server itself starts.
        from temporalio.service import ConnectConfig, RPCError, ServiceClient

        try:
            if client is None:
                client = await ServiceClient.connect(ConnectConfig(target_host=address, lazy=True))
            return await client.check_health(timeout=timedelta(seconds=PROBE_S))
        except (RPCError, RuntimeError):
            # The SDK's bridge reports a refused connection as a bare RuntimeError.
            return False

    return probe
