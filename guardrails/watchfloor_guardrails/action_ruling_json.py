"""Rulings on actions as JSON, for the store and the ledger: a record of what was decided, without authority."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter, ValidationError

from watchfloor_core.errors import RecordError
from watchfloor_guardrails.action_ruling import ActionRuling

_ADAPTER: TypeAdapter[ActionRuling] = TypeAdapter(ActionRuling)


def action_ruling_to_json(ruling: ActionRuling) -> dict[str, JsonValue]:
    """A JSON object that `action_ruling_from_json` turns into an equal ruling."""
    content: dict[str, JsonValue] = _ADAPTER.dump_python(ruling, mode="json")
    return content


def action_ruling_from_json(content: Mapping[str, JsonValue]) -> ActionRuling:
    """Raises `RecordError`."""
    try:
        return _ADAPTER.validate_python(dict(content))
    except ValidationError as error:
        raise RecordError(
            f"not a stored ruling: {error.errors(include_url=False, include_input=False)[0]['msg']}"
        ) from error
