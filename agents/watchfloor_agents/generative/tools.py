"""The tools that a model has: all of them read, none of them writes, and each does nothing but put one question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import Field as Argument
from pydantic_ai import FunctionToolset, RunContext, Tool

from watchfloor_agents.generative import questions
from watchfloor_agents.generative.desk import Desk
from watchfloor_agents.generative.questions import Hours, Limit, Match, Text, Window
from watchfloor_agents.investigation.view import Question
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_core.alert import EntityKind
from watchfloor_core.canonical import JsonValue
from watchfloor_core.context import MAX_TERM, ContextKind, call_tool
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.follow import Relation
from watchfloor_core.logs.query import EntityRef

TOOLSET_ID: Final = "telemetry"
"""Wire format: activities of durable runs are named after it."""

PLUGGED_ID: Final = "plugged"
"""The same for tools of others."""

Types = Annotated[list[EventType], Argument(max_length=12)]
Matches = Annotated[list[Match], Argument(max_length=4)]
Term = Annotated[str, Argument(min_length=1, max_length=MAX_TERM)]
Terms = Annotated[list[Term], Argument(min_length=1, max_length=8)]
Context = Literal[ContextKind.INTELLIGENCE, ContextKind.INVENTORY, ContextKind.HISTORY, ContextKind.DIRECTORY]
Event = Annotated[str, Argument(min_length=2, max_length=64, description="Id of an event as shown, e.g. E7")]


async def search_events(
    ctx: RunContext[Desk],
    types: Types,
    matches: Matches,
    hours_before: Hours = 1,
    hours_after: Hours = 1,
    limit: Limit = 50,
) -> str:
    """Events of these types (any where empty) that hold all of these matches, the earliest first."""
    window = _window(ctx, hours_before, hours_after)
    return await _put(ctx, questions.search_events(frozenset(types), tuple(matches), window, limit))


async def process_tree(ctx: RunContext[Desk], event: Event, relation: Relation, limit: Limit = 50) -> str:
    """From one event to its relatives: its process's start, parent, children or activity, or its logon session."""
    return await _put(ctx, questions.process_tree(ctx.deps.named(event), relation, limit))


async def logon_sessions(
    ctx: RunContext[Desk],
    kind: EntityKind,
    value: Text,
    hours_before: Hours = 4,
    hours_after: Hours = 4,
    limit: Limit = 50,
) -> str:
    """Logons, failed logons, tickets and sign-ins that name a user, host or IP address."""
    window = _window(ctx, hours_before, hours_after)
    return await _put(ctx, questions.logon_sessions(EntityRef(kind, value), window, limit))


async def network_peers(
    ctx: RunContext[Desk], kind: EntityKind, value: Text, hours_before: Hours = 1, hours_after: Hours = 1
) -> str:
    """Whom a host, IP address or process spoke with, counted by address, port and name."""
    return await _put(ctx, questions.network_peers(EntityRef(kind, value), _window(ctx, hours_before, hours_after)))


async def file_history(
    ctx: RunContext[Desk], name: Text, hours_before: Hours = 24, hours_after: Hours = 24, limit: Limit = 50
) -> str:
    """What happened to a file: by its name, the end of its path, or its SHA-256."""
    return await _put(ctx, questions.file_history(name, _window(ctx, hours_before, hours_after), limit))


async def registry_history(
    ctx: RunContext[Desk], path: Text, hours_before: Hours = 24, hours_after: Hours = 24, limit: Limit = 50
) -> str:
    """Changes of registry keys and values whose path holds this text."""
    return await _put(ctx, questions.registry_history(path, _window(ctx, hours_before, hours_after), limit))


async def prevalence(ctx: RunContext[Desk], match: Match, hours_before: Hours = 720, hours_after: Hours = 1) -> str:
    """On how many hosts and by how many users something is seen: common things are seldom an attack."""
    return await _put(ctx, questions.prevalence(match, _window(ctx, hours_before, hours_after)))


async def first_seen(ctx: RunContext[Desk], match: Match, hours_before: Hours = 720, hours_after: Hours = 1) -> str:
    """The first event that holds this."""
    return await _put(ctx, questions.first_seen(match, _window(ctx, hours_before, hours_after)))


async def activity(
    ctx: RunContext[Desk], kind: EntityKind, value: Text, hours_before: Hours = 24, hours_after: Hours = 24
) -> str:
    """How many events of each kind name an entity."""
    return await _put(ctx, questions.activity(EntityRef(kind, value), _window(ctx, hours_before, hours_after)))


async def look_up(ctx: RunContext[Desk], context: Context, kind: EntityKind, value: Text) -> str:
    """What others have seen of an entity, what our inventory or, of a user, our directory says of it, or what people
    decided about it before."""
    return await _put(ctx, questions.look_up(ContextKind(context), EntityRef(kind, value)))


async def find_runbooks(ctx: RunContext[Desk], terms: Terms) -> str:
    """The organisation's runbooks about ATT&CK techniques, or with words."""
    return await _put(ctx, questions.find_runbooks(tuple(terms)))


_FUNCTIONS: Final = (
    search_events,
    process_tree,
    logon_sessions,
    network_peers,
    file_history,
    registry_history,
    prevalence,
    first_seen,
    activity,
    look_up,
    find_runbooks,
)
READ_ONLY: Final = frozenset(one.__name__ for one in _FUNCTIONS)
"""What the guard lets through; anything else is refused, wherever it comes from."""


def telemetry_tools() -> FunctionToolset[Desk]:
    """One after the other, so that evidence is named in one order however fast the sources are."""
    return FunctionToolset(list(_FUNCTIONS), id=TOOLSET_ID, sequential=True)


def plugged_tools(forms: Sequence[ToolForm]) -> FunctionToolset[Desk]:
    """Those of others. What they are called with is checked by their own form, where they run."""
    return FunctionToolset([_plugged(one) for one in forms], id=PLUGGED_ID, sequential=True)


def _plugged(form: ToolForm) -> Tool[Desk]:
    async def call(ctx: RunContext[Desk], /, **arguments: JsonValue) -> str:
        return await _put(ctx, Question(call_tool(form.name, arguments), form.name, f"what {form.name} says"))

    return Tool.from_schema(call, form.name, form.description, dict(form.schema), takes_ctx=True, sequential=True)


def tool_schemas() -> dict[str, JsonValue]:
    """What a model is told of each tool: a part of what its answers depend on."""
    tools = sorted(telemetry_tools().tools.items())
    return {name: [tool.description, tool.function_schema.json_schema] for name, tool in tools}


def _window(ctx: RunContext[Desk], hours_before: int, hours_after: int) -> Window:
    return Window(ctx.deps.view.case.range, hours_before, hours_after)


async def _put(ctx: RunContext[Desk], question: Question) -> str:
    _, text = await ctx.deps.put(question)
    return text
