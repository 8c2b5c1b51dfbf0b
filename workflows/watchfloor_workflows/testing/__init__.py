"""Real parts for tests and benchmarks of workflows: a Temporal server, planted incidents, a bench to put them on."""

from watchfloor_workflows.testing.incidents import FixedEngine, change_incident, plant_incident
from watchfloor_workflows.testing.server import DevServer
from watchfloor_workflows.testing.workbench import Workbench, write_policy

__all__ = ["DevServer", "FixedEngine", "Workbench", "change_incident", "plant_incident", "write_policy"]
