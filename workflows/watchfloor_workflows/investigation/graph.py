"""The graph of an investigation for LangGraph, whose nodes Temporal runs as activities.

Its state is a key and what the order depends on. The plug-in keeps a node's result under its arguments, so two passes
of one node must differ in their state: ``round`` does.
"""

from __future__ import annotations

import os
from concurrent.futures import Executor as Threads
from datetime import timedelta
from typing import Any, Final, Protocol, TypedDict

from langgraph.graph import END, START, StateGraph
from temporalio import activity
from temporalio.common import RetryPolicy
from temporalio.langgraph import LangGraphPlugin

from watchfloor_agents.investigation.view import Answer, Question
from watchfloor_workflows import wire
from watchfloor_workflows.action_activities import HEARTBEAT_S, in_thread
from watchfloor_workflows.investigation.records import InvestigationKey
from watchfloor_workflows.investigation.researching import Opinion, SecondOpinion, beating
from watchfloor_workflows.investigation.stages import Investigator, Progress, Stage

# LangGraph reports its runs to a service of its makers where these say so, perhaps for another program's sake. What is
# investigated is reported nowhere.
os.environ.update(
    {f"{maker}_{name}": "false" for maker in ("LANGSMITH", "LANGCHAIN") for name in ("TRACING", "TRACING_V2")}
)

ATTEMPTS: Final = 12
"""Of one stage; what was answered before stays, so each attempt has less to do."""


_BESIDE: Final = timedelta(minutes=5)
"""What concluding takes beside the second engine."""


class InvestigationState(TypedDict):
    tenant: str
    incident_id: str
    revision: int
    goes_on: bool
    waiting: int
    round: int


class Node(Protocol):
    """A node as LangGraph calls it; what it returns is taken over into the state."""

    __name__: str
    __qualname__: str

    async def __call__(self, state: InvestigationState) -> dict[str, Any]: ...


def investigation_plugin(
    investigator: Investigator, threads: Threads, second: SecondOpinion | None = None
) -> LangGraphPlugin:
    """For the worker: the graph, and its nodes as activities ``<graph>.<stage>``. Without a second engine
    the rules' word is all."""
    return LangGraphPlugin(
        graphs={wire.INVESTIGATION_GRAPH: investigation_graph(investigator, threads, second)},
        default_activity_options={
            "start_to_close_timeout": timedelta(minutes=15),
            "heartbeat_timeout": timedelta(seconds=15),
            "retry_policy": RetryPolicy(
                initial_interval=timedelta(seconds=1),
                maximum_interval=timedelta(minutes=1),
                maximum_attempts=ATTEMPTS,
                non_retryable_error_types=wire.FINAL_FOR_ACTIONS,
            ),
        },
    )


def investigation_graph(
    investigator: Investigator, threads: Threads, second: SecondOpinion | None = None
) -> StateGraph[InvestigationState, None, InvestigationState, InvestigationState]:
    graph: StateGraph[InvestigationState, None, InvestigationState, InvestigationState] = StateGraph(InvestigationState)
    for stage in Stage:
        metadata: dict[str, Any] = {"execute_in": "activity"}
        node = _node(investigator, threads, stage)
        if stage is Stage.CONCLUDE and second is not None:
            node = _concluding(investigator, threads, second)
            metadata["start_to_close_timeout"] = timedelta(seconds=second.total_timeout_s) + _BESIDE
        graph.add_node(stage.value, node, metadata=metadata)
    graph.add_edge(START, Stage.SCOPE)
    graph.add_conditional_edges(Stage.SCOPE, _after_scope, [Stage.PLAN, END])
    graph.add_edge(Stage.PLAN, Stage.COLLECT)
    graph.add_edge(Stage.COLLECT, Stage.CORRELATE)
    graph.add_conditional_edges(Stage.CORRELATE, _after_correlate, [Stage.COLLECT, Stage.HYPOTHESISE])
    graph.add_edge(Stage.HYPOTHESISE, Stage.VERIFY)
    graph.add_edge(Stage.VERIFY, Stage.CONCLUDE)
    graph.add_edge(Stage.CONCLUDE, END)
    return graph


# Asynchronous, as a synchronous one would go to a thread, which a workflow's event loop has none of.
async def _after_scope(state: InvestigationState) -> str:
    return Stage.PLAN if state["goes_on"] else END


async def _after_correlate(state: InvestigationState) -> str:
    return Stage.COLLECT if state["waiting"] else Stage.HYPOTHESISE


def _node(investigator: Investigator, threads: Threads, stage: Stage) -> Node:
    async def node(state: InvestigationState) -> dict[str, Any]:
        key = InvestigationKey(state["tenant"], state["incident_id"], state["revision"])
        progress: Progress = await in_thread(threads, lambda: investigator.run(stage, key))
        return _state(progress)

    node.__name__ = node.__qualname__ = stage.value
    return node


def _concluding(investigator: Investigator, threads: Threads, second: SecondOpinion) -> Node:
    """The last stage with a second engine: the rules' report, its own where they leave the case open, both joined."""

    async def node(state: InvestigationState) -> dict[str, Any]:
        key = InvestigationKey(state["tenant"], state["incident_id"], state["revision"])
        draft = await in_thread(threads, lambda: investigator.draft(key, second.agent))
        opinion: Opinion | None = None
        if draft.is_open_to_second:
            allowance = await in_thread(threads, lambda: second.admit(key))
            if isinstance(allowance, str):
                opinion = Opinion(None, allowance, second.agent)
            else:

                async def put(question: Question) -> Answer:
                    return await in_thread(threads, lambda: investigator.put_and_answer(key, question, second.agent))

                work = second.ask(draft.view, draft.report, allowance, put)
                opinion = await beating(work, activity.heartbeat, HEARTBEAT_S)
                await in_thread(threads, lambda: second.settle(key, opinion))
        return _state(await in_thread(threads, lambda: investigator.keep(key, draft.report, opinion)))

    node.__name__ = node.__qualname__ = Stage.CONCLUDE.value
    return node


def _state(progress: Progress) -> dict[str, Any]:
    return {"goes_on": progress.goes_on, "waiting": progress.waiting, "round": progress.round}
