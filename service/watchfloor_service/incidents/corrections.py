"""What people say of a report's findings, as people and programs read it.

Comments are given as they came; whoever shows them escapes them (`watchfloor_core.untrusted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from watchfloor_core.clock import to_iso
from watchfloor_core.correction import Correction, in_effect
from watchfloor_workflows.investigation.corrections import read_corrections
from watchfloor_workflows.investigation.records import InvestigationKey

MAX_SHOWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class CorrectionView:
    finding_id: str | None
    """None for a technique that the report misses."""
    says: str
    """wrong, right, incomplete, missed or withdrawn."""
    technique: str | None
    comment: str
    principal: str
    decided_at: str

    @classmethod
    def of(cls, one: Correction) -> CorrectionView:
        return cls(one.finding_id, one.says.value, one.technique, one.comment, one.principal, to_iso(one.decided_us))


@dataclass(frozen=True, slots=True)
class CorrectionsView:
    """Of one report."""

    incident_id: str
    revision: int
    sha256: str | None
    """Of the report; None where there is none yet."""
    corrections: list[CorrectionView]
    """The oldest first, `MAX_SHOWN` at most."""
    total: int


def standing_corrections(
    connection: Connection, tenant: str, incident_id: str, revision: int
) -> tuple[Correction, ...]:
    """What stands beside the report on this revision: nobody has replaced or taken it back."""
    return in_effect(read_corrections(connection, InvestigationKey(tenant, incident_id, revision)))


def load_corrections(
    connection: Connection, tenant: str, incident_id: str, revision: int, sha256: str | None, *, history: bool = False
) -> CorrectionsView:
    """Those that stand; with ``history`` also those that were replaced or taken back, and the takings back."""
    made: Sequence[Correction] = read_corrections(connection, InvestigationKey(tenant, incident_id, revision))
    shown = made if history else in_effect(made)
    views = [CorrectionView.of(one) for one in shown[:MAX_SHOWN]]
    return CorrectionsView(incident_id, revision, sha256, views, len(shown))
