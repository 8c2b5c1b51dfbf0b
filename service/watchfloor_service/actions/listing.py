"""Proposals as a list: one line each, the newest first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, or_, select

from watchfloor_core.clock import to_iso
from watchfloor_core.errors import NotFoundError
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.draft import ActionDraft, draft_from_json
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows.authority.records import StoredProposal

MAX_PAGE: Final = 200
_ID: Final = re.compile(r"act-[0-9a-f]{16}")
_T: Final = action_proposal.c


@dataclass(frozen=True, slots=True)
class ActionSummary:
    """A proposal in a list."""

    proposal_id: str
    incident_id: str
    status: str
    action_class: str
    target_kind: str
    target: str
    """As it stands in the evidence; attacker's text, perhaps."""
    target_shown: str
    """The same in quotes, with everything invisible made visible."""
    tool: str | None
    """None: the tenant's tool for the class, until it is sealed."""
    proposed_by: str
    proposer_kind: str
    requester: str | None
    reason: str | None
    """Why it ended as it did."""
    undo_of: str | None
    created_at: str
    deadline_at: str | None
    decoy_answer: str | None
    """What a careful person says to it, where it was a decoy and has ended; None before, and for every real one."""


@dataclass(frozen=True, slots=True)
class ActionPage:
    actions: list[ActionSummary]
    next: str | None
    """The cursor of the next page; None on the last."""


def list_actions(
    connection: Connection,
    tenant: str,
    *,
    statuses: Sequence[ProposalStatus] = (),
    incident_id: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> ActionPage:
    """A page of the tenant's proposals. Raises ValueError for a cursor that is none of ours."""
    found = select(
        *(_T.id, _T.incident_id, _T.status, _T.draft, _T.reason, _T.undo_of, _T.created_us, _T.deadline_us),
        _T.decoy_answer,
    ).where(_T.tenant == tenant)
    if statuses:
        found = found.where(_T.status.in_([status.value for status in statuses]))
    if incident_id is not None:
        found = found.where(_T.incident_id == incident_id)
    if cursor is not None:
        at_us, proposal_id = _parsed(cursor)
        found = found.where(or_(_T.created_us < at_us, and_(_T.created_us == at_us, _T.id > proposal_id)))
    size = min(limit, MAX_PAGE)
    rows = connection.execute(found.order_by(_T.created_us.desc(), _T.id).limit(size + 1)).all()
    last = rows[size - 1] if len(rows) > size else None
    return ActionPage([_summary(row) for row in rows[:size]], None if last is None else f"{last.created_us}-{last.id}")


def summary_of(stored: StoredProposal) -> ActionSummary:
    """The same line for a proposal that was read whole."""
    tool = stored.draft.tool if stored.proposal is None else stored.proposal.tool
    return _described(
        stored.draft,
        tool,
        proposal_id=stored.id,
        incident_id=stored.incident_id,
        status=stored.status.value,
        reason=stored.reason,
        undo_of=stored.draft.undo_of,
        created_us=stored.created_us,
        deadline_us=stored.deadline_us,
        decoy_answer=stored.decoy_answer,
    )


def proposal_id_of(text: str) -> str:
    """``text``, where it can be a proposal's id. Raises `NotFoundError`: PostgreSQL looks for no text with a NUL."""
    if _ID.fullmatch(text) is None:
        raise NotFoundError(f"no proposal {text[:40]!a} in this tenant; `watchfloor action list` shows them")
    return text


def iso(us: int | None) -> str | None:
    return None if us is None else to_iso(us)


# SQLAlchemy's rows are untyped; the column types of the schema hold.
def _summary(row: Row[*tuple[Any, ...]]) -> ActionSummary:
    draft = draft_from_json(row.draft)
    return _described(
        draft,
        draft.tool,
        proposal_id=row.id,
        incident_id=row.incident_id,
        status=row.status,
        reason=row.reason,
        undo_of=row.undo_of,
        created_us=row.created_us,
        deadline_us=row.deadline_us,
        decoy_answer=row.decoy_answer,
    )


def _described(
    draft: ActionDraft,
    tool: str | None,
    *,
    proposal_id: str,
    incident_id: str,
    status: str,
    reason: str | None,
    undo_of: str | None,
    created_us: int,
    deadline_us: int | None,
    decoy_answer: str | None,
) -> ActionSummary:
    target = str(draft.target.value)
    return ActionSummary(
        proposal_id=proposal_id,
        incident_id=incident_id,
        status=status,
        action_class=draft.action_class,
        target_kind=draft.target_kind,
        target=target,
        target_shown=quote_untrusted(target),
        tool=tool,
        proposed_by=draft.proposer.name,
        proposer_kind=draft.proposer.kind.value,
        requester=draft.proposer.requester,
        reason=reason,
        undo_of=undo_of,
        created_at=to_iso(created_us),
        deadline_at=iso(deadline_us),
        decoy_answer=None if ProposalStatus(status).is_open else decoy_answer,
    )


def _parsed(cursor: str) -> tuple[int, str]:
    moment, _, proposal_id = cursor.partition("-")
    if not (moment.isascii() and moment.isdigit() and len(moment) < 19 and _ID.fullmatch(proposal_id)):
        raise ValueError("this cursor is none; give `next` of the page before")
    return int(moment), proposal_id
