"""One turn of a run, in one transaction: what has ended goes in, what follows is written, and the state with it.

Whoever repeats a turn finds its work done: what was begun has a row, and what has ended is not fed in twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, assert_never

from sqlalchemy import Connection, func, insert, select

from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, NotFoundError, RefusedError
from watchfloor_core.ledger.record import Decision, record_decisions
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema_authority import execution
from watchfloor_core.store.schema_playbook import playbook_step, playbook_work
from watchfloor_core.telemetry.content import AttributeValue
from watchfloor_core.telemetry.names import SpanAttribute
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.draft import ActionDraft
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.extension import of_playbook
from watchfloor_playbooks.model import ActionStep, PlaybookActionStep
from watchfloor_playbooks.running.machine import Machine
from watchfloor_playbooks.running.state import new_state, state_from_json, state_to_json
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import (
    ActionWork,
    Begin,
    Drop,
    ManualWork,
    PlaybookWork,
    RunStatus,
    StepEnded,
    Turn,
    WorkEnded,
)
from watchfloor_workflows.authority.drafting import prepare_action
from watchfloor_workflows.authority.incident_view import facts_of
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.authority.voting import void_unless_begun
from watchfloor_workflows.playbook_messages import RunRef, TurnResult
from watchfloor_workflows.playbooks.records import (
    StoredRun,
    StoredWork,
    entry_of_run,
    list_work,
    read_run,
    read_work,
    request_stop,
    told_as_of,
    wake,
    write_run,
    write_work,
)
from watchfloor_workflows.playbooks.starting import MAX_DEPTH, Inside, Shelf, loaded, proposer_of, start_run
from watchfloor_workflows.playbooks.undoing import start_undoing, turn_back

MOST_SLICES: Final = 8
"""Of the machine's, in one turn; what is left goes on with the next."""
MOST_BEGUN: Final = 200
"""Pieces of work after which a turn, which is one transaction, begins no further slice, and leaves to the next turn
that something could not be begun."""
_BIND: Final = {ManualWork: "manual", ActionWork: "action", PlaybookWork: "playbook"}


def take_turn(store: Store, shelf: Shelf, ref: RunRef, after: int) -> TurnResult:
    """Go on with a run as far as it goes now. ``after``: the number of the last work whose workflow was started.

    Raises `NotFoundError`.
    """
    with store.write() as connection:
        run = read_run(connection, ref.tenant, ref.run_id, lock=True)
        if run.status is not RunStatus.RUNNING:
            return _result(connection, run, after, is_ready=False)
        if run.undoes_run is not None:
            turn_back(connection, run)
            is_ready = False
        else:
            is_ready = _Turning(connection, run, shelf).go()
        return _result(connection, read_run(connection, ref.tenant, ref.run_id), after, is_ready=is_ready)


def _result(connection: Connection, run: StoredRun, after: int, *, is_ready: bool) -> TurnResult:
    begun = [one for one in list_work(connection, run.tenant, run.id, "open") if one.number > after]
    return TurnResult(
        status=run.status,
        is_ready=is_ready,
        wakes_us=run.wakes_us,
        proposals=tuple(one.proposal_id for one in begun if one.proposal_id is not None),
        runs=tuple(one.child_run for one in begun if one.child_run is not None),
        tasks=tuple(one.key for one in begun if one.kind == "manual"),
        last=max((one.number for one in begun), default=after),
    )


class _Turning:
    """A locked run in its transaction."""

    def __init__(self, connection: Connection, run: StoredRun, shelf: Shelf) -> None:
        self._connection = connection
        self._run = run
        self._shelf = shelf
        self._now = now_us()
        self._playbook = loaded(run.content)
        state = new_state(self._playbook, run.given) if run.state is None else state_from_json(run.state)
        self._machine = Machine(self._playbook, state)
        self._decisions: list[Decision] = []
        self._next = self._next_number()
        self._ended_rows: list[Mapping[str, Any]] = []
        self._begun = 0
        self._has_left_some = False

    def go(self) -> bool:
        """True where more is to be done at once."""
        machine, run = self._machine, self._run
        if run.state is None:
            self._carry_out(machine.start(self._now))
        for work in list_work(self._connection, run.tenant, run.id, "open", "answered"):
            # What another piece's end has dropped meanwhile is not waited for.
            ended = self._how_ended(work) if work.key in machine.waited_for else None
            if ended is not None:
                self._end_work(work.number, "ended", ended)
                self._carry_out(machine.ended(work.key, ended, self._now))
        if run.stop_reason is not None and not machine.state.status.is_over:
            self._carry_out(machine.stop(run.stop_reason, self._now))
        elif not machine.state.status.is_over:
            self._carry_out(machine.tick(self._now))
        for _ in range(MOST_SLICES):
            if not machine.is_ready or self._begun >= MOST_BEGUN:
                break
            self._carry_out(machine.go_on(self._now))
        self._save()
        return (machine.is_ready or self._has_left_some) and not machine.state.status.is_over

    # --- What has ended ----------------------------------------------------------------------------------------------

    def _how_ended(self, work: StoredWork) -> WorkEnded | None:
        """None where it is still under way."""
        if work.status == "answered":
            return WorkEnded(bool(work.is_done), work.outcome, work.filled)
        if work.kind == "manual":
            return None
        if work.proposal_id is not None:
            return self._how_action_ended(work, work.proposal_id)
        inner = read_run(self._connection, self._run.tenant, str(work.child_run))
        if not inner.status.is_over:
            return None
        reached = {} if inner.state is None else state_from_json(inner.state).values
        given = {name: reached[name] for name in work.answers if name in reached}
        is_done = inner.status is RunStatus.SUCCEEDED
        return WorkEnded(is_done, "" if is_done else f"run {inner.id} {inner.status}: {inner.outcome}", given)

    def _how_action_ended(self, work: StoredWork, proposal_id: str) -> WorkEnded | None:
        stored = read_proposal(self._connection, self._run.tenant, proposal_id)
        if stored.status.is_open:
            return None
        if stored.status is not ProposalStatus.SUCCEEDED:
            told = f": {stored.reason}" if stored.reason else ""
            return WorkEnded(is_done=False, reason=f"{stored.draft.action_class} ({proposal_id}) {stored.status}{told}")
        return WorkEnded(is_done=True, output=self._output_of(proposal_id) if work.answers else None)

    def _output_of(self, proposal_id: str) -> Held | None:
        receipt = self._connection.execute(
            select(execution.c.receipt)
            .where(execution.c.tenant == self._run.tenant, execution.c.proposal_id == proposal_id)
            .order_by(execution.c.consumed_us.desc())
            .limit(1)
        ).scalar_one_or_none()
        told = ((receipt or {}).get("read_back") or {}).get("output")
        # Whatever it is that answered, an attacker may have had a hand in what it says.
        return Held(told, Integrity.EXTERNAL) if isinstance(told, str) and told else None

    # --- What follows ------------------------------------------------------------------------------------------------

    def _carry_out(self, first: Turn) -> None:
        """Write what a turn orders. What cannot even be begun has failed, and that is the next turn."""
        turns = deque([first])
        while turns:
            turn = turns.popleft()
            for step in turn.ended:
                self._note(step)
            for drop in turn.drops:
                self._drop(drop)
            for begin in turn.begins:
                self._begun += 1
                problem = self._begin(begin)
                if problem is not None and self._begun > MOST_BEGUN:
                    # What fails at once, again and again, must not hold the store for as long as a loop lasts.
                    self._keep(begin, {"status": "answered", "is_done": False, "outcome": problem, "answers": []})
                    self._has_left_some = True
                elif problem is not None:
                    turns.append(self._machine.ended(begin.key, WorkEnded(is_done=False, reason=problem), self._now))

    def _begin(self, begin: Begin) -> str | None:
        """Why it could not be begun, if so."""
        row: dict[str, object] = {"answers": list(self._wanted(begin.step)), "task": None}
        match begin.work:
            case ManualWork() as asked:
                row["task"] = {
                    "text": str(asked.text.value),
                    "integrity": asked.text.integrity.name.lower(),
                    "agent": asked.agent,
                    "name": self._playbook.steps[begin.step].name,
                }
                row["deadline_us"] = self._now + asked.within_ms * 1_000
            case ActionWork() as action:
                drafted = self._draft(action)
                if isinstance(drafted, str):
                    return drafted
                row["proposal_id"], decision = drafted
                self._decisions.append(told_as_of(decision, self._run, begin.step))
            case PlaybookWork() as inner:
                begun = self._begin_inside(begin.key, inner)
                if isinstance(begun, str):
                    return begun
                row["child_run"], decision = begun
                self._decisions.append(decision)
            case _:
                assert_never(begin.work)
        self._keep(begin, row)
        return None

    def _keep(self, begin: Begin, row: Mapping[str, object]) -> None:
        self._connection.execute(
            insert(playbook_work).values(
                tenant=self._run.tenant,
                run_id=self._run.id,
                number=self._next,
                key=begin.key,
                kind=_BIND[type(begin.work)],
                step=begin.step,
                created_us=self._now,
                **{"status": "open", "outcome": "", **row},
            )
        )
        self._next += 1

    def _draft(self, action: ActionWork) -> tuple[str, Decision] | str:
        run, known = self._run, CATALOGUE.get(action.action_class)
        if known is None:
            return f"{action.action_class!r} is no action class"
        value = str(action.target.value)
        facts = facts_of(self._connection, run.tenant, run.incident_id, known.target.value, value)
        if facts is None:
            return "the incident is gone"
        draft = ActionDraft(
            incident_id=run.incident_id,
            action_class=action.action_class,
            target_kind=known.target.value,
            target=action.target,
            arguments=action.arguments,
            tool=action.tool,
            lease_s=action.lease_s,
            proposer=run.proposer,
            facts=facts,
            purpose=action.purpose,
            run_id=run.id,
            max_level=action.max_level,
            named_by=action.named_by,
        )
        try:
            return prepare_action(self._connection, run.tenant, draft, starts_itself=False)
        except (ConfigurationError, NotFoundError) as error:
            return str(error)

    def _begin_inside(self, key: str, wanted: PlaybookWork) -> tuple[str, Decision] | str:
        run = self._run
        if run.depth + 1 >= MAX_DEPTH:
            return f"more than {MAX_DEPTH} playbooks stand inside one another"
        try:
            found = self._shelf.find(wanted.playbook_id, wanted.version)
            known = found.playbook.head.playbook_variables
            return start_run(
                self._connection,
                run.tenant,
                run.incident_id,
                found,
                given={name: held for name, held in wanted.inputs.items() if name in known},
                proposer=proposer_of(found.playbook, run.proposer.kind, run.proposer.requester),
                reason=f"playbook run {run.id} has come to it",
                inside=Inside(run.id, key, run.depth + 1),
            )
        except (ConfigurationError, NotFoundError, RefusedError) as error:
            return str(error)

    def _drop(self, drop: Drop) -> None:
        """What is under way is told; what cannot be stopped any more stays in the record of the run."""
        work = read_work(self._connection, self._run.tenant, self._run.id, drop.key)
        if work.proposal_id is not None:
            reason = f"its playbook: {drop.reason}"
            self._decisions += void_unless_begun(self._connection, self._run.tenant, work.proposal_id, reason)
        self._end_work(work.number, "dropped", WorkEnded(is_done=False, reason=drop.reason))
        if work.child_run is not None:
            request_stop(self._connection, self._run.tenant, work.child_run, drop.reason)

    def _end_work(self, number: int, status: str, ended: WorkEnded) -> None:
        values = {"status": status, "is_done": ended.is_done, "outcome": ended.reason, "ended_us": self._now}
        write_work(self._connection, self._run.tenant, self._run.id, number, values)

    def _note(self, ended: StepEnded) -> None:
        self._ended_rows.append(
            {
                "tenant": self._run.tenant,
                "run_id": self._run.id,
                "step": ended.step,
                "branch": ended.branch,
                "round": ended.round,
                "outcome": ended.outcome.value,
                "reason": ended.reason,
                "started_us": ended.started_us,
                "ended_us": ended.ended_us,
            }
        )
        # Steps that only lead on are in the run's record. What acts, asks or fails is a decision.
        step = self._playbook.steps[ended.step]
        if isinstance(step, (ActionStep, PlaybookActionStep)) or ended.reason:
            body: dict[str, JsonValue] = {
                "stage": "step",
                "step": ended.step,
                "name": (step.name or "")[:200],
                "outcome": ended.outcome.value,
                "reason": ended.reason,
                "round": ended.round,
            }
            attributes: dict[str, AttributeValue] = {
                SpanAttribute.PLAYBOOK_STEP_ID: ended.step,
                SpanAttribute.OUTCOME: ended.outcome.value,
            }
            told = entry_of_run(self._run, body, start_us=ended.started_us, attributes=attributes)
            self._decisions.append(told)

    def _wanted(self, step_id: str) -> tuple[str, ...]:
        step = self._playbook.steps[step_id]
        return (step.out_args or ()) if isinstance(step, (ActionStep, PlaybookActionStep)) else ()

    def _next_number(self) -> int:
        last: int | None = self._connection.execute(
            select(func.max(playbook_work.c.number)).where(
                playbook_work.c.tenant == self._run.tenant, playbook_work.c.run_id == self._run.id
            )
        ).scalar_one()
        return 0 if last is None else last + 1

    # --- The end of the turn -----------------------------------------------------------------------------------------

    def _save(self) -> None:
        run, state = self._run, self._machine.state
        values: dict[str, object] = {
            "state": state_to_json(state),
            "status": state.status.value,
            "outcome": state.reason,
            "wakes_us": self._machine.wakes_us,
        }
        if state.status.is_over:
            body: dict[str, JsonValue] = {"stage": "ended", "outcome": state.status.value, "reason": state.reason}
            attributes: dict[str, AttributeValue] = {SpanAttribute.OUTCOME: state.status.value}
            self._decisions.append(entry_of_run(run, body, start_us=run.created_us, attributes=attributes))
            values |= {"ended_us": self._now, "wakes_us": None}
            if run.parent_run is not None:
                wake(self._connection, run.tenant, run.parent_run)
        if self._ended_rows:
            self._connection.execute(insert(playbook_step), self._ended_rows)
        record_decisions(self._connection, run.tenant, self._decisions)
        write_run(self._connection, run, values)
        if state.status is RunStatus.FAILED and of_playbook(self._playbook).rollback_on_failure:
            start_undoing(self._connection, run, run.proposer, "it failed, and the playbook wants that taken back")
