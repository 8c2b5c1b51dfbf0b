"""Signed webhooks: proof of who sent a body and when, without a token.

The sender signs ``<unix time>.<body as sent>`` with HMAC-SHA256 and sends::

    X-Watchfloor-Signature: t=<unix time>,v1=<64 hex digits>

Several ``v1`` may be given while a secret is changed; one must be right. A signature is good for five minutes around
its time and for one delivery.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete
from sqlalchemy.dialects import postgresql, sqlite

from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.store.schema import webhook_nonce
from watchfloor_service.api.problems import ProblemError, ProblemKind
from watchfloor_service.intake.webhook_file import Webhook

SIGNATURE_HEADER: Final = "X-Watchfloor-Signature"
WINDOW_S: Final = 300
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
"""A sender proves itself only with the whole body, so strangers can make the server read this much."""
MAX_SIGNATURES: Final = 4
_STAMP: Final = re.compile(r"[0-9]{1,12}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_SWEEP_BELOW: Final = 4
"""Of 256: one delivery in 64 clears spent signatures away, for it has to look at all of them."""
_NOBODYS_SECRET: Final = b"\0" * 32
"""Signs for webhooks that do not exist, so that they take as long to refuse as those that do."""


@dataclass(frozen=True, slots=True)
class Signature:
    """The header, read."""

    stamp: str
    """As sent: the signature is over these very characters."""
    candidates: tuple[bytes, ...]

    @property
    def at_s(self) -> int:
        return int(self.stamp)


def parse_signature(header: str | None) -> Signature | None:
    """The header's parts; None where it is not of the form, which is all that is ever said about it."""
    stamps: list[str] = []
    digests: list[str] = []
    for part in (header or "")[:1024].split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1":
            digests.append(value)
    if len(stamps) != 1 or not _STAMP.fullmatch(stamps[0]) or not 1 <= len(digests) <= MAX_SIGNATURES:
        return None
    if not all(_DIGEST.fullmatch(digest) for digest in digests):
        return None
    return Signature(stamps[0], tuple(bytes.fromhex(digest) for digest in digests))


def sign(secret: bytes, stamp: str, body: bytes) -> bytes:
    """HMAC-SHA256 over ``stamp.body``."""
    mac = hmac.new(secret, stamp.encode() + b".", hashlib.sha256)
    mac.update(body)
    return mac.digest()


def verify(
    webhooks: Mapping[str, Webhook], name: str, header: str | None, body: bytes, *, now_s: int | None = None
) -> tuple[Webhook, bytes]:
    """The webhook that signed ``body`` just now, and the signature.

    Raises one and the same 401 problem for an unknown name, a malformed header, a wrong signature and a time outside
    the window.
    """
    webhook = webhooks.get(name)
    signature = parse_signature(header)
    stamp = signature.stamp if signature is not None else "0"
    secret = webhook.secret.get_secret_value() if webhook is not None else _NOBODYS_SECRET
    expected = sign(secret, stamp, body)
    is_right = False
    for candidate in signature.candidates if signature is not None else ():
        is_right |= hmac.compare_digest(candidate, expected)
    now = now_us() // MICROSECONDS if now_s is None else now_s
    if webhook is None or signature is None or not is_right or abs(now - signature.at_s) > WINDOW_S:
        raise ProblemError(
            ProblemKind.UNAUTHENTICATED,
            f"send {SIGNATURE_HEADER}: t=<unix time>,v1=<HMAC-SHA256 of time, a full stop and the body>, "
            f"made within the last {WINDOW_S} s with this webhook's secret",
        )
    return webhook, expected


def spend_signature(connection: Connection, webhook: Webhook, signature: bytes, *, now: int | None = None) -> None:
    """Note that a signature was used, in the transaction that takes its body in. Raises a 409 problem if it was before.

    One insert decides, so of two deliveries at once one is refused; where the transaction fails, the signature is
    still good.
    """
    moment = now_us() if now is None else now
    table = webhook_nonce
    mine = (table.c.tenant == webhook.tenant) & (table.c.webhook == webhook.name)
    if signature[0] < _SWEEP_BELOW:
        connection.execute(delete(table).where(mine, table.c.expires_us < moment))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    inserted = connection.execute(
        insert(table)
        .values(
            tenant=webhook.tenant,
            webhook=webhook.name,
            signature=signature,
            # From the sender's time at most one window ahead of ours, to one window behind it.
            expires_us=moment + 2 * WINDOW_S * MICROSECONDS,
        )
        .on_conflict_do_nothing()
        # psycopg counts no rows of an insert that skips one; a returned row does.
        .returning(table.c.webhook)
    ).first()
    if inserted is None:
        raise ProblemError(ProblemKind.REPLAYED, "this signed message was taken in before; nothing was changed")
