"""Logs: one JSON object on one line of standard error for each record, whatever text stands in it."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, TypeAlias

import orjson
from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

from watchfloor_core.settings import Settings
from watchfloor_core.telemetry.content import safe_text

MAX_MESSAGE: Final = 8_192
"""Characters of a message."""
MAX_FIELD: Final = 1_024
"""Characters of a field and of a line of a stack."""
MAX_FRAMES: Final = 60
"""Lines of a stack: the last ones."""
_TELL_ADDRESSES: Final = ("httpx", "httpcore")
"""They log the whole address of each request, and headers when debugging; that of a Teams channel is a credential."""

_Fault: TypeAlias = "tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None] | None"
_OF_EVERY_RECORD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def configure_logging(settings: Settings, service_name: str) -> None:
    """Send all logs of this process to standard error as JSON lines; called again, it replaces what it set before.

    ``logger.info("…", extra={"incident_id": …})`` gives fields of their own. Text from alerts may be logged: control
    characters, line breaks and bidirectional overrides in it come out visible, so it can neither forge a line nor
    repaint a terminal.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(service_name))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in _TELL_ADDRESSES:
        logging.getLogger(name).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """A record as one line of JSON: time, level, service, logger, message, its fields, trace, exception."""

    def __init__(self, service_name: str) -> None:
        super().__init__()
        self._service: Final = service_name

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            safe_text(name): _field(value) for name, value in record.__dict__.items() if name not in _OF_EVERY_RECORD
        }
        line: dict[str, object] = {
            **fields,
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": safe_text(record.getMessage(), MAX_MESSAGE),
            **_trace(),
            **_exception(record.exc_info),
        }
        return orjson.dumps(line).decode()


def _field(value: object) -> object:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**63 else str(value)
    return safe_text(value if isinstance(value, str) else repr(value), MAX_FIELD)


def _trace() -> Mapping[str, str]:
    context = get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}


def _exception(fault: _Fault) -> Mapping[str, object]:
    if fault is None or fault[0] is None or fault[1] is None:
        return {}
    lines = "".join(traceback.format_exception(fault[1])).splitlines()
    return {
        "exception": fault[0].__qualname__,
        "stack": [safe_text(line, MAX_FIELD) for line in lines[-MAX_FRAMES:]],
    }
