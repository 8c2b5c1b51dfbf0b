"""An analyser to copy: a tool for remote control that nobody here has installed."""

from __future__ import annotations

from watchfloor_agents.investigation.analysers.indicator import Indicator, IndicatorAnalyser, equals, starts, types
from watchfloor_core.logs.event import EventType
from watchfloor_core.logs.fields import Field

REMOTE_TOOL = Indicator(
    code="remote_tool_started",
    title="A tool for remote control was started",
    techniques=("T1219",),
    types=types(EventType.PROCESS_START),
    where=equals(Field.PROCESS_NAME, "anydesk.exe", "rustdesk.exe"),
    cite=(Field.PROCESS_EXECUTABLE, Field.PROCESS_COMMAND_LINE),
    log_odds=1.5,
    benign=starts(Field.PROCESS_EXECUTABLE, "c:\\program files\\helpdesk\\"),
    benign_title="The helpdesk's own tool was started",
)


def remote_tools() -> IndicatorAnalyser:
    return IndicatorAnalyser("remote_tools", "1", (REMOTE_TOOL,))
