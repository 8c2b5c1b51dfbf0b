"""Playbooks that the response agent picks for a report: filled, with the reason kept, and waiting to be started.

At L3 and L4 of incident_response the best of them is started at once. Either way each of its effects is a proposal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, select

from watchfloor_agents.response.picking import pick
from watchfloor_core.canonical import JsonValue
from watchfloor_core.errors import ConfigurationError, RefusedError
from watchfloor_core.evidence import Evidence
from watchfloor_core.incident import AutonomyLevel, Function, IncidentStatus, Verdict
from watchfloor_core.ledger.record import Decision
from watchfloor_core.report import Report
from watchfloor_core.store.schema_playbook import playbook_run
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.matrix import Task
from watchfloor_playbooks.signature import digest_of
from watchfloor_workflows.authority.incident_view import facts_from
from watchfloor_workflows.playbooks.starting import Shelved, proposer_of, start_run
from watchfloor_workflows.policy import Policy
from watchfloor_workflows.standing import StoredIncident

MOST: Final = 3
"""So many are picked for one report: more is no pick."""


def pick_playbooks(
    connection: Connection,
    held: StoredIncident,
    policy: Policy,
    report: Report,
    evidence: Mapping[str, Evidence],
    shelf: Sequence[Shelved],
) -> list[Decision]:
    """Runs for a checked report on a locked incident; the caller records the decisions.

    Nothing is picked where an agent proposes nothing (below L2), and none a second time for the same incident.
    """
    is_open = held.status is IncidentStatus.ESCALATED and held.verdict is not Verdict.BENIGN_POSITIVE
    level = _level(held, policy)
    if not is_open or held.revision != report.revision or held.merged_into is not None or level < AutonomyLevel.L2:
        return []
    by_id = {one.playbook.id: one for one in shelf}
    known = _runs_before(connection, held)
    fitting = pick(report, evidence, [one.playbook for one in shelf], is_attack=_is_attack(held, report)).picked
    fresh = [one for one in fitting if digest_of(one.playbook.content) not in known][:MOST]
    decisions = []
    # The best last, so that it is the newest where runs are listed.
    for one in reversed(fresh):
        starts = one is fresh[0] and not known and level >= AutonomyLevel.L3
        others: dict[str, JsonValue] = {name: list(some) for name, some in one.others.items()}
        try:
            _, told = start_run(
                connection,
                held.tenant,
                held.id,
                by_id[one.playbook.id],
                given=one.values,
                proposer=proposer_of(one.playbook, PrincipalKind.AGENT, None),
                reason=one.reason,
                is_due=starts,
                more={"others": others, "revision": report.revision},
            )
        except (ConfigurationError, RefusedError):
            continue  # It fits, and may not be run now: what is wrong with it is told where playbooks are listed.
        decisions.append(told)
    return decisions


def _is_attack(held: StoredIncident, report: Report) -> bool:
    """As the report says; and where it cannot tell, as triage or a person does from the alerts."""
    if report.verdict is Verdict.UNDETERMINED:
        return held.verdict is Verdict.TRUE_POSITIVE
    return report.verdict is Verdict.TRUE_POSITIVE


def _level(held: StoredIncident, policy: Policy) -> AutonomyLevel:
    if policy.matrix is None:
        return AutonomyLevel.L0
    facts = facts_from(held, has_target=True)
    task = Task(Function.INCIDENT_RESPONSE, "", facts.alert_family, facts.asset_tier, held.tenant)
    return policy.matrix.row_for(task).level


def _runs_before(connection: Connection, held: StoredIncident) -> frozenset[str]:
    rows = connection.scalars(
        select(playbook_run.c.digest).where(playbook_run.c.tenant == held.tenant, playbook_run.c.incident_id == held.id)
    )
    return frozenset(rows)
