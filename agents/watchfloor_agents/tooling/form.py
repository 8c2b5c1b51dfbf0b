"""What a tool says of itself, as a caller is told it."""

from __future__ import annotations

from typing import Any, Final

import orjson
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from watchfloor_agents.tooling.tool import ReadingTool, ToolForm
from watchfloor_core.untrusted import escape_untrusted

MAX_DESCRIPTION: Final = 1_000
"""Characters."""
MAX_SCHEMA: Final = 8 * 1024
"""Bytes of JSON."""


def form_of(tool: ReadingTool) -> ToolForm:
    """Raises ValueError for what no model could be told."""
    return checked_form(stated_form(tool))


def stated_form(tool: ReadingTool) -> ToolForm:
    """As the tool states it. Raises ValueError where its arguments have no schema."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(tool.arguments)
        schema = adapter.json_schema()
    except PydanticUserError:
        raise ValueError("its arguments are no dataclass or pydantic model that JSON can say") from None
    return ToolForm(name=tool.name, version=tool.version, description=tool.description, schema=schema)


def checked_form(form: ToolForm) -> ToolForm:
    """Raises ValueError for what no model could be told."""
    text = form.description
    if not isinstance(text, str) or not text.strip() or len(text) > MAX_DESCRIPTION or escape_untrusted(text) != text:
        raise ValueError(f"its description is no plain line of 1 to {MAX_DESCRIPTION:,} characters")
    if not isinstance(form.schema, dict) or form.schema.get("type") != "object":
        raise ValueError("its arguments are no object with named fields")
    if len(orjson.dumps(form.schema)) > MAX_SCHEMA:
        raise ValueError(f"the schema of its arguments is larger than {MAX_SCHEMA:,} bytes")
    return form
