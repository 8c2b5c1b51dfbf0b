"""Carrying out one granted action: the only code that acts on the outside world.

In this order, and nothing of it can be left out by a caller::

    open the grant (signature, audience, time)          no authority without the issuer
    look at the target                                  time of check …
    in one transaction: rule again, find the authority again, charge the budgets, consume the grant
    act, with the digest as idempotency key             … is time of use
    read back, record what was found

A process that dies after consuming never acts a second time: whoever takes over reads back, and says what can be known.
One that only stood still does not act once it counts as dead; where it had begun before, and brings about late what was
recorded as failed meanwhile, the outcome is unknown.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection, Row, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import MICROSECONDS, now_us
from watchfloor_core.errors import (
    NotFoundError,
    RecordError,
    RefusedError,
    UnavailableError,
    WatchfloorError,
)
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.pipelining import UNAWAITED
from watchfloor_core.store.schema_authority import action_grant, action_proposal, execution, lease
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.assertion import RelyingParty
from watchfloor_guardrails.budget import Charge
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.effect import (
    MAX_OUTPUT,
    ActionTarget,
    Effect,
    EffectPermit,
    NotDoneError,
    TargetState,
    tool_pin,
)
from watchfloor_guardrails.grant import Authority, AuthorityKind, Grant, open_grant, permit_effect
from watchfloor_guardrails.proposal import ActionProposal, ProposalStatus
from watchfloor_guardrails.ruling import rule
from watchfloor_workflows.action_messages import (
    ExecuteActionInput,
    ExecuteActionResult,
    ObserveTargetResult,
    ProposalRef,
)
from watchfloor_workflows.authority.budgets import charge, refund
from watchfloor_workflows.authority.freezes import freeze_class
from watchfloor_workflows.authority.granting import find_authority
from watchfloor_workflows.authority.pulse import Pulse
from watchfloor_workflows.authority.records import (
    StoredProposal,
    entry_about,
    proposal_from,
    read_proposal,
    write_proposal,
)
from watchfloor_workflows.authority.sealing import ruling_entry
from watchfloor_workflows.authority.surroundings import Observed, scopes_of, surroundings
from watchfloor_workflows.policy import Policy

logger = logging.getLogger(__name__)

DEAD_AFTER_S: Final = 15.0
"""An executor that has not said so for this long is gone, and whatever it had started has run into its time limit."""
READ_BACK_TRIES: Final = 3
HOUR_S: Final = 3_600
_ORDERED: Final = (
    select(
        action_proposal,
        action_grant.c.envelope,
        execution.c.grant_id,
        execution.c.phase,
        execution.c.outcome,
        execution.c.executor,
        execution.c.beat_us,
    )
    .select_from(action_proposal)
    .outerjoin(
        action_grant,
        (action_grant.c.tenant == action_proposal.c.tenant)
        & (action_grant.c.id == bindparam("of_grant"))
        # How one proposal's execution ended must not be taken for another's.
        & (action_grant.c.proposal_id == action_proposal.c.id),
    )
    .outerjoin(execution, (execution.c.tenant == action_grant.c.tenant) & (execution.c.grant_id == action_grant.c.id))
    .where(action_proposal.c.tenant == bindparam("of_tenant"), action_proposal.c.id == bindparam("of_id"))
)
_BEGIN: Final = insert(execution).execution_options(**UNAWAITED)
_FINISH: Final = update(execution).where(
    execution.c.tenant == bindparam("of_tenant"),
    execution.c.grant_id == bindparam("of_grant"),
    execution.c.phase == "acting",
)
_HOLD: Final = insert(lease).execution_options(**UNAWAITED)
_LET_GO: Final = (
    update(lease)
    .where(
        lease.c.tenant == bindparam("of_tenant"),
        lease.c.action_class.in_(bindparam("undone", expanding=True)),
        lease.c.tool == bindparam("of_tool"),
        lease.c.target_kind == bindparam("of_kind"),
        lease.c.target_value == bindparam("of_value"),
        lease.c.state != "ended",
    )
    .values(state="ended", ended_us=bindparam("at"), undo_proposal_id=bindparam("by"))
    .returning(lease.c.proposal_id)
)


class Tools(Protocol):
    """The configured tools. Only the executor's process has any."""

    def of(self, tenant: str, tool: str) -> ActionTarget: ...

    def for_class(self, tenant: str, action_class: str) -> ActionTarget | None: ...


@dataclass(frozen=True, slots=True)
class _Consumed:
    """A grant that is used up: the way to act is open, once."""

    stored: StoredProposal
    grant: Grant
    authority: AuthorityKind
    permit: EffectPermit
    at_us: int


class Executor:
    """Looks at targets and carries out grants. Thread-safe."""

    def __init__(
        self,
        store: Store,
        tools: Tools,
        policy: Callable[[], Policy],
        issuers: Mapping[str, Ed25519PublicKey],
        *,
        audience: str,
        name: str,
        party: RelyingParty | None,
        dead_after_s: float = DEAD_AFTER_S,
    ) -> None:
        self._store = store
        self._tools = tools
        self._policy = policy
        self._issuers = dict(issuers)
        self._audience = audience
        self._name = name
        self._party = party
        self._dead_after_us = int(dead_after_s * MICROSECONDS)
        self._pulse = Pulse(store)

    def observe(self, ref: ProposalRef) -> ObserveTargetResult:
        """Look at the target of a draft. Raises `UnavailableError` where that may be tried again."""
        with self._store.read() as connection:
            draft = read_proposal(connection, ref.tenant, ref.proposal_id).draft
        try:
            tool = self._tool(ref.tenant, draft.tool, draft.action_class)
            target = Target(TargetKind(draft.target_kind), str(draft.target.value))
            if draft.action_class not in tool.action_classes:
                raise NotFoundError(f"tool {tool.tool!r} does not do {draft.action_class!r}")
            state = tool.read_state(target)
        except (NotFoundError, RecordError, RefusedError, ValueError) as error:
            return ObserveTargetResult("", "", "", str(error))
        return ObserveTargetResult(tool.tool, tool_pin(tool), state.digest)

    def execute(self, order: ExecuteActionInput) -> ExecuteActionResult:
        """Carry out the grant, at most once, whoever asks and how often.

        Raises `UnavailableError` where it may be tried again: nothing has happened then, or another executor is at it.
        """
        with self._store.read() as connection:
            stored, held = _ordered(connection, order)
        if held.grant_id is not None:
            return self._take_over(stored, held)
        if not stored.status.is_open:
            return ExecuteActionResult(stored.status, stored.reason or f"the proposal is {stored.status}")
        # Before the grant is used up: an execution of which no sign of life can be given is not begun.
        with self._pulse.ready():
            try:
                consumed = self._consume(stored, held.envelope)
            except RefusedError as error:
                return self._refuse(stored, str(error))
            except IntegrityError as error:
                raise UnavailableError("another executor has just used this grant; ask again") from error
            return self._act(consumed)

    def _tool(self, tenant: str, name: str | None, action_class: str) -> ActionTarget:
        if name is not None:
            return self._tools.of(tenant, name)
        tool = self._tools.for_class(tenant, action_class)
        if tool is None:
            raise NotFoundError(f"no tool of tenant {tenant!r} does {action_class!r}; configure one in targets.yaml")
        return tool

    def _consume(self, stored: StoredProposal, envelope: str) -> _Consumed:
        """Everything that must hold at this moment, and then the grant is used up. Raises `RefusedError`."""
        proposal = stored.sealed()
        grant = open_grant(envelope, self._issuers, audience=self._audience, now_us=now_us())
        if grant.proposal_id != stored.id or grant.tenant != stored.tenant or grant.digest != stored.digest:
            raise RefusedError("the grant is for another proposal")
        tool, before = self._look(proposal)
        with self._store.write() as connection:
            # Locked first: a stop that is thrown from here on waits for what this transaction decides.
            stored = read_proposal(connection, stored.tenant, stored.id, lock=True)
            now, policy = now_us(), self._policy()
            grant.check_moment(now)
            seen = Observed(before.digest, tool_pin(tool))
            context = surroundings(connection, stored, proposal, policy, seen, now, lock=True)
            ruling = rule(proposal, context)
            authority = find_authority(connection, stored, proposal, ruling, self._party, now)
            permit = permit_effect(grant, authority, proposal)
            _charge(connection, stored, policy, authority, now)
            _insert_execution(connection, stored, proposal, grant, authority, before, self._name, now)
            ruled = ruling_entry(stored, ruling, start_us=now)
            begun = entry_about(
                stored,
                "execution",
                {
                    "grant": grant.grant_id,
                    "digest": grant.digest,
                    "authority": authority.kind.value,
                    "people": list(authority.people),
                    "tool": tool.tool,
                    "tool_pin": seen.tool_pin,
                    "executor": self._name,
                    "state_before": before.content,
                },
                parent_id=ruled.id,
                attributes={SpanAttribute.GRANT_ID: grant.grant_id, SpanAttribute.TOOL_NAME: tool.tool},
            )
            record_decisions(connection, stored.tenant, [ruled, begun])
            write_proposal(connection, stored.tenant, stored.id, {"status": ProposalStatus.EXECUTING.value}, begun)
        return _Consumed(stored, grant, authority.kind, permit, now)

    def _look(self, proposal: ActionProposal) -> tuple[ActionTarget, TargetState]:
        try:
            tool = self._tools.of(proposal.tenant, proposal.tool)
            return tool, tool.read_state(proposal.action.target)
        except (NotFoundError, RecordError) as error:
            raise RefusedError(f"the target cannot be looked at: {error}") from error

    def _act(self, consumed: _Consumed) -> ExecuteActionResult:
        action, tenant = consumed.permit.action, consumed.stored.tenant
        tool = self._tools.of(tenant, action.tool)
        problem: str | None = None
        is_certain = True
        with self._pulse.beating(tenant, consumed.grant.grant_id):
            try:
                if now_us() - consumed.at_us >= self._dead_after_us:
                    raise NotDoneError("this executor stood still for so long that it counts as dead")
                tool.act(consumed.permit)
            except NotDoneError as error:
                problem = f"the tool did nothing: {error}"
            except Exception as error:  # noqa: BLE001 - whatever a tool raises, its effect must be looked for
                # Its class alone: what a tool puts into a message may be a credential of its own.
                logger.error(
                    "tool %s failed in the middle of %s: %s", action.tool, consumed.stored.id, type(error).__name__
                )
                problem, is_certain = f"the tool failed: {type(error).__name__}", False
            effect, found = self._read_back(tool, action, consumed.permit.key)
        status, reason = _outcome(action, effect, problem, str(found.get("text", "")), is_certain=is_certain)
        return self._record(consumed.stored, consumed.grant.grant_id, status, reason, found)

    def _take_over(self, stored: StoredProposal, held: Row[Any]) -> ExecuteActionResult:
        """The grant is used up already: say how it ended, or find out."""
        if held.phase == "done":
            return ExecuteActionResult(
                ProposalStatus(held.outcome), stored.reason or "", _lease_end(self._store, stored)
            )
        if now_us() - held.beat_us < self._dead_after_us:
            raise UnavailableError(f"executor {held.executor!r} is at it; ask again")
        proposal = stored.sealed()
        try:
            tool = self._tools.of(stored.tenant, proposal.tool)
            effect, found = self._read_back(tool, proposal.action, proposal.digest)
        except NotFoundError as error:
            effect, found = Effect.UNKNOWN, {"text": str(error)}
        match effect:
            case Effect.APPLIED:
                status, reason = ProposalStatus.SUCCEEDED, "the effect was found by whoever took over"
            case Effect.NOT_APPLIED if proposal.action.target.kind is TargetKind.COMMAND:
                status, reason = ProposalStatus.FAILED, str(found.get("text", ""))
            case Effect.NOT_APPLIED:
                status, reason = ProposalStatus.FAILED, "the executor ended before the effect; nothing was changed"
            case Effect.UNKNOWN:
                status, reason = ProposalStatus.UNKNOWN, "the executor ended in the middle, and the target cannot tell"
        return self._record(stored, held.grant_id, status, reason, found)

    def _read_back(self, tool: ActionTarget, action: Action, key: str) -> tuple[Effect, Mapping[str, JsonValue]]:
        """What the target says of itself; UNKNOWN where it says nothing."""
        text = ""
        for _ in range(READ_BACK_TRIES):
            try:
                back = tool.read_back(action, key)
            except (WatchfloorError, OSError) as error:
                text = f"it cannot be read back: {error}"
            else:
                given = {"output": back.output[:MAX_OUTPUT]} if back.output else {}
                return back.effect, {
                    "effect": back.effect.value,
                    "text": back.text,
                    "state": back.state.content,
                    **given,
                }
        return Effect.UNKNOWN, {"effect": Effect.UNKNOWN.value, "text": text}

    def _record(
        self,
        stored: StoredProposal,
        grant_id: str,
        status: ProposalStatus,
        reason: str,
        found: Mapping[str, JsonValue],
    ) -> ExecuteActionResult:
        receipt: dict[str, JsonValue] = {
            "outcome": status.value,
            "reason": reason,
            "grant": grant_id,
            "read_back": found,
        }
        with self._store.write() as connection:
            stored = read_proposal(connection, stored.tenant, stored.id, lock=True)
            if not _finish(connection, stored.tenant, grant_id, status, receipt):
                # Another one has taken over meanwhile and has said how it ended.
                if stored.status is not ProposalStatus.FAILED or status is ProposalStatus.FAILED:
                    return ExecuteActionResult(stored.status, stored.reason or "")
                # It said that nothing was changed, and now something is, or may be.
                reason = f"it was recorded as failed, and then an executor that stood still ended late: {status}"
                status = ProposalStatus.UNKNOWN
                receipt |= {"outcome": status.value, "reason": reason}
                _amend(connection, stored.tenant, grant_id, status, receipt)
            told = entry_about(
                stored,
                "receipt",
                _without_output(receipt),
                attributes={SpanAttribute.OUTCOME: status.value, SpanAttribute.GRANT_ID: grant_id},
            )
            further, ends_us = _consequences(connection, stored, status, reason, told.id)
            record_decisions(connection, stored.tenant, [told, *further])
            values = {"status": status.value, "reason": reason or None}
            write_proposal(connection, stored.tenant, stored.id, values, told)
        return ExecuteActionResult(status, reason, ends_us)

    def _refuse(self, stored: StoredProposal, reason: str) -> ExecuteActionResult:
        with self._store.write() as connection:
            stored = read_proposal(connection, stored.tenant, stored.id, lock=True)
            if stored.status not in (ProposalStatus.APPROVED, ProposalStatus.WAITING):
                return ExecuteActionResult(stored.status, stored.reason or reason)
            told = entry_about(
                stored,
                "receipt",
                {"outcome": ProposalStatus.REFUSED.value, "reason": reason},
                attributes={SpanAttribute.OUTCOME: ProposalStatus.REFUSED.value},
            )
            record_decisions(connection, stored.tenant, [told])
            values = {"status": ProposalStatus.REFUSED.value, "reason": reason}
            write_proposal(connection, stored.tenant, stored.id, values, told)
        return ExecuteActionResult(ProposalStatus.REFUSED, reason)


def _without_output(receipt: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """For the ledger: of what the action gave beside its effect the digest, as that is long and goes with the store."""
    found = receipt["read_back"]
    if not isinstance(found, Mapping) or "output" not in found:
        return dict(receipt)
    digest = hashlib.sha256(str(found["output"]).encode("utf-8", "surrogatepass")).hexdigest()
    kept = {name: value for name, value in found.items() if name != "output"}
    return {**receipt, "read_back": {**kept, "output_sha256": digest}}


def _outcome(
    action: Action, effect: Effect, problem: str | None, text: str, *, is_certain: bool
) -> tuple[ProposalStatus, str]:
    """What is recorded: what the target shows counts, and never what the tool's interface answered."""
    match effect:
        case Effect.APPLIED:
            return ProposalStatus.SUCCEEDED, problem or ""
        case Effect.NOT_APPLIED if not is_certain:
            return ProposalStatus.UNKNOWN, f"{problem}; the target does not show the effect, which may still come"
        case Effect.NOT_APPLIED if action.target.kind is TargetKind.COMMAND:
            # It ran, and ended otherwise than well: how, and that nobody knows what it did before, is what was read.
            return ProposalStatus.FAILED, problem or text
        case Effect.NOT_APPLIED:
            return (
                ProposalStatus.FAILED,
                problem or "the tool reported success, and the target does not show the effect",
            )
        case Effect.UNKNOWN:
            return ProposalStatus.UNKNOWN, problem or "the target cannot be read back"


def _consequences(
    connection: Connection, stored: StoredProposal, status: ProposalStatus, reason: str, parent_id: str
) -> tuple[list[Decision], int | None]:
    """What follows from an outcome: a lease opens or ends, a class freezes, a budget gets back what was not used."""
    match status:
        case ProposalStatus.SUCCEEDED:
            ended = _end_lease(connection, stored, parent_id)
            opened, ends_us = _open_lease(connection, stored, parent_id)
            return [*ended, *opened], ends_us
        case ProposalStatus.UNKNOWN:
            freeze_class(connection, stored.tenant, stored.draft.action_class, stored.id, reason)
            frozen = entry_about(stored, "freeze", {"action_class": stored.draft.action_class}, parent_id=parent_id)
            return [frozen], None
        case _:
            refund(connection, stored.tenant, stored.id)
            return [], None


def _open_lease(connection: Connection, stored: StoredProposal, parent_id: str) -> tuple[list[Decision], int | None]:
    proposal = stored.sealed()
    known = CATALOGUE[proposal.action_class]
    if not known.is_containment:
        return [], None
    now = now_us()
    ends_us = None if proposal.lease_s is None else now + proposal.lease_s * MICROSECONDS
    row = {
        "tenant": stored.tenant,
        "proposal_id": stored.id,
        "action_class": proposal.action_class,
        "tool": proposal.tool,
        "target_kind": proposal.target_kind,
        "target_value": str(proposal.target.value),
        "opened_us": now,
        "ends_us": ends_us,
        "state": "open",
    }
    connection.execute(_HOLD, row)
    body: dict[str, JsonValue] = {"state": "open", "ends_us": ends_us, "undo": known.undo}
    return [entry_about(stored, "lease", body, parent_id=parent_id)], ends_us


def _end_lease(connection: Connection, stored: StoredProposal, parent_id: str) -> list[Decision]:
    """Where this takes containments of its target back, they have ended, and were seen to have ended; whoever asked."""
    proposal = stored.sealed()
    undone = [one.name for one in CATALOGUE.values() if one.is_containment and one.undo == proposal.action_class]
    if not undone:
        return []
    asked = {
        "of_tenant": stored.tenant,
        "undone": undone,
        "of_tool": proposal.tool,
        "of_kind": proposal.target_kind,
        "of_value": str(proposal.target.value),
        "at": now_us(),
        "by": stored.id,
    }
    ended = connection.scalars(_LET_GO, asked)
    return [
        entry_about(stored, "lease", {"state": "ended", "lease": one}, parent_id=parent_id) for one in sorted(ended)
    ]


def _charge(connection: Connection, stored: StoredProposal, policy: Policy, authority: Authority, now: int) -> None:
    """Counted before it is done, in the transaction that consumes the grant. Raises `RefusedError`."""
    in_use = policy.in_force(stored.tenant, stored.draft.action_class)
    if in_use is None:
        raise RefusedError("the policy cannot be read")
    if authority.kind is AuthorityKind.STATED_UNDO:
        # Letting go is never held up by a budget for holding on.
        return
    limits, subject = in_use.limits, stored.draft.action_class
    charges = [Charge("actions", subject, 1, limits.actions_per_hour, HOUR_S, stored.id)]
    if authority.kind is AuthorityKind.LEVEL:
        most = limits.autonomous_actions_per_hour
        charges.append(Charge("autonomous_actions", subject, 1, most, HOUR_S, stored.id))
    charge(connection, stored.tenant, charges, now)


def _insert_execution(
    connection: Connection,
    stored: StoredProposal,
    proposal: ActionProposal,
    grant: Grant,
    authority: Authority,
    before: TargetState,
    executor: str,
    now: int,
) -> None:
    scopes = scopes_of(stored.tenant, proposal.action_class, proposal.tool, proposal.proposer.name)
    row = {
        "tenant": stored.tenant,
        "grant_id": grant.grant_id,
        "proposal_id": stored.id,
        "digest": grant.digest,
        "action_class": proposal.action_class,
        "tool": proposal.tool,
        "executor": executor,
        "authority": authority.kind.value,
        "kill_scopes": list(scopes),
        "state_before": dict(before.content),
        "phase": "acting",
        "consumed_us": now,
        "beat_us": now,
    }
    connection.execute(_BEGIN, row)


def _finish(
    connection: Connection, tenant: str, grant_id: str, status: ProposalStatus, receipt: Mapping[str, JsonValue]
) -> bool:
    now = now_us()
    written = {"phase": "done", "outcome": status.value, "receipt": receipt, "ended_us": now, "beat_us": now}
    finished: int = connection.execute(_FINISH, {"of_tenant": tenant, "of_grant": grant_id, **written}).rowcount
    return finished == 1


def _amend(
    connection: Connection, tenant: str, grant_id: str, status: ProposalStatus, receipt: Mapping[str, JsonValue]
) -> None:
    """Put another outcome in the place of one that has turned out wrong; the ledger keeps both."""
    connection.execute(
        update(execution)
        .where(execution.c.tenant == tenant, execution.c.grant_id == grant_id)
        .values(outcome=status.value, receipt=receipt)
    )


def _ordered(connection: Connection, order: ExecuteActionInput) -> tuple[StoredProposal, Any]:
    """The proposal; and its grant's envelope with the execution that has used it up, None where none has.

    SQLAlchemy's rows are untyped; the column types of the schema hold.
    """
    tenant, proposal_id = order.ref.tenant, order.ref.proposal_id
    asked = {"of_tenant": tenant, "of_id": proposal_id, "of_grant": order.grant_id}
    row = connection.execute(_ORDERED, asked).one_or_none()
    stored = proposal_from(row, tenant, proposal_id)
    if row is None or row.envelope is None:
        raise NotFoundError(f"proposal {proposal_id!r} has no grant {order.grant_id!r} in this tenant")
    return stored, row


def _lease_end(store: Store, stored: StoredProposal) -> int | None:
    with store.read() as connection:
        ends_us: int | None = connection.execute(
            select(lease.c.ends_us).where(lease.c.tenant == stored.tenant, lease.c.proposal_id == stored.id)
        ).scalar_one_or_none()
    return ends_us
