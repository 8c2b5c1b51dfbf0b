"""Starting a run: everything that can be refused before its first step is refused here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

from sqlalchemy import Connection, insert

from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import JsonValue
from watchfloor_core.clock import now_us, to_iso
from watchfloor_core.errors import ConfigurationError, ConflictError, Problem, RefusedError
from watchfloor_core.ledger.record import Decision
from watchfloor_core.store.schema_playbook import playbook_run
from watchfloor_core.telemetry.names import SpanAttribute, SpanName
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.draft import MAX_PURPOSE
from watchfloor_guardrails.proposal import Proposer
from watchfloor_playbooks.binding import precondition_problem
from watchfloor_playbooks.extension import INCIDENT
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.lowering import unsupported
from watchfloor_playbooks.running.state import new_state
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import RunStatus
from watchfloor_playbooks.signature import digest_of
from watchfloor_playbooks.vocabulary import comparable_time
from watchfloor_workflows.playbooks.records import StoredRun, entry_of_run, values_to_json, wake, write_run
from watchfloor_workflows.standing import last_entry_id, read_incident

MAX_DEPTH: Final = 5
"""So many playbooks may stand inside one another."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """A playbook that may be run here."""

    playbook: Playbook
    signers: tuple[str, ...] = ()
    """Whose signatures on it hold, by keys that are trusted here."""


class Shelf(Protocol):
    """The playbooks that may be run."""

    def find(self, playbook_id: str, version: str | None = None) -> Shelved:
        """By its id, and its ``modified`` where that is named.

        Raises `NotFoundError` where there is none, and `RefusedError` where there is one that may not be run.
        """
        ...


@dataclass(frozen=True, slots=True)
class Inside:
    """Where a run stands in another one."""

    run_id: str
    key: str
    depth: int


def proposer_of(playbook: Playbook, kind: PrincipalKind, requester: str | None) -> Proposer:
    """Who proposes what a playbook wants: another version is another proposer, with nothing certified."""
    # 128 bits: of 64, whoever writes playbooks finds two that share them, and has the harmless one certified.
    return Proposer(f"playbook:{playbook.id.partition('--')[2]}@{digest_of(playbook.content)[:32]}", kind, requester)


def start_run(
    connection: Connection,
    tenant: str,
    incident_id: str,
    shelved: Shelved,
    *,
    given: Mapping[str, Held],
    proposer: Proposer,
    reason: str,
    inside: Inside | None = None,
    is_due: bool = True,
    more: Mapping[str, JsonValue] | None = None,
) -> tuple[str, Decision]:
    """A run that is due, and the entry that tells of it, which the caller records; returns the run's id.

    Without ``is_due`` it is only picked, and waits for somebody to start it. ``more`` goes into the entry.

    Raises `ConfigurationError` with all that is wrong with playbook and values, `RefusedError` where the playbook is
    not valid now, and `NotFoundError` where the incident is not of this tenant.
    """
    playbook = shelved.playbook
    held = read_incident(connection, tenant, incident_id)
    filled = with_incident(playbook, given, incident_id)
    _check(playbook, filled)
    run_id, now = f"pbr-{secrets.token_hex(8)}", now_us()
    digest = digest_of(playbook.content)
    decision = Decision(
        chain=held.id,
        kind="playbook",
        body={
            "run": run_id,
            "playbook": playbook.id,
            "digest": digest,
            "stage": "started" if is_due else "picked",
            "name": playbook.head.name[:200],
            "version": playbook.head.modified,
            "signers": list(shelved.signers),
            "proposer": proposer.name,
            "proposer_kind": proposer.kind.value,
            "requester": proposer.requester,
            "reason": reason[:MAX_PURPOSE],
            "given": values_to_json(filled),
            "inside": None if inside is None else inside.run_id,
            **(more or {}),
        },
        name=SpanName.PLAYBOOK,
        start_us=now,
        end_us=now,
        parent_id=last_entry_id(connection, tenant, held.id, "playbook", "investigation", "escalation", "verdict"),
        attributes={
            SpanAttribute.TENANT: tenant,
            SpanAttribute.PLAYBOOK_RUN_ID: run_id,
            SpanAttribute.PLAYBOOK_ID: playbook.id,
            SpanAttribute.PLAYBOOK_DIGEST: digest,
        },
    )
    connection.execute(
        insert(playbook_run).values(
            tenant=tenant,
            id=run_id,
            incident_id=held.id,
            playbook_id=playbook.id,
            name=playbook.head.name,
            digest=digest,
            content=playbook.canonical().decode(),
            signers=list(shelved.signers),
            proposer=proposer.name,
            proposer_kind=proposer.kind.value,
            requester=proposer.requester,
            reason=reason[:MAX_PURPOSE],
            given=values_to_json(filled),
            status=(RunStatus.RUNNING if is_due else RunStatus.PICKED).value,
            outcome="",
            parent_run=None if inside is None else inside.run_id,
            parent_work=None if inside is None else inside.key,
            depth=0 if inside is None else inside.depth,
            decision_id=decision.id,
            created_us=now,
            updated_us=now,
        )
    )
    if is_due:
        wake(connection, tenant, run_id)
    return run_id, decision


def begin_picked(connection: Connection, run: StoredRun, given: Mapping[str, Held], proposer: Proposer) -> Decision:
    """Start a locked run that was picked, with what is given beside or instead of what it was filled with.

    The caller records the entry. Raises `ConflictError` where it is no such run, and what `start_run` raises.
    """
    if run.status is not RunStatus.PICKED:
        raise ConflictError(f"run {run.id!r} is {run.status} already")
    playbook = loaded(run.content)
    filled = {**run.given, **given}
    _check(playbook, filled)
    body: dict[str, JsonValue] = {
        "stage": "started",
        "principal": proposer.requester,
        "given": values_to_json(filled),
    }
    told = entry_of_run(run, body)
    values = {
        "status": RunStatus.RUNNING.value,
        "given": values_to_json(filled),
        "proposer_kind": proposer.kind.value,
        "requester": proposer.requester,
        "decision_id": told.id,
    }
    write_run(connection, run, values)
    wake(connection, run.tenant, run.id)
    return told


@lru_cache(maxsize=64)
def loaded(content: str) -> Playbook:
    """A playbook as a run keeps it. Each turn needs it again, and reading one takes longer than a turn."""
    return load(content.encode(), "the run's playbook")


def not_valid_now(playbook: Playbook, at_us: int) -> Iterator[str]:
    """Why it may not be run at this moment, by what it says of itself."""
    head, moment = playbook.head, comparable_time(f"{to_iso(at_us)[:19]}Z") or ""
    if head.revoked:
        yield "the playbook is revoked"
    if head.valid_from and moment < (comparable_time(head.valid_from) or ""):
        yield f"the playbook is valid from {head.valid_from} on"
    if head.valid_until and moment >= (comparable_time(head.valid_until) or ""):
        yield f"the playbook was valid until {head.valid_until}"


def with_incident(playbook: Playbook, given: Mapping[str, Held], incident_id: str) -> dict[str, Held]:
    """The values with the incident's id, where the playbook asks for it."""
    own = {INCIDENT: Held(incident_id, Integrity.DERIVED)} if INCIDENT in playbook.head.playbook_variables else {}
    return {**given, **own}


def _check(playbook: Playbook, filled: Mapping[str, Held]) -> None:
    against = list(not_valid_now(playbook, now_us()))
    if against:
        raise RefusedError("; ".join(against))
    problems = [Problem(one) for one in unsupported(playbook)]
    problems += _problems_of(playbook, filled)
    if "\0" in playbook.head.name:
        problems.append(Problem("the playbook's name holds a NUL, which no database keeps; name it otherwise"))
    if problems:
        raise ConfigurationError(problems)


def why_not_now(playbook: Playbook, filled: Mapping[str, Held]) -> list[str]:
    """Every reason for which a run would not begin with these values now, its precondition among them."""
    found = [*unsupported(playbook), *not_valid_now(playbook, now_us())]
    wrong = [one.message for one in _problems_of(playbook, filled)]
    against = None if wrong else precondition_problem(playbook, filled)
    return [*found, *wrong, *([] if against is None else [against])]


def _problems_of(playbook: Playbook, filled: Mapping[str, Held]) -> Sequence[Problem]:
    try:
        new_state(playbook, filled)
    except ConfigurationError as error:
        return error.problems
    return ()
