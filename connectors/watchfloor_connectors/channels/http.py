"""How channels speak HTTP: JSON out, a short answer back, and nowhere but where it was configured to go."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

import httpx

from watchfloor_core.errors import ConfigurationError, UnavailableError

TIMEOUT_S: Final = 5.0
"""For each step, and for the whole answer."""
MAX_ANSWER_BYTES: Final = 64 * 1024
MAX_WAIT_S: Final = 3_600


class BusyError(UnavailableError):
    """The other side asks to come again later."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        self.retry_after_s: Final = retry_after_s
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


def url_fault(url: str) -> str | None:
    """Why channels do not send to ``url``; None where they do: https, or http to this machine itself."""
    try:
        parts = urlsplit(url)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        return "is no URL"
    if not parts.hostname or not port_is_right or any(character.isspace() for character in url):
        return "is no URL with a host"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or password; name secrets by reference instead"
    if parts.fragment:
        return "has a fragment, which is never sent; remove it"
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname)):
        return None
    return "is not https; plain http is for this machine itself (127.0.0.1) only"


def is_loopback(host: str) -> bool:
    """A literal address of this machine, or ``localhost``; other names could be made to point anywhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_within(url: str, base: str) -> bool:
    """True where ``url`` is a place below ``base``: of the same scheme, host and port, its path beginning the same."""
    if url_fault(url) is not None:
        return False
    inner, outer = urlsplit(url), urlsplit(base)
    if "\\" in url or "/../" in f"{inner.path}/" or "%2e" in inner.path.lower():
        return False
    return _origin(inner) == _origin(outer) and inner.path.startswith(outer.path.rstrip("/") + "/")


def post(url: str, body: bytes, headers: Mapping[str, str], *, name: str) -> Answer:
    """Send a JSON ``body`` and return the answer, whatever its status; a redirect is an answer and not followed.

    Raises `ConfigurationError` where ``url`` may not be sent to, `BusyError` for a 429 or a 503 with a time, and
    `UnavailableError` where there is no whole answer in time. Messages name the channel ``name`` and never the URL,
    which can be a credential.
    """
    fault = url_fault(url)
    if fault is not None:
        raise ConfigurationError(f"channel {name!r}: its address {fault}")
    ends = time.monotonic() + TIMEOUT_S
    held = bytearray()
    try:
        # No proxy or credentials out of the environment: where a notice goes is in the configuration.
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "POST",
                url,
                content=body,
                # An answer that unpacks to a thousand times its size is not asked for.
                headers={"Content-Type": "application/json", "Accept-Encoding": "identity", **headers},
            ) as response,
        ):
            for chunk in response.iter_raw():
                held += chunk
                if len(held) > MAX_ANSWER_BYTES:
                    raise UnavailableError(f"channel {name!r}: the answer is longer than {MAX_ANSWER_BYTES:,} bytes")
                if time.monotonic() > ends:
                    raise UnavailableError(f"channel {name!r}: no whole answer within {TIMEOUT_S:.0f} s")
            status, wait = response.status_code, response.headers.get("retry-after", "")
    except httpx.HTTPError as error:
        raise UnavailableError(f"channel {name!r}: no answer ({type(error).__name__})") from error
    if status == 429 or (status == 503 and wait):
        seconds = min(int(wait), MAX_WAIT_S) if wait.isascii() and wait.isdigit() else 30
        raise BusyError(f"channel {name!r} is asked to wait for {seconds} s", seconds)
    return Answer(status, bytes(held))


def require_success(answer: Answer, *, name: str) -> None:
    """Return for a 2xx; raises `UnavailableError` for a 5xx and 408, `ConfigurationError` for all else."""
    if 200 <= answer.status < 300:
        return
    if answer.status >= 500 or answer.status == 408:
        raise UnavailableError(f"channel {name!r} answers {answer.status}")
    if 300 <= answer.status < 400:
        raise ConfigurationError(
            f"channel {name!r} answers {answer.status}, a redirect, and none is followed; configure the address it "
            "leads to"
        )
    raise ConfigurationError(
        f"channel {name!r} answers {answer.status}; check its address and secret, and whether it was removed there"
    )


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    ports = {"https": 443, "http": 80}
    return parts.scheme, parts.hostname, parts.port or ports.get(parts.scheme)
