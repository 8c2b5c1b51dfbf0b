"""How far an investigation looks: which hosts, and how long before and after the alerts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watchfloor_agents.investigation.case import InvestigationCase
from watchfloor_agents.investigation.view import EventEvidence
from watchfloor_core.alert import EntityKind
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import AllOf, Condition, Operator, TimeRange, Where

BEFORE_S: Final = 3_600
"""What led to an alert is rarely older than this; process trees are followed further."""
AFTER_S: Final = 3_600
MAX_HOSTS: Final = 20
"""Named in more, the case is about no host in particular, and all are looked at."""


@dataclass(frozen=True, slots=True)
class Scope:
    range: TimeRange
    hosts: tuple[str, ...]
    """In lower case; empty where every host is looked at."""

    def on_hosts(self, condition: Condition) -> Condition:
        """The condition, on these hosts."""
        if not self.hosts:
            return condition
        return AllOf((Where(Field.HOST_NAME, Operator.EQUALS, self.hosts), condition))

    def is_about(self, event: EventEvidence) -> bool:
        is_then = self.range.start_us <= event.time_us < self.range.end_us
        return is_then and (not self.hosts or event.text(Field.HOST_NAME).lower() in self.hosts)


def scope_of(case: InvestigationCase) -> Scope:
    """Around the alerts. A host's short name and its full one are the same host only where the logs write them so, so
    both forms that the alerts use are asked for."""
    hosts = dict.fromkeys(one.lower() for one in case.values(EntityKind.HOST))
    named = tuple(hosts) if len(hosts) <= MAX_HOSTS else ()
    before, after = case.range.start_us - BEFORE_S * 1_000_000, case.range.end_us + AFTER_S * 1_000_000
    return Scope(TimeRange(before, after), named)
