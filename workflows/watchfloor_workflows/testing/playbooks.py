"""Runs of playbooks on a real server, for one test, and playbooks to run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy import select
from temporalio.service import RPCError, RPCStatusCode

from watchfloor_core.errors import NotFoundError
from watchfloor_core.ledger.record import record_decisions
from watchfloor_core.store.schema_playbook import playbook_step
from watchfloor_guardrails.decision import PrincipalKind
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_playbooks.extension import EXTENSION
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held
from watchfloor_workflows import wire
from watchfloor_workflows.authority.records import StoredProposal
from watchfloor_workflows.playbooks.records import StoredRun, StoredWork, list_work, read_run
from watchfloor_workflows.playbooks.relay import PlaybookRelay
from watchfloor_workflows.playbooks.shelf import FolderShelf
from watchfloor_workflows.playbooks.starting import Shelf, Shelved, proposer_of, start_run
from watchfloor_workflows.testing.actions import ActionBench

_WRITTEN: Final = "2026-11-28T08:00:00.000Z"


def uuid_of(name: str) -> str:
    """A UUID of version 4's form that is the same for the same name."""
    return str(UUID(int=uuid5(NAMESPACE_URL, name).int, version=4))


def step_id(kind: str, name: str) -> str:
    return f"{kind}--{uuid_of(name)}"


@dataclass
class Sketch:
    """Builds a playbook step by step; names stand for the ids."""

    name: str

    def __post_init__(self) -> None:
        self.workflow: dict[str, Any] = {}
        self.variables: dict[str, Any] = {}
        self.more: dict[str, Any] = {}
        self.extension: dict[str, Any] = {}
        self.own: dict[str, dict[str, Any]] = {}

    def variable(self, name: str, kind: str = "string", value: str | None = None, **more: Any) -> Sketch:
        self.variables[name] = {"type": kind, "value": value, **more}
        return self

    def step(self, kind: str, name: str, *, own: Mapping[str, Any] | None = None, **properties: Any) -> str:
        """A step; returns its id. ``own`` are properties of our extension."""
        content: dict[str, Any] = {"type": kind, "name": name, **properties}
        if own is not None:
            content["step_extensions"] = {EXTENSION: dict(own)}
        self.workflow[step_id(kind, name)] = content
        return step_id(kind, name)

    def end(self, name: str) -> str:
        return self.step("end", name)

    def action(self, name: str, action_class: str, target: str, **properties: Any) -> str:
        """One action of ours."""
        command = {"type": "watchfloor-action", "action_class": action_class, "target": target}
        for key in ("tool", "lease_s", "arguments"):
            if key in properties:
                command[key] = properties.pop(key)
        return self.step("action", name, commands=[command], agent=step_id("individual", "agent"), **properties)

    def manual(self, name: str, text: str, **properties: Any) -> str:
        """One task for people."""
        commands = [{"type": "manual", "command": text}]
        return self.step("action", name, commands=commands, agent=step_id("individual", "agent"), **properties)

    def content(self, first: str) -> dict[str, Any]:
        start = self.step("start", "start", on_completion=first)
        made: dict[str, Any] = {
            "type": "playbook",
            "spec_version": "cacao-2.0",
            "id": f"playbook--{uuid_of(self.name)}",
            "name": self.name,
            "created_by": f"identity--{uuid_of('us')}",
            "created": _WRITTEN,
            "modified": _WRITTEN,
            "playbook_variables": {
                name: {key: value for key, value in one.items() if value is not None}
                for name, one in self.variables.items()
            },
            "workflow_start": start,
            "workflow": self.workflow,
            "agent_definitions": {step_id("individual", "agent"): {"type": "individual", "name": "The analyst"}},
            **self.more,
        }
        if self.extension:
            made["playbook_extensions"] = {EXTENSION: self.extension}
        if self.extension or any("step_extensions" in one for one in self.workflow.values()):
            made["extension_definitions"] = {
                EXTENSION: {
                    "type": "extension-definition",
                    "name": "Watchfloor",
                    "created_by": f"identity--{uuid_of('us')}",
                    "schema": "https://watchfloor.example/cacao-extension",
                    "version": "1",
                }
            }
        return made

    def playbook(self, first: str) -> Playbook:
        return load(json.dumps(self.content(first)).encode(), self.name)


class MemoryShelf(Shelf):
    """Playbooks in memory."""

    def __init__(self, *playbooks: Playbook) -> None:
        self._known = {one.id: one for one in playbooks}

    def find(self, playbook_id: str, version: str | None = None) -> Shelved:
        if playbook_id not in self._known:
            raise NotFoundError(f"no playbook {playbook_id!r} of {version}")
        return Shelved(self._known[playbook_id])


@dataclass
class PlaybookBench:
    """An `ActionBench` that runs playbooks."""

    actions: ActionBench

    def __post_init__(self) -> None:
        actions = self.actions
        self.relay = PlaybookRelay(actions.client, actions.store, actions.settings, actions.notices)
        self.folder = actions.settings.data_dir / "playbooks"
        self.shelf = FolderShelf(actions.settings, actions.store)

    def keep(self, playbook: Playbook) -> None:
        """Put it into the operator's folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{playbook.id}.json").write_bytes(playbook.canonical())

    def start(
        self,
        playbook: Playbook,
        *,
        given: Mapping[str, Held] | None = None,
        incident_id: str = "inc-1",
        requester: str | None = "rita",
        signers: Sequence[str] = (),
        is_due: bool = True,
    ) -> str:
        """A run that is due, or else only picked; returns its id."""
        with self.actions.store.write() as connection:
            run_id, told = start_run(
                connection,
                self.actions.tenant,
                incident_id,
                Shelved(playbook, tuple(signers)),
                given=given or {},
                proposer=proposer_of(playbook, PrincipalKind.SERVICE, requester),
                reason="a test wants it",
                is_due=is_due,
            )
            record_decisions(connection, self.actions.tenant, [told])
        return run_id

    def run(self, run_id: str) -> StoredRun:
        with self.actions.store.read() as connection:
            return read_run(connection, self.actions.tenant, run_id)

    def work(self, run_id: str) -> list[StoredWork]:
        with self.actions.store.read() as connection:
            return list_work(connection, self.actions.tenant, run_id)

    def steps(self, run_id: str) -> list[tuple[str, str, str]]:
        """Name, outcome and reason of each step that has ended, in order."""
        names = {key: str(one["name"]) for key, one in json.loads(self.run(run_id).content)["workflow"].items()}
        with self.actions.store.read() as connection:
            rows = connection.execute(
                select(playbook_step).where(playbook_step.c.run_id == run_id).order_by(playbook_step.c.id)
            ).all()
        return [(names[row.step], row.outcome, row.reason) for row in rows]

    def proposals(self, run_id: str) -> list[StoredProposal]:
        """What it has proposed, in order."""
        return [self.actions.stored(one.proposal_id) for one in self.work(run_id) if one.proposal_id is not None]

    async def until_over(self, run_id: str) -> StoredRun:
        """Deliver what waits, and look until the run is over. Raises `TimeoutError` after 60 seconds."""
        async with asyncio.timeout(60):
            while not (found := self.run(run_id)).status.is_over:
                await self._deliver()
        return found

    async def until_work(self, run_id: str, count: int, *statuses: ProposalStatus) -> list[StoredWork]:
        """Until so many pieces of work are there, and every proposal of them stands so, where statuses are given."""
        async with asyncio.timeout(60):
            while True:
                work = self.work(run_id)
                proposals = self.proposals(run_id)
                if len(work) >= count and all(not statuses or one.status in statuses for one in proposals):
                    return work
                await self._deliver()

    async def until_asked(self, proposal_id: str) -> None:
        """Until the workflow that waits for people runs: it starts a moment after the store says that it is due."""
        handle = self.actions.client.get_workflow_handle(wire.approval_workflow_id(self.actions.tenant, proposal_id))
        async with asyncio.timeout(60):
            while True:
                try:
                    await handle.describe()
                except RPCError as error:
                    if error.status is not RPCStatusCode.NOT_FOUND:
                        raise
                    await self._deliver()
                else:
                    return

    async def _deliver(self) -> None:
        await self.relay.drain()
        await self.actions.relay.drain()
        await asyncio.sleep(0.02)
