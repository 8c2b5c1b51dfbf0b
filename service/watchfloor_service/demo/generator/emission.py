"""One line of a sensor's file, with what only the author of the scenario knows about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from watchfloor_core.ports import Json


class Truth(StrEnum):
    ROUTINE = "routine"
    """An alert on something harmless."""
    INTRUSION = "intrusion"
    NOT_AN_ALERT = "not_an_alert"
    """Well-formed, but no alert: EVE carries flows and look-ups too."""
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Emission:
    arrival_us: int
    """When the line was written; the file is in this order, which is not that of event time."""
    line: bytes
    """Without its line end."""
    truth: Truth
    stage: str | None = None
    """The ATT&CK tactic that the intrusion follows with it, e.g. ``exfiltration``."""
    is_repeat: bool = False
    """The same alert was written before."""


def emit(record: Mapping[str, Json], arrival_us: int, *, stage: str | None = None, is_repeat: bool = False) -> Emission:
    """An alert; with a stage it belongs to the intrusion."""
    truth = Truth.ROUTINE if stage is None else Truth.INTRUSION
    return Emission(arrival_us, encode(record), truth, stage, is_repeat)


def encode(record: Mapping[str, Json]) -> bytes:
    """Compact JSON, non-ASCII as UTF-8, as all three vendors write it."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
