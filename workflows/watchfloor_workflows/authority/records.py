"""Proposals as the store keeps them, and the ledger's entries about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, bindparam, select, update

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us
from watchfloor_core.errors import NotFoundError
from watchfloor_core.ledger.entry import Kind
from watchfloor_core.ledger.record import Decision
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema_authority import action_proposal
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.commitment import Opening, opening_from_json
from watchfloor_guardrails.draft import ActionDraft, draft_from_json
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus, parse_preimage

_COLUMNS: Final = action_proposal.c
MAX_LISTED: Final = 500
# Built once: building a statement takes several times as long as running it.
_READ: Final = select(action_proposal).where(
    _COLUMNS.tenant == bindparam("of_tenant"), _COLUMNS.id == bindparam("of_id")
)
_LOCK: Final = _READ.with_for_update()
_WRITE: Final = (
    update(action_proposal)
    .where(_COLUMNS.tenant == bindparam("of_tenant"), _COLUMNS.id == bindparam("of_id"))
    .execution_options(**UNAWAITED)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredProposal:
    """One row."""

    tenant: str
    id: str
    incident_id: str
    draft: ActionDraft
    status: ProposalStatus
    digest: str | None
    proposal: ActionProposal | None
    """None until it is sealed."""
    view: str | None
    ruling: Mapping[str, Any] | None
    """As `watchfloor_guardrails.action_ruling_json` writes it."""
    decoy_answer: str | None
    """What a careful person says to it; None where it is no decoy. Not to be shown before it has ended."""
    opening: Opening | None
    """What its first entry committed to; None where that was before there were commitments."""
    reason: str | None
    decision_id: str | None
    created_us: int
    deadline_us: int | None
    updated_us: int

    @property
    def is_decoy(self) -> bool:
        return self.decoy_answer is not None

    def sealed(self) -> ActionProposal:
        """The proposal. Raises `NotFoundError` where it was not sealed yet."""
        if self.proposal is None:
            raise NotFoundError(f"proposal {self.id!r} is not sealed yet; its target is still being looked at")
        return self.proposal


def read_proposal(connection: Connection, tenant: str, proposal_id: str, *, lock: bool = False) -> StoredProposal:
    """The proposal; with ``lock`` no one else changes it until the transaction ends. Raises `NotFoundError`."""
    row = connection.execute(_LOCK if lock else _READ, {"of_tenant": tenant, "of_id": proposal_id}).one_or_none()
    return proposal_from(row, tenant, proposal_id)


def proposal_from(row: Row[Any] | None, tenant: str, proposal_id: str) -> StoredProposal:
    """From a row that holds the proposal's columns, perhaps beside others. Raises `NotFoundError` where it is None."""
    if row is None:
        raise NotFoundError(f"no proposal {proposal_id!r} in tenant {tenant!r}; `watchfloor action list` shows them")
    return _stored(row)


def list_proposals(
    connection: Connection,
    tenant: str,
    *,
    statuses: Sequence[ProposalStatus] = (),
    incident_id: str | None = None,
    limit: int = 100,
    before_us: int | None = None,
) -> list[StoredProposal]:
    """The tenant's proposals, the newest first."""
    statement = select(action_proposal).where(_COLUMNS.tenant == tenant)
    if statuses:
        statement = statement.where(_COLUMNS.status.in_([status.value for status in statuses]))
    if incident_id is not None:
        statement = statement.where(_COLUMNS.incident_id == incident_id)
    if before_us is not None:
        statement = statement.where(_COLUMNS.created_us < before_us)
    ordered = statement.order_by(_COLUMNS.created_us.desc(), _COLUMNS.id).limit(min(limit, MAX_LISTED))
    return [_stored(row) for row in connection.execute(ordered)]


def write_proposal(
    connection: Connection, tenant: str, proposal_id: str, values: Mapping[str, object], decision: Decision | None
) -> None:
    """Change columns of a locked row; ``decision`` is the entry that tells of it, recorded by the caller."""
    latest = {} if decision is None else {"decision_id": decision.id}
    written = {**values, **latest, "updated_us": now_us()}
    connection.execute(_WRITE, {"of_tenant": tenant, "of_id": proposal_id, **written})


def entry_about(
    stored: StoredProposal,
    kind: Kind,
    body: Mapping[str, JsonValue],
    *,
    start_us: int | None = None,
    parent_id: str | None = None,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Decision:
    """A ledger entry in the chain of the proposal's incident, below the latest one about the proposal."""
    now = now_us()
    return Decision(
        chain=stored.incident_id,
        kind=kind,
        body={"proposal": stored.id, **body},
        name=SpanName(f"watchfloor.{kind}"),
        start_us=now if start_us is None else start_us,
        end_us=now,
        parent_id=parent_id or stored.decision_id,
        attributes={
            SpanAttribute.TENANT: stored.tenant,
            SpanAttribute.PROPOSAL_ID: stored.id,
            SpanAttribute.ACTION_CLASS: stored.draft.action_class,
            **({SpanAttribute.PROPOSAL_DIGEST: stored.digest} if stored.digest else {}),
            **(attributes or {}),
        },
    )


def opened(stored: StoredProposal) -> dict[str, JsonValue]:
    """What the entry with which a proposal ends, or from which on nobody is asked, adds to its body."""
    return {} if stored.opening is None else {"opening": stored.opening.as_json()}


def _stored(row: Row[Any]) -> StoredProposal:
    return StoredProposal(
        tenant=row.tenant,
        id=row.id,
        incident_id=row.incident_id,
        draft=draft_from_json(row.draft),
        status=ProposalStatus(row.status),
        digest=row.digest,
        proposal=None if row.preimage is None else parse_preimage(row.preimage.encode()),
        view=row.view,
        ruling=row.ruling,
        decoy_answer=row.decoy_answer,
        opening=opening_from_json(row.draft["opening"]) if "opening" in row.draft else None,
        reason=row.reason,
        decision_id=row.decision_id,
        created_us=row.created_us,
        deadline_us=row.deadline_us,
        updated_us=row.updated_us,
    )
