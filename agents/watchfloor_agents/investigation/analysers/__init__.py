"""The specialist's knowledge: families of indicators, each of which names what an event would have to show."""

from __future__ import annotations

from typing import Final

from watchfloor_agents.investigation.analysers.alerts import AlertAnalyser
from watchfloor_agents.investigation.analysers.command_and_control import COMMAND_AND_CONTROL
from watchfloor_agents.investigation.analysers.context import ContextAnalyser
from watchfloor_agents.investigation.analysers.credential_access import DUMPED_CREDENTIALS
from watchfloor_agents.investigation.analysers.credential_stores import STORED_CREDENTIALS
from watchfloor_agents.investigation.analysers.defense_evasion import DEFENSE_EVASION
from watchfloor_agents.investigation.analysers.execution import EXECUTION
from watchfloor_agents.investigation.analysers.identity import IDENTITY
from watchfloor_agents.investigation.analysers.indicator import IndicatorAnalyser
from watchfloor_agents.investigation.analysers.lateral_movement import LATERAL_MOVEMENT
from watchfloor_agents.investigation.analysers.persistence import PERSISTENCE
from watchfloor_agents.investigation.analysers.volume import VolumeAnalyser
from watchfloor_agents.investigation.engine import Analyser

ANALYSERS: Final[tuple[Analyser, ...]] = (
    IndicatorAnalyser("credential_access", "1", (*DUMPED_CREDENTIALS, *STORED_CREDENTIALS)),
    IndicatorAnalyser("lateral_movement", "1", LATERAL_MOVEMENT),
    IndicatorAnalyser("persistence", "1", PERSISTENCE),
    IndicatorAnalyser("execution", "1", EXECUTION),
    IndicatorAnalyser("command_and_control", "1", COMMAND_AND_CONTROL),
    IndicatorAnalyser("defense_evasion", "1", DEFENSE_EVASION),
    IndicatorAnalyser("identity", "1", IDENTITY),
    VolumeAnalyser(),
    AlertAnalyser(),
    ContextAnalyser(),
)
"""In the order in which they ask."""
