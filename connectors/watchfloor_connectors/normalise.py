"""One spelling for each entity, so that two sensors that mean the same thing say the same thing."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import RecordError
from watchfloor_core.identity import digest16
from watchfloor_core.untrusted import quote_untrusted

MAX_ENTITY_BYTES: Final = 1024
"""A longer value is cut and ends in its digest: database indexes hold no more than about 2,700 bytes."""

_HASH: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128}")


_CACHED_CHARS: Final = 256
"""Longer values are not remembered: they may be an attacker's, and so may their number."""


def normalise(kind: EntityKind, value: str) -> str | None:
    """The entity's one spelling; None where the value names nothing. RecordError where it cannot be of that kind."""
    return _known(kind, value) if len(value) <= _CACHED_CHARS else _spell(kind, value)


def _spell(kind: EntityKind, value: str) -> str | None:
    text = value.strip()
    if not text or text == "-":
        return None
    match kind:
        case EntityKind.HOST | EntityKind.DOMAIN:
            text = text.rstrip(".").lower()
        case EntityKind.USER | EntityKind.MAILBOX:
            text = text.lower()
        case EntityKind.IP:
            text = normalise_ip(text)
        case EntityKind.FILE_HASH:
            text = text.lower()
            if not _HASH.fullmatch(text):
                raise RecordError(f"{quote_untrusted(value, 80)} is no MD5, SHA-1 or SHA-2 in hexadecimal")
        case EntityKind.URL | EntityKind.FILE | EntityKind.PROCESS | EntityKind.RESOURCE:
            # Case tells here: URL paths, Linux file names, resource ids.
            pass
    return bounded(text) or None


_known = lru_cache(maxsize=65_536)(_spell)


def normalise_ip(text: str) -> str:
    """The address in RFC 5952 form; an IPv4 address inside IPv6 (``::ffff:192.0.2.1``) as IPv4, a scope dropped."""
    try:
        address = ip_address(text)
    except ValueError:
        raise RecordError(f"{quote_untrusted(text, 80)} is no IP address") from None
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        if address.scope_id is not None:
            return str(IPv6Address(int(address)))
    return str(address)


def bounded(text: str) -> str:
    """The text, or the start of a very long one and the digest of the whole."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= MAX_ENTITY_BYTES:
        return text
    head = encoded[: MAX_ENTITY_BYTES - 40].decode("utf-8", "ignore")
    return f"{head}…#{digest16('entity-value', text).hex()}"
