"""A policy bundle: the operator's matrix, limits and Cedar policies as one signed, versioned whole."""

from __future__ import annotations

import hashlib

from watchfloor_core.canonical import JsonValue, canonical
from watchfloor_guardrails.autonomy import AutonomyMatrix
from watchfloor_guardrails.cedar import CedarPolicies
from watchfloor_guardrails.limits import LimitTable


def policy_digest(matrix: AutonomyMatrix, limits: LimitTable, cedar: CedarPolicies) -> str:
    """SHA-256 (64 hex digits) over everything that a policy says, whatever its formatting, version and author."""
    parts: dict[str, JsonValue] = {"v": 1, "matrix": matrix.digest, "limits": limits.digest, "cedar": cedar.digest}
    return hashlib.sha256(canonical(parts)).hexdigest()
