"""OCSF severity out of the names that vendors share."""

from __future__ import annotations

from typing import Final

from watchfloor_core.alert import Severity

NAMES: Final = {
    "unknown": Severity.UNKNOWN,
    "info": Severity.INFORMATIONAL,
    "information": Severity.INFORMATIONAL,
    "informational": Severity.INFORMATIONAL,
    "low": Severity.LOW,
    "med": Severity.MEDIUM,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "high": Severity.HIGH,
    "crit": Severity.CRITICAL,
    "critical": Severity.CRITICAL,
    "fatal": Severity.FATAL,
    "other": Severity.OTHER,
}


def severity_named(name: str | None) -> Severity:
    """The severity of that name; UNKNOWN for none or another name, which loses no alert."""
    return NAMES.get(name.strip().lower(), Severity.UNKNOWN) if name else Severity.UNKNOWN
