"""A secret in HashiCorp Vault (or OpenBao): one field of one secret of the key-value engine, version 2.

API: https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2#read-secret-version
"""

from __future__ import annotations

import ipaddress
import json
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

import httpx

from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.keys.private_file import MAX_BYTES
from watchfloor_core.keys.sources import VaultReference

TIMEOUT_S: Final = 5.0
"""For each step of a request, and for all of its answer together."""


@dataclass(frozen=True, slots=True)
class VaultAccess:
    """How Vault is reached."""

    address: str
    """``https://host:8200``; plain HTTP only on this machine."""
    token: Callable[[], str]
    """Asked for each request: agents renew tokens in files."""
    namespace: str | None = None
    """Of Vault Enterprise."""
    tls: ssl.SSLContext | None = None
    """None: the authorities that are usual on the web."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.username or parts.query:
            raise ConfigurationError(f"vault_address is {self.address!r}; expected https://host:port")
        if parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise ConfigurationError(
                f"vault_address {self.address!r} would carry the token and the secret in clear text; use https"
            )


@dataclass(frozen=True, slots=True)
class VaultSecret:
    """The newest version of the field."""

    access: VaultAccess
    place: VaultReference

    @property
    def reference(self) -> str:
        return f"vault:{self.place.mount}/{self.place.path}#{self.place.field}"

    def mark(self) -> None:
        """Only asking tells."""

    def read(self) -> bytes:
        status, body = self._get()
        if status != httpx.codes.OK:
            raise self._refusal(status, body)
        try:
            fields = json.loads(body)["data"]["data"]
            value = fields.get(self.place.field)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(
                f"{self.reference}: {self.access.address} does not answer as the key-value engine, version 2, does; "
                f"check that {self.place.mount!r} is such a mount"
            ) from error
        if not isinstance(value, str):
            raise ConfigurationError(f"{self.reference}: the secret has no such field of text; it has {sorted(fields)}")
        return value.encode()

    def _get(self) -> tuple[int, bytes]:
        headers = {"X-Vault-Token": self.access.token(), "X-Vault-Request": "true"}
        if self.access.namespace:
            headers["X-Vault-Namespace"] = self.access.namespace
        url = f"{self.access.address.rstrip('/')}/v1/{quote(self.place.mount)}/data/{quote(self.place.path)}"
        deadline = time.monotonic() + TIMEOUT_S
        try:
            # No redirects, so that the token goes nowhere else; no proxy or authority named by the environment.
            with (
                httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=self.access.tls or True) as client,
                client.stream("GET", url, headers=headers) as answer,
            ):
                body = bytearray()
                for chunk in answer.iter_bytes():
                    body += chunk
                    if time.monotonic() > deadline or len(body) > MAX_BYTES:
                        raise UnavailableError(
                            f"{self.reference}: the answer of {self.access.address} took longer than {TIMEOUT_S:.0f} s "
                            f"or {MAX_BYTES} bytes"
                        )
                return answer.status_code, bytes(body)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"{self.reference}: {self.access.address} does not answer ({type(error).__name__}: {error}); start it, "
                "or mend vault_address and vault_ca"
            ) from error

    def _refusal(self, status: int, body: bytes) -> ConfigurationError | UnavailableError:
        place = f"{self.place.mount}/data/{self.place.path}"
        match status:
            case 403:
                return ConfigurationError(
                    f"{self.reference}: Vault refuses (403): the token is wrong or expired, or no policy of it may "
                    f"read {place!r}"
                )
            case 404:
                return ConfigurationError(
                    f"{self.reference}: Vault has no secret {place!r} (404), or its newest version is deleted; "
                    "put it there"
                )
            case 503:
                return UnavailableError(f"{self.reference}: Vault is sealed or under maintenance (503); unseal it")
            case _ if status in (429, 472, 473) or status >= httpx.codes.INTERNAL_SERVER_ERROR:
                return UnavailableError(f"{self.reference}: Vault cannot answer now ({status}{_said(body)})")
            case _ if 300 <= status < 400:
                return UnavailableError(
                    f"{self.reference}: Vault sends elsewhere ({status}), where the token is not taken; name the "
                    "active node by vault_address"
                )
            case _:
                return ConfigurationError(f"{self.reference}: Vault refuses ({status}{_said(body)})")


def _said(body: bytes) -> str:
    """Vault's own words on an error; nothing else of an answer is repeated, for it may be secret."""
    try:
        errors = json.loads(body)["errors"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {errors!r:.200}" if errors else ""


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
