"""Proof that a message came from where it says, over the very bytes that arrived.

Pure: the time comes in. Each function returns the proof or None, says nothing about what was wrong, and takes as long
where no channel is configured. That a message is taken once is the receiver's to see to, with ``Proof.mac``.

========  =======================================================================================================
Slack     ``X-Slack-Signature: v0=<hex HMAC-SHA256 of "v0:<X-Slack-Request-Timestamp>:<body>">``
Teams     ``Authorization: HMAC <base64 HMAC-SHA256 of the body>``; the time stands in the body
webhook   ``Watchfloor-Signature: t=<unix time>,v1=<hex HMAC-SHA256 of "<unix time>.<body>">``
========  =======================================================================================================
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretBytes

WINDOW_S: Final = 300
"""A signature is good for so long before and after its time."""
MAX_SIGNATURES: Final = 4
"""Of one header, while a secret is changed."""
SLACK_SIGNATURE: Final = "X-Slack-Signature"
SLACK_TIMESTAMP: Final = "X-Slack-Request-Timestamp"
WEBHOOK_SIGNATURE: Final = "Watchfloor-Signature"

_STAMP: Final = re.compile(r"[0-9]{1,12}")
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_NOBODY: Final = SecretBytes(b"\0" * 32)


@dataclass(frozen=True, slots=True)
class Proof:
    """A message is authentic."""

    mac: bytes
    """32 bytes, of this message alone: what is remembered so that it is not taken twice."""
    channels: frozenset[str]
    """Names of the channels whose secret it was signed with."""


def slack_mac(secret: bytes, stamp: str, body: bytes) -> bytes:
    return _mac(secret, b"v0:" + stamp.encode() + b":", body)


def webhook_mac(secret: bytes, stamp: str, body: bytes) -> bytes:
    return _mac(secret, stamp.encode() + b".", body)


def webhook_header(secret: bytes, body: bytes, at_s: int) -> str:
    """The header that proves ``body`` to be sent at ``at_s``, seconds since the Unix epoch."""
    return f"t={at_s},v1={webhook_mac(secret, str(at_s), body).hex()}"


def verify_slack(
    secrets: Mapping[str, SecretBytes], signature: str | None, timestamp: str | None, body: bytes, now_s: int
) -> Proof | None:
    """``secrets`` are signing secrets by channel."""
    version, _, digest = (signature or "").partition("=")
    stamp = timestamp or ""
    is_formed = version == "v0" and _HEX.fullmatch(digest) is not None and _is_recent(stamp, now_s)
    given = (bytes.fromhex(digest),) if is_formed else ()
    return _prove(secrets, given, b"v0:" + stamp.encode("utf-8", "replace") + b":", body)


def verify_webhook(secrets: Mapping[str, SecretBytes], header: str | None, body: bytes, now_s: int) -> Proof | None:
    """``secrets`` are those that the senders sign with, by channel."""
    stamps: list[str] = []
    digests: list[str] = []
    for part in (header or "")[:1024].split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1":
            digests.append(value)
    is_formed = (
        len(stamps) == 1
        and _is_recent(stamps[0], now_s)
        and 1 <= len(digests) <= MAX_SIGNATURES
        and all(_HEX.fullmatch(digest) for digest in digests)
    )
    given = tuple(bytes.fromhex(digest) for digest in digests) if is_formed else ()
    return _prove(secrets, given, (stamps[0] if is_formed else "0").encode() + b".", body)


def verify_teams(keys: Mapping[str, SecretBytes], authorization: str | None, body: bytes) -> Proof | None:
    """``keys`` are the decoded security tokens by channel. The time is the activity's own: see `teams_inbound`."""
    scheme, _, text = (authorization or "")[:256].partition(" ")
    given: tuple[bytes, ...] = ()
    if scheme.upper() == "HMAC":
        try:
            given = (base64.b64decode(text.strip().encode("ascii"), validate=True),)
        except (binascii.Error, UnicodeEncodeError):
            given = ()
    return _prove(keys, given, b"", body)


def _prove(secrets: Mapping[str, SecretBytes], given: tuple[bytes, ...], prefix: bytes, body: bytes) -> Proof | None:
    matching: set[str] = set()
    proven = b""
    for name, secret in (secrets or {"": _NOBODY}).items():
        expected = _mac(secret.get_secret_value(), prefix, body)
        for candidate in given:
            if hmac.compare_digest(candidate, expected) and name:
                matching.add(name)
                proven = expected
    return Proof(proven, frozenset(matching)) if matching else None


def _mac(secret: bytes, prefix: bytes, body: bytes) -> bytes:
    mac = hmac.new(secret, prefix, hashlib.sha256)
    mac.update(body)
    return mac.digest()


def _is_recent(stamp: str, now_s: int) -> bool:
    return _STAMP.fullmatch(stamp) is not None and abs(now_s - int(stamp)) <= WINDOW_S
