"""What a person says of one finding of an investigation's report, or of what the report lacks.

A correction never changes a report: it stands beside it, under the name of whoever made it. All that were made are
kept; what counts of each person is the last word on each thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

Subject: TypeAlias = tuple[str, int, str | None, str | None, str]
"""Incident, revision, finding, missed technique (one of the two is None) and who says it."""


class Judgement(StrEnum):
    """What can be said."""

    WRONG = "wrong"
    """What the finding says is not so."""
    RIGHT = "right"
    INCOMPLETE = "incomplete"
    """It is so as far as it goes; what is named beside it belongs to it."""
    MISSED = "missed"
    """Of a technique that the report does not have, and of no finding."""
    WITHDRAWN = "withdrawn"
    """The person takes back what they said of the finding, or of the missed technique."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One, as it is kept."""

    id: int
    """Grows with time."""
    incident_id: str
    revision: int
    """Whose report it is about."""
    report_sha256: str
    finding_id: str | None
    """As the report numbers it, ``F1``; None for a missed technique."""
    says: Judgement
    technique: str | None
    """An ATT&CK id: the one missed, or what a finding that is wrong or incomplete should have named."""
    comment: str
    principal: str
    decided_us: int

    @property
    def subject(self) -> Subject:
        """What it is about, and by whom: a later one of the same subject takes its place."""
        missed = self.technique if self.finding_id is None else None
        return self.incident_id, self.revision, self.finding_id, missed, self.principal


def latest_ids(corrections: Iterable[Correction]) -> frozenset[int]:
    """Ids of each person's last word on each thing, also where it takes the earlier back."""
    last: dict[Subject, int] = {}
    for one in corrections:
        last[one.subject] = max(one.id, last.get(one.subject, one.id))
    return frozenset(last.values())


def in_effect(corrections: Iterable[Correction]) -> tuple[Correction, ...]:
    """Those that stand: neither replaced by the same person nor taken back; in the order in which they were made."""
    held = sorted(corrections, key=lambda one: one.id)
    last = latest_ids(held)
    return tuple(one for one in held if one.id in last and one.says is not Judgement.WITHDRAWN)
