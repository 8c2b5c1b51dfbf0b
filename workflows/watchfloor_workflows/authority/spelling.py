"""One spelling of a target where it is compared with the inventory and the evidence, which know no other.

A tool gets the value as it was sealed: ``DBA`` and ``dba`` may be two accounts there. What the inventory says of one of
them holds for both, so that no other spelling makes a crown jewel into nothing of ours.
"""

from __future__ import annotations

from watchfloor_connectors.normalise import normalise
from watchfloor_core.alert import EntityKind
from watchfloor_core.errors import RecordError


def spelled(kind: str, value: str) -> str:
    """The value as alerts and inventory spell it; as it is where it is no value of its kind."""
    try:
        return normalise(EntityKind(kind), value) or value
    except (RecordError, ValueError):
        return value
