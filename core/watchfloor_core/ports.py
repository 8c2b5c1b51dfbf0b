"""The Protocols that packages implement for each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias, runtime_checkable

from watchfloor_core.alert import Alert

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Record: TypeAlias = Mapping[str, Json]
"""One decoded input record: a JSON object, or a CSV row with text values."""


@runtime_checkable
class Connector(Protocol):
    """Turns one vendor format into alerts. Stateless; one module each; found by name."""

    name: str
    """What the operator writes, e.g. ``suricata``."""
    version: str
    """Changes when the same record would become another alert; kept with each batch."""

    def recognises(self, record: Record) -> bool:
        """True only where the record can be of no other format."""
        ...

    def to_alert(self, record: Record) -> Alert | None:
        """The alert in a record; None where the record is well-formed but no alert (e.g. a flow in EVE).

        Raises `RecordError` where it is malformed.
        """
        ...
