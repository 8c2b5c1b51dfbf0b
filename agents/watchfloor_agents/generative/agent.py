"""The agent: a prompt, reading tools behind their guard, and the form of its answer. It has no model of its own."""

from __future__ import annotations

from typing import Final

from pydantic_ai import Agent

from watchfloor_agents.generative.desk import Desk
from watchfloor_agents.generative.guard import ReadOnlyGuard
from watchfloor_agents.generative.output import Proposal
from watchfloor_agents.generative.prompt import load_prompt
from watchfloor_agents.generative.tools import telemetry_tools

AGENT_NAME: Final = "watchfloor_investigation"
"""Wire format: spans and activities are named after it."""
PROMPT: Final = load_prompt("investigate")

investigator: Final = Agent[Desk, Proposal](
    name=AGENT_NAME,
    deps_type=Desk,
    output_type=Proposal,
    instructions=PROMPT.text,
    toolsets=[ReadOnlyGuard(telemetry_tools())],
    # What a model calls beside its final answer is not carried out.
    end_strategy="early",
)
