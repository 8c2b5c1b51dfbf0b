"""Rulings on actions as JSON, for the store and the ledger: a record of what was decided, without authority."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue, TypeAdapter

from watchfloor_guardrails.action_ruling import ActionRuling

_ADAPTER: Final[TypeAdapter[ActionRuling]] = TypeAdapter(ActionRuling)


def action_ruling_to_json(ruling: ActionRuling) -> dict[str, JsonValue]:
    """A JSON object with every field. There is no way back: an authority is found by ruling again."""
    content: dict[str, JsonValue] = _ADAPTER.dump_python(ruling, mode="json")
    return content
