"""Slows down whoever fails to authenticate, without locking out those who succeed from the same address."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

FAILURES: Final = 20
WINDOW_S: Final = 60.0
PROOF_S: Final = 600.0
REMEMBERED: Final = 10_000


def client_network(host: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 that one IPv6 subscriber holds."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class FailureThrottle:
    """Counts failed authentications per client in windows of a minute.

    Past the limit a client's attempts are refused unseen, except credentials that proved right lately: a
    misconfigured sensor behind the same address must not cut off the others. Memory is bounded: the clients and
    proofs least recently seen are forgotten.
    """

    def __init__(self, failures: int = FAILURES, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Client to (start of its window, failures in it)."""
        self._proofs: OrderedDict[bytes, float] = OrderedDict()
        """Digest of a credential to when it last proved right."""

    def retry_after_s(self, host: str, credential: bytes) -> int | None:
        """Seconds until this attempt may be made; None where it may be made now."""
        now = self._clock()
        with self._lock:
            started, count = self._failures.get(client_network(host), (now, 0))
            left = started + WINDOW_S - now
            if count < self._limit or left <= 0:
                return None
            if now - self._proofs.get(credential, -PROOF_S) < PROOF_S:
                return None
            return int(left) + 1

    def failed(self, host: str) -> None:
        now = self._clock()
        client = client_network(host)
        with self._lock:
            started, count = self._failures.pop(client, (now, 0))
            if now - started >= WINDOW_S:
                started, count = now, 0
            self._failures[client] = (started, count + 1)
            while len(self._failures) > REMEMBERED:
                self._failures.popitem(last=False)

    def succeeded(self, credential: bytes) -> None:
        with self._lock:
            self._proofs.pop(credential, None)
            self._proofs[credential] = self._clock()
            while len(self._proofs) > REMEMBERED:
                self._proofs.popitem(last=False)
