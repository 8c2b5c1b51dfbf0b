"""A report as JSON, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import RecordError
from watchfloor_core.report import Report

FORMAT: Final = 1
_ADAPTER: Final = TypeAdapter(Report)


def report_to_json(report: Report) -> dict[str, JsonValue]:
    """Every field by its name, beside the format's number ``v``."""
    return {"v": FORMAT, "report": cast("JsonValue", _ADAPTER.dump_python(report, mode="json"))}


def report_from_json(content: Mapping[str, Any]) -> Report:
    """The inverse. Raises `RecordError` naming the first place that is wrong."""
    if content.get("v") != FORMAT:
        raise RecordError(f"a report of format {content.get('v')!r}; this version reads {FORMAT}")
    try:
        # Strict as JSON: lists become tuples and names members of enumerations, and nothing else is converted.
        return _ADAPTER.validate_json(orjson.dumps(content.get("report")), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"a kept report cannot be read: {place}: {first['msg']}") from error
