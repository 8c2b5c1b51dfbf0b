"""The graph of an investigation for LangGraph, whose nodes Temporal runs as activities.

Its state is a key and what the order depends on. The plug-in keeps a node's result under its arguments, so two passes
of one node must differ in their state: ``round`` does.
"""

from __future__ import annotations

from concurrent.futures import Executor as Threads
from datetime import timedelta
from typing import Any, Final, Protocol, TypedDict

from langgraph.graph import END, START, StateGraph
from temporalio.common import RetryPolicy
from temporalio.langgraph import LangGraphPlugin

from watchfloor_workflows import wire
from watchfloor_workflows.action_activities import in_thread
from watchfloor_workflows.investigation.records import InvestigationKey
from watchfloor_workflows.investigation.stages import Investigator, Progress, Stage

ATTEMPTS: Final = 12
"""Of one stage; what was answered before stays, so each attempt has less to do."""


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


def investigation_plugin(investigator: Investigator, threads: Threads) -> LangGraphPlugin:
    """For the worker: the graph, and its nodes as activities ``<graph>.<stage>``."""
    return LangGraphPlugin(
        graphs={wire.INVESTIGATION_GRAPH: investigation_graph(investigator, threads)},
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
    investigator: Investigator, threads: Threads
) -> StateGraph[InvestigationState, None, InvestigationState, InvestigationState]:
    graph: StateGraph[InvestigationState, None, InvestigationState, InvestigationState] = StateGraph(InvestigationState)
    for stage in Stage:
        graph.add_node(stage.value, _node(investigator, threads, stage), metadata={"execute_in": "activity"})
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
        return {"goes_on": progress.goes_on, "waiting": progress.waiting, "round": progress.round}

    node.__name__ = node.__qualname__ = stage.value
    return node
