"""Many approvals and executions at once, on both databases: none crosses, budgets are exact, nothing happens twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.workflows.attacks import furnish_inventory
from tests.workflows.plane import ANA, BEN, Plane, policy_at
from watchfloor_core.errors import UnavailableError
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.action import Target
from watchfloor_guardrails.approval import ApprovalOutcome
from watchfloor_guardrails.effect import TargetState
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_workflows.action_messages import ExecuteActionResult, IssueGrantResult
from watchfloor_workflows.authority.executing import Executor
from watchfloor_workflows.testing.tools import MemoryTool

MANY = 200
BUDGET = 120
THREADS = 8

ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


def at_once(work: Callable[[ItemT], ResultT], items: Sequence[ItemT], threads: int = THREADS) -> list[ResultT]:
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


def ip(number: int) -> str:
    return f"203.0.{number // 200}.{number % 200 + 1}"


def test_of_two_hundred_approvals_at_once_none_crosses_and_the_budget_is_exact(store: Store) -> None:
    plane = Plane(store, policy=policy_at(actions_per_hour=BUDGET, autonomous_actions_per_hour=0)).furnish()
    proposals = {plane.propose(ip(number)): ip(number) for number in range(MANY)}

    def decide(proposal_id: str) -> ExecuteActionResult | IssueGrantResult:
        person = ANA if int(proposal_id[-1], 16) % 2 else BEN
        assert plane.vote(person, proposal_id).outcome is ApprovalOutcome.APPROVED
        return plane.carry_out(proposal_id)

    results = dict(zip(proposals, at_once(decide, list(proposals)), strict=True))

    done = {one for one, result in results.items() if getattr(result, "status", None) is ProposalStatus.SUCCEEDED}
    assert len(done) == BUDGET
    assert all(
        "at most 120" in one.reason or "exhausted" in one.reason for key, one in results.items() if key not in done
    )
    assert len(plane.tool.effects) == BUDGET
    acted = {digest: target for _, target, digest in plane.tool.effects}
    assert acted == {plane.stored(one).digest: proposals[one] for one in done}
    rows = plane.executions()
    assert Counter(row["digest"] for row in rows) == Counter(acted.keys())
    assert {row["proposal_id"] for row in rows} == done
    assert all(row["outcome"] == "succeeded" for row in rows)


class MeetingTool(MemoryTool):
    """Whoever looks at a target before acting waits until the others look as well."""

    def wait_for(self, parties: int) -> None:
        self.meeting = threading.Barrier(parties, timeout=30)

    def read_state(self, target: Target) -> TargetState:
        state = super().read_state(target)
        meeting = getattr(self, "meeting", None)
        if meeting is not None:
            meeting.wait()
        return state


def test_of_two_executors_that_race_for_one_grant_exactly_one_acts(store: Store) -> None:
    tool = MeetingTool()
    plane = Plane(store, tool=tool).furnish()
    for number in range(10):
        tool.meeting = None  # type: ignore[assignment]  # nobody to wait for
        # Nothing but the use of the grant itself tells the two apart: this class leaves no lease.
        proposal_id = plane.propose(f"4711@{number}", action_class="stop process")
        for person in (ANA, BEN):
            plane.vote(person, proposal_id)
        grant_id = plane.grant(proposal_id).grant_id
        tool.wait_for(2)

        def race(executor: Executor, proposal_id: str = proposal_id, grant_id: str | None = grant_id) -> str:
            try:
                return plane.execute(proposal_id, grant_id, executor).status.value
            except UnavailableError:
                return "another is at it"

        ended = at_once(race, [plane.another_executor(name=name) for name in ("one", "two")], 2)

        assert sorted(ended) == ["another is at it", "succeeded"]
        assert len(tool.effects) == number + 1
    assert len(plane.executions()) == 10


def test_two_proposals_for_one_target_at_once_have_one_effect(store: Store) -> None:
    tool = MeetingTool()
    plane = Plane(store, tool=tool).furnish()
    held = [plane.propose("203.0.113.7") for _ in range(4)]
    for proposal_id in held:
        plane.vote(ANA, proposal_id)
    tool.wait_for(len(held))
    ended = at_once(plane.carry_out, held, len(held))

    assert len(tool.effects) == 1
    assert Counter(one.status.value for one in ended if isinstance(one, ExecuteActionResult)) == {
        "succeeded": 1,
        "refused": 3,
    }


def test_the_share_of_the_fleet_is_exact_however_many_contain_at_once(store: Store) -> None:
    tool = MeetingTool()
    plane = Plane(
        store, tool=tool, policy=policy_at(max_contained_share_ppm=1_000_000, max_contained_assets=3)
    ).furnish()
    furnish_inventory(plane, 10)
    held = [plane.propose(f"10.0.0.{number}") for number in range(8)]
    for proposal_id in held:
        plane.vote(ANA, proposal_id)
    tool.wait_for(len(held))
    at_once(plane.carry_out, held, len(held))

    assert len(tool.effects) == 3
