"""How people approve: how often, how fast, and what they say to decoys."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from watchfloor_core.clock import MICROSECONDS
from watchfloor_core.store.schema_authority import action_proposal, approval_vote
from watchfloor_guardrails.approval import VoteDecision
from watchfloor_guardrails.proposal import ProposalStatus

QUICK_S: Final = 10.0
"""In less than this nobody reads a view and looks at the incident."""


@dataclass(frozen=True, slots=True)
class ApproverMeasures:
    """One person's decisions in a period."""

    principal: str
    decisions: int
    approvals: int
    denials: int
    timed: int
    """Decisions of which it is known when the person first saw the view."""
    median_seconds: float | None
    """From then to the decision; None where none is timed."""
    share_under_10_s: float | None
    """Of the timed ones, 0 to 1."""
    decoys_right: int
    decoys_wrong: int
    """Of decoys that have ended; one that still waits counts as any other decision, so that nothing tells it apart."""


def measure_approvers(
    connection: Connection, tenant: str, since_us: int, principal: str | None = None
) -> list[ApproverMeasures]:
    """Everyone who decided since then, by name; with ``principal`` that one alone.

    What somebody decided on a decoy of their own counts nowhere: they knew.
    """
    votes, proposals = approval_vote.c, action_proposal.c
    asked = (
        select(
            *(votes.principal, votes.decision, votes.shown_us, votes.decided_us),
            *(proposals.status, proposals.decoy_answer, proposals.draft),
        )
        .join(action_proposal, (proposals.tenant == votes.tenant) & (proposals.id == votes.proposal_id))
        .where(votes.tenant == tenant, votes.decided_us >= since_us)
        .order_by(votes.principal, votes.decided_us)
    )
    if principal is not None:
        asked = asked.where(votes.principal == principal)
    found: defaultdict[str, list[Row[*tuple[Any, ...]]]] = defaultdict(list)  # Any: columns of several types
    for row in connection.execute(asked):
        if not _is_own_decoy(row):
            found[row.principal].append(row)
    return [_measured(name, rows) for name, rows in sorted(found.items())]


# SQLAlchemy's rows are untyped; the column types of the schema hold.
def _is_own_decoy(row: Row[*tuple[Any, ...]]) -> bool:
    return row.decoy_answer is not None and (row.draft.get("opening") or {}).get("planted_by") == row.principal


def _measured(principal: str, rows: Sequence[Row[*tuple[Any, ...]]]) -> ApproverMeasures:
    seconds = [max(0, row.decided_us - row.shown_us) / MICROSECONDS for row in rows if row.shown_us is not None]
    approvals = sum(row.decision == VoteDecision.APPROVE for row in rows)
    decoys = [row for row in rows if row.decoy_answer is not None and not ProposalStatus(row.status).is_open]
    right = sum(row.decision == row.decoy_answer for row in decoys)
    return ApproverMeasures(
        principal=principal,
        decisions=len(rows),
        approvals=approvals,
        denials=len(rows) - approvals,
        timed=len(seconds),
        median_seconds=median(seconds) if seconds else None,
        share_under_10_s=sum(one < QUICK_S for one in seconds) / len(seconds) if seconds else None,
        decoys_right=right,
        decoys_wrong=len(decoys) - right,
    )
