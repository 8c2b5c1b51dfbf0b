"""The outermost wrapper of the tools: what it does not let through does not happen, whatever the model was told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic_ai import RunContext, WrapperToolset
from pydantic_ai.toolsets import ToolsetTool
from pydantic_core import to_jsonable_python

from watchfloor_agents.generative.admission import OTHER, admitted
from watchfloor_agents.generative.desk import Desk, RefusedQuestionError, SourcesFailedError
from watchfloor_agents.generative.tools import READ_ONLY


@dataclass
class ReadOnlyGuard(WrapperToolset[Desk]):
    """Refuses any tool that is not on its list of reading ones, arguments over size, repeated calls, and calls beyond
    the run's number; records each call and traces it."""

    names: frozenset[str] = READ_ONLY

    async def get_tools(self, ctx: RunContext[Desk]) -> dict[str, ToolsetTool[Desk]]:
        return {name: tool for name, tool in (await super().get_tools(ctx)).items() if name in self.names}

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],  # the library's signature
        ctx: RunContext[Desk],
        tool: ToolsetTool[Desk],
    ) -> str:
        shown = name if name in self.names else OTHER
        arguments = json.dumps(to_jsonable_python(tool_args), sort_keys=True).encode()
        try:
            with admitted(ctx.deps, shown, arguments):
                return str(await super().call_tool(name, tool_args, ctx, tool))
        except RefusedQuestionError as error:
            return f"Refused: {error}."
        except SourcesFailedError:
            return "The sources could not be asked just now. That is no answer; go on without, or conclude."
