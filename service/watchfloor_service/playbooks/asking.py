"""What a caller wants of playbooks: start one, stop it, take it back, answer a task. Who asks is the caller, always."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, ConflictError, Problem, RefusedError
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.budget import Charge
from watchfloor_guardrails.decision import Principal, PrincipalKind
from watchfloor_guardrails.endorsement import named_by
from watchfloor_guardrails.proposal import Proposer
from watchfloor_playbooks.binding import precondition_problem
from watchfloor_playbooks.extension import INCIDENT
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.signature import digest_of
from watchfloor_service.access.caller import Caller
from watchfloor_workflows.authority.budgets import charge
from watchfloor_workflows.playbooks.filling import fill
from watchfloor_workflows.playbooks.records import entry_of_run, read_run, request_stop
from watchfloor_workflows.playbooks.starting import Shelved, begin_picked, loaded, proposer_of, start_run
from watchfloor_workflows.playbooks.undoing import start_undoing

RUNS_PER_HOUR: Final = 60
"""Of one principal: each puts questions before people."""
_HOUR_S: Final = 3_600


def proposer_for(playbook: Playbook, caller: Principal) -> Proposer:
    """Who proposes what the playbook wants where this caller starts it; the caller is who asked for it."""
    kind = PrincipalKind.AGENT if caller.kind is PrincipalKind.AGENT else PrincipalKind.SERVICE
    return proposer_of(playbook, kind, caller.name)


def values_for(
    connection: Connection,
    caller: Principal,
    tenant: str,
    incident_id: str,
    playbook: Playbook,
    said: Mapping[str, str],
) -> dict[str, Held]:
    """What a run begins with: what the caller said, and for the rest what the incident says where it names one thing.

    What a person typed counts as theirs; what a program names could have come from an attacker. Raises
    `ConfigurationError` where the playbook cannot begin so, and the incident names several things to choose from.
    """
    given = {name: Held.of(named_by(value, caller)) for name, value in said.items()}
    filling = fill(connection, tenant, incident_id, playbook)
    values = {**filling.values, **given}
    declared = playbook.head.playbook_variables
    is_short = any(
        one.external and one.value is None and name not in values and name != INCIDENT for name, one in declared.items()
    )
    problems = [
        Problem(f"the incident names several for {name}; give one: {', '.join(map(quote_untrusted, some))}")
        for name, some in filling.choices.items()
        if name not in given
    ]
    if problems and (is_short or precondition_problem(playbook, values) is not None):
        raise ConfigurationError(problems)
    return values


def left_empty(
    connection: Connection, tenant: str, incident_id: str, playbook: Playbook, said: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Variables that a run begins without because the incident names several things for them, with these."""
    choices = fill(connection, tenant, incident_id, playbook).choices
    return {name: some for name, some in choices.items() if name not in said}


def start(
    connection: Connection, caller: Caller, incident_id: str, shelved: Shelved, said: Mapping[str, str], reason: str
) -> str:
    """A run as the caller wants it; returns its id. The caller approves nothing of what it proposes.

    Raises `RefusedError` where the caller has started too many in the last hour, and what `values_for` and `start_run`
    raise.
    """
    by = Principal(caller.principal, caller.kind)
    given = values_for(connection, by, caller.tenant, incident_id, shelved.playbook, said)
    run_id, told = start_run(
        connection,
        caller.tenant,
        incident_id,
        shelved,
        given=given,
        proposer=proposer_for(shelved.playbook, by),
        reason=reason,
    )
    _count(connection, caller, run_id)
    record_decisions(connection, caller.tenant, [told])
    return run_id


def start_picked(
    connection: Connection, caller: Caller, run_id: str, shelved: Shelved, said: Mapping[str, str]
) -> None:
    """Start what the response agent has picked; the caller approves nothing of what it proposes.

    ``shelved``: the playbook as it may be run now. Raises `NotFoundError`, `RefusedError` where that is another one
    than was picked, `ConflictError` where the run was started before, and what `start` raises.
    """
    run = read_run(connection, caller.tenant, run_id, lock=True)
    if digest_of(shelved.playbook.content) != run.digest:
        raise RefusedError("the playbook was changed since it was picked; start it as it is now by its id")
    by = Principal(caller.principal, caller.kind)
    given = {name: Held.of(named_by(value, by)) for name, value in said.items()}
    told = begin_picked(connection, run, given, proposer_for(loaded(run.content), by))
    _count(connection, caller, run_id)
    record_decisions(connection, caller.tenant, [told])


def _count(connection: Connection, caller: Caller, run_id: str) -> None:
    one = Charge("playbook_runs", caller.principal, 1, RUNS_PER_HOUR, _HOUR_S, f"started {run_id}")
    charge(connection, caller.tenant, [one], now_us())


def stop(connection: Connection, caller: Caller, run_id: str, reason: str) -> None:
    """End a run, or put one aside that is picked; what waits for people in it is waited for no more.

    Raises `NotFoundError`, and `ConflictError` where it has ended already.
    """
    run = read_run(connection, caller.tenant, run_id, lock=True)
    if run.status.is_over:
        raise ConflictError(f"run {run.id!r} has ended already: {run.status}")
    told = entry_of_run(run, {"stage": "stop", "principal": caller.principal, "reason": reason})
    record_decisions(connection, caller.tenant, [told])
    request_stop(connection, caller.tenant, run_id, f"{caller.principal}: {reason}")


def take_back(connection: Connection, caller: Caller, run_id: str, reason: str) -> str:
    """Undo what a run did, each undo through the gate; returns the id of the run that does it.

    Raises `NotFoundError`, and `ConflictError` where the run is still going on or takes another one back itself.
    """
    run = read_run(connection, caller.tenant, run_id, lock=True)
    # What an agent asks for is an agent's proposal, whoever asked for the run.
    kind = caller.kind if caller.kind is PrincipalKind.AGENT else run.proposer.kind
    proposer = Proposer(run.proposer.name, kind, caller.principal)
    return start_undoing(connection, run, proposer, reason)
