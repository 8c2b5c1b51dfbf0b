"""The connection to Temporal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from temporalio.client import Client
from temporalio.common import HeaderCodecBehavior
from temporalio.service import RPCError, TLSConfig

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_workflows.payload_keys import payload_keys
from watchfloor_workflows.plugin import watchfloor_plugin


def temporal_address(settings: Settings) -> str:
    """``host:port`` of the cluster, or of the embedded server on this machine."""
    return settings.temporal_address or f"127.0.0.1:{settings.temporal_port}"


async def connect(settings: Settings) -> Client:
    """A connected client, which encrypts whatever it sends.

    Raises `ConfigurationError` where a TLS file cannot be read or does not fit the others or there are no payload
    keys, and `UnavailableError` where Temporal or the store of those keys does not answer.
    """
    address = temporal_address(settings)
    tls = tls_of(settings)
    api_key = settings.temporal_api_key
    keys = payload_keys(settings)
    await asyncio.to_thread(keys.refresh)
    try:
        return await Client.connect(
            address,
            namespace=settings.temporal_namespace,
            api_key=api_key.get_secret_value() if api_key else None,
            tls=tls,
            connect_timeout=timedelta(seconds=5),
            plugins=[watchfloor_plugin(keys)],
            # By default headers, in which interceptors hand on what they like, are left in the clear.
            header_codec_behavior=HeaderCodecBehavior.CODEC,
        )
    except (RPCError, RuntimeError) as error:
        # The SDK's bridge reports a refused connection and a failed TLS handshake as a bare RuntimeError.
        raise UnavailableError(
            f"Temporal at {address!r} (namespace {settings.temporal_namespace!r}, TLS {'on' if tls else 'off'}) does "
            f"not answer: {error}; start it with `watchfloor up` or mend temporal_address and temporal_tls"
        ) from error


def tls_of(settings: Settings) -> TLSConfig | bool:
    """TLS where it is switched on, or where anything that only makes sense with TLS is given."""
    paths = {
        "temporal_tls_ca": settings.temporal_tls_ca,
        "temporal_tls_cert": settings.temporal_tls_cert,
        "temporal_tls_key": settings.temporal_tls_key,
    }
    if (paths["temporal_tls_cert"] is None) != (paths["temporal_tls_key"] is None):
        raise ConfigurationError("temporal_tls_cert and temporal_tls_key go together; set both or none")
    if not any(paths.values()):
        return settings.temporal_tls or settings.temporal_api_key is not None
    contents = {name: _read(name, path) for name, path in paths.items() if path is not None}
    return TLSConfig(
        server_root_ca_cert=contents.get("temporal_tls_ca"),
        client_cert=contents.get("temporal_tls_cert"),
        client_private_key=contents.get("temporal_tls_key"),
    )


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{name}: {str(path)!r} cannot be read ({error.strerror}); name a readable PEM file"
        ) from error
