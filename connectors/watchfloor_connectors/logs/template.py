"""A log source to begin from: sign-ins of an application that keeps them as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from watchfloor_connectors.logs.listed import ListLogSource
from watchfloor_core.alert import TimePrecision
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import Field


def event(source: str, line: str) -> LogEvent:
    """One line in the shared vocabulary; what it says besides stays in ``original``."""
    record = json.loads(line)
    fields = {
        Field.USER_NAME: str(record["user"]).lower(),
        Field.SOURCE_IP: str(record["address"]),
        Field.EVENT_OUTCOME: "success" if record["ok"] else "failure",
    }
    at = int(record["at"] * 1_000_000)
    return LogEvent(str(record["id"]), source, at, TimePrecision.MILLISECOND, EventType.SIGN_IN, fields, record)


def sign_ins(name: str, options: Mapping[str, object], secrets: Mapping[str, SecretStr]) -> ListLogSource:  # noqa: ARG001
    lines = Path(str(options["file"])).read_text(encoding="utf-8").splitlines()
    return ListLogSource(name, [event(name, line) for line in lines])
