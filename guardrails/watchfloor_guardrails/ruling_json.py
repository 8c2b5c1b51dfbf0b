"""Rulings as JSON, for the store, the ledger and Temporal. Nothing is lost but the permit, which is not for storage."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from watchfloor_core.errors import RecordError
from watchfloor_core.incident import ClosedBy, Verdict
from watchfloor_guardrails.autonomy import EffectiveLevel
from watchfloor_guardrails.gates import RuleHit, RulingDecision
from watchfloor_guardrails.ruling import Requirement, Route, Ruling


class _StoredRuling(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: str
    incident_id: str
    revision: int
    decision: RulingDecision
    route: Route
    actor: ClosedBy
    verdict: Verdict | None
    effective: EffectiveLevel
    hits: tuple[RuleHit, ...]
    requirement: Requirement | None
    policy_digest: str | None
    rule_id: str | None
    review_drawn: bool


_FIELDS: Final = tuple(_StoredRuling.model_fields)


def ruling_to_json(ruling: Ruling) -> dict[str, JsonValue]:
    """A JSON object that `ruling_from_json` turns into an equal ruling."""
    stored = _StoredRuling(**{name: getattr(ruling, name) for name in _FIELDS})
    content: dict[str, JsonValue] = stored.model_dump(mode="json")
    return content


def ruling_from_json(content: Mapping[str, JsonValue]) -> Ruling:
    """A stored ruling: a record of what was decided, from which no permit can be had. Raises `RecordError`."""
    try:
        # Through JSON text, because only there does strict parsing take arrays for tuples and names for enumerations.
        stored = _StoredRuling.model_validate_json(json.dumps(dict(content)), strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        path = ".".join(str(part) for part in found[0]["loc"])
        raise RecordError(f"not a stored ruling: {found[0]['msg']}", path=path) from error
    return Ruling(**{name: getattr(stored, name) for name in _FIELDS})
