"""What one Windows event id means in the shared vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field


@dataclass(frozen=True, slots=True)
class WindowsEvent:
    """A row of the tables."""

    type: EventType
    names: Mapping[Field, str] = field(default_factory=dict)
    """Our field, and the name that the event data has it under."""
