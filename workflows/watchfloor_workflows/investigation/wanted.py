"""Whether an agent may investigate an incident at all."""

from __future__ import annotations

from sqlalchemy import Connection

from watchfloor_core.incident import AutonomyLevel, Function
from watchfloor_guardrails.matrix import INVESTIGATE_INCIDENT, Task
from watchfloor_guardrails.switches import covering_scopes
from watchfloor_workflows.authority.kill_switch import read_switches
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.proposal import case_of
from watchfloor_workflows.standing import StoredIncident


def is_investigated(held: StoredIncident, policy: Policy) -> bool:
    """At L0 people investigate, and no agent's answer is seen before theirs. An unreadable policy allows nothing."""
    if policy.matrix is None:
        return False
    return policy.matrix.row_for(investigation_task(held)).level >= AutonomyLevel.L1


def investigation_task(held: StoredIncident) -> Task:
    """As the matrix names it."""
    case = case_of(held)
    return Task(Function.INVESTIGATION, INVESTIGATE_INCIDENT, case.family, case.tier, held.tenant)


def stopped_by(connection: Connection, tenant: str, agent: str) -> tuple[str, ...]:
    """The kill switches that are thrown over an agent's investigations; none where it may go on."""
    scopes = covering_scopes(tenant, Function.INVESTIGATION, INVESTIGATE_INCIDENT, agent=agent)
    return read_switches(connection, scopes).engaged
