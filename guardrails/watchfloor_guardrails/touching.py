"""Which entity of ours an action touches: what the inventory is asked for, and what an incident must name."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from watchfloor_core.alert import EntityKind
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.rule_filter import parse_filter

_NOTHING: Final = frozenset({TargetKind.TICKET, TargetKind.CHANNEL})
"""People read these; no system of ours does anything else afterwards."""
_RESOURCES: Final = frozenset({TargetKind.INSTANCE, TargetKind.KEY, TargetKind.ROLE, TargetKind.APP})


def touches_nothing(kind: str) -> bool:
    """True where acting on a target of this kind holds back and changes no system of ours."""
    return kind in _NOTHING


def entity_of(kind: str, value: str) -> tuple[str, str]:
    """Kind and value of the entity that a target is or stands on: of a filter and a command the host, of sessions the
    account. Another kind is its own entity. The value is as it came; it is ``""`` where no entity can be told.
    """
    match kind:
        case TargetKind.FILTER:
            return EntityKind.HOST.value, _host_of_filter(value)
        case TargetKind.COMMAND:
            return EntityKind.HOST.value, _host_of_command(value)
        case TargetKind.SESSION:
            return EntityKind.USER.value, value
        case _ if kind in _RESOURCES:
            return EntityKind.RESOURCE.value, value
        case _:
            return kind, value


def _host_of_filter(value: str) -> str:
    try:
        return parse_filter(value).host
    except ValueError:
        # No tool takes it; it touches nothing that is known.
        return ""


def _host_of_command(value: str) -> str:
    try:
        return urlsplit(value).hostname or value
    except ValueError:
        return value
