"""Ports: which are free, and what a connection to one finds."""

from __future__ import annotations

import socket

from watchfloor_core.errors import ConfigurationError

LOOPBACK = "127.0.0.1"


def free_port(host: str = LOOPBACK) -> int:
    """A port that was free a moment ago."""
    with socket.socket(_family(host)) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def why_not_free(host: str, port: int) -> str | None:
    """Why nobody can listen there now; None where one can."""
    try:
        with socket.socket(_family(host)) as probe:
            # As the servers themselves do, so that a connection of a stopped server that lingers is no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except OSError as error:
        return error.strerror or str(error)
    return None


def claimed_port(host: str, port: int, setting: str) -> int:
    """The port to listen on: ``port`` itself, or a free one where it is 0.

    Raises `ConfigurationError` where it is taken.
    """
    if port == 0:
        return free_port(host)
    reason = why_not_free(host, port)
    if reason is not None:
        raise ConfigurationError(
            f"port {port} on {host} cannot be listened on ({reason}); "
            f"give another by WATCHFLOOR_{setting.upper()}, 0 for any that is free"
        )
    return port


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
