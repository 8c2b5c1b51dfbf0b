"""What a proposal is bound to from the start and what is said only when it has ended: whether it was a decoy.

Every proposal's first ledger entry carries a commitment, so that decoys look like all others; the entry with which it
ends carries the opening. Whoever planted a decoy can thus neither deny it nor call a real proposal one afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_core.errors import RecordError

NONCE_DIGITS: Final = 64
"""256 random bits as hex: without them the few possible answers could be tried out."""
_TYPE: Final = "watchfloor-proposal-opening/1"


@dataclass(frozen=True, slots=True)
class Opening:
    """What the commitment hides until the end."""

    nonce: str
    """`NONCE_DIGITS` hex digits."""
    answer: str | None
    """What a careful person says to a decoy; None for a real proposal."""
    planted_by: str | None
    """Who made the decoy."""

    def commitment(self, tenant: str, proposal_id: str) -> str:
        """SHA-256 (64 hex digits) over RFC 8785 JSON of the opening and of what it belongs to."""
        content = {"type": _TYPE, "tenant": tenant, "proposal": proposal_id, **asdict(self)}
        return hashlib.sha256(canonical(content)).hexdigest()

    def as_json(self) -> dict[str, JsonValue]:
        return asdict(self)


def opening_from_json(content: Mapping[str, JsonValue]) -> Opening:
    """Raises `RecordError`."""
    nonce, answer, planted_by = (content.get(name) for name in ("nonce", "answer", "planted_by"))
    match nonce, answer, planted_by:
        case str(), str() | None, str() | None if len(nonce) == NONCE_DIGITS:
            return Opening(nonce, answer, planted_by)
    raise RecordError(f"not an opening: nonce, answer and planted_by were expected, found {sorted(content)}")
