"""What tests of investigations share: an attack in a log file, and a bench on the real server."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import select
from temporalio.client import Client, WorkflowHandle

from watchfloor_agents.investigation.engine import InvestigationEngine
from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.tooling.calling import PluggedTool
from watchfloor_connectors.logs.embedded import open_logs
from watchfloor_core.context import ContextSource
from watchfloor_core.incident import Function
from watchfloor_core.logs.query import Aggregate, Select, TimeRange
from watchfloor_core.logs.source import Coverage, Events, Groups, LogSource
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import ledger_entry
from watchfloor_core.store.schema_investigation import investigation_query
from watchfloor_workflows import wire
from watchfloor_workflows.activities import IncidentActivities
from watchfloor_workflows.authority.vouching import Vouchers
from watchfloor_workflows.investigation.graph import investigation_plugin
from watchfloor_workflows.investigation.records import (
    InvestigationKey,
    InvestigationStatus,
    StoredInvestigation,
    make_due,
    read_investigation,
)
from watchfloor_workflows.investigation.relay import InvestigationRelay
from watchfloor_workflows.investigation.researching import SecondOpinion
from watchfloor_workflows.investigation.stages import Investigator
from watchfloor_workflows.investigation_activities import InvestigationActivities
from watchfloor_workflows.investigation_messages import RunInvestigationResult
from watchfloor_workflows.investigation_workflow import InvestigationWorkflow
from watchfloor_workflows.policy import OPERATORS_FILE, PolicyFile
from watchfloor_workflows.running import activity_threads
from watchfloor_workflows.testing import FixedEngine
from watchfloor_workflows.testing.actions import make_attack
from watchfloor_workflows.worker import Investigations, incident_worker

START_US = 1_772_000_000_000_000
"""2026-02-25 06:13:20 UTC."""
OUTSIDE = "45.77.3.9"
DUMP = "C:\\Windows\\Temp\\lsass.dmp"


def sysmon(code: int, second: int, **data: str) -> dict[str, Any]:
    """An event as winlogbeat writes Sysmon's."""
    at = f"2026-02-25T06:{13 + (20 + second) // 60:02d}:{(20 + second) % 60:02d}.000Z"
    return {
        "@timestamp": at,
        "Hostname": "ws1.example.org",
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "SourceName": "Microsoft-Windows-Sysmon",
        "EventID": code,
        "UtcTime": at.replace("T", " ").removesuffix("Z"),
        **data,
    }


def write_attack(folder: Path) -> Path:
    """Memory of LSASS written to a file by a renamed tool, which then connects to an address outside."""
    tool = {"ProcessGuid": "{tool}", "ProcessId": "4242", "Image": "C:\\Users\\Public\\svch.exe", "User": "LAB\\eve"}
    start = {
        "CommandLine": "svch.exe -accepteula -ma lsass.exe C:\\Windows\\Temp\\lsass.dmp",
        "OriginalFileName": "procdump",
        "ParentImage": "C:\\Windows\\System32\\cmd.exe",
        "ParentCommandLine": "cmd.exe",
        "ParentProcessGuid": "{shell}",
        "ParentProcessId": "4000",
    }
    opened = {
        "SourceImage": tool["Image"],
        "SourceProcessGUID": "{tool}",
        "SourceProcessId": "4242",
        "TargetImage": "C:\\Windows\\System32\\lsass.exe",
        "TargetProcessGUID": "{lsass}",
        "TargetProcessId": "640",
        "GrantedAccess": "0x1fffff",
        "CallTrace": "C:\\Windows\\SYSTEM32\\ntdll.dll+9d234|C:\\Windows\\System32\\dbgcore.DLL+6ced",
    }
    out = {"DestinationIp": OUTSIDE, "DestinationPort": "443", "SourceIp": "10.0.0.5", "Protocol": "tcp"}
    events = [
        sysmon(1, 0, **tool, **start),
        sysmon(10, 2, **opened),
        sysmon(11, 3, **tool, TargetFilename=DUMP),
        sysmon(3, 5, **tool, **out, Initiated="true"),
    ]
    path = folder / "events.json"
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return path


def write_routine(folder: Path) -> Path:
    """A program that nobody knows, and nothing that speaks for or against it."""
    path = folder / "routine.json"
    start = {"ProcessGuid": "{a}", "ProcessId": "10", "Image": "C:\\Tools\\sync.exe", "CommandLine": "sync.exe --all"}
    path.write_text(json.dumps(sysmon(1, 0, **start, User="LAB\\ann")) + "\n")
    return path


@dataclass
class Watched:
    """A log source that counts how often it is asked what, and can stumble."""

    inner: LogSource
    name: str = "lab"
    asked: Counter[str] = field(default_factory=Counter)
    before: Callable[[int], None] = lambda _: None
    """Called with the number of the question, from 1."""

    def coverage(self, range_: TimeRange) -> Coverage:
        return self.inner.coverage(range_)

    def select(self, query: Select) -> Events:
        self._note(query)
        return self.inner.select(query)

    def aggregate(self, query: Aggregate) -> Groups:
        self._note(query)
        return self.inner.aggregate(query)

    def _note(self, query: Select | Aggregate) -> None:
        self.before(self.asked.total() + 1)
        self.asked[repr(query)] += 1


@dataclass
class InvestigationBench:
    """One tenant with a worker that investigates, on a shared server."""

    client: Client
    store: Store
    settings: Settings
    source: Watched
    engine: InvestigationEngine = field(default_factory=SpecialistEngine)
    budget: InvestigationBudget = field(default_factory=InvestigationBudget)
    researcher: SecondOpinion | None = None
    context: Sequence[ContextSource] = ()
    tools: Mapping[str, PluggedTool] = field(default_factory=dict)
    vouchers: Vouchers = field(default_factory=Vouchers)

    @classmethod
    def over(
        cls,
        client: Client,
        store: Store,
        settings: Settings,
        write: Callable[[Path], Path] = write_attack,
    ) -> InvestigationBench:
        return cls(client, store, settings, Watched(open_logs([write(settings.data_dir)], name="lab")))

    @property
    def key(self) -> InvestigationKey:
        return InvestigationKey(self.settings.tenant, "inc-1", 1)

    @property
    def investigator(self) -> Investigator:
        return Investigator(
            store=self.store,
            engine=self.engine,
            sources=lambda _: [self.source],
            policy=PolicyFile(self.settings, self.store),
            budget=self.budget,
            context=lambda _: self.context,
            tools=self.tools,
            vouchers=self.vouchers,
        )

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        with activity_threads() as threads:
            incidents = IncidentActivities(self.store, FixedEngine(), PolicyFile(self.settings, self.store), threads)
            investigator = self.investigator
            investigations = Investigations(
                investigation_plugin(investigator, threads, self.researcher),
                InvestigationActivities(investigator, threads),
            )
            async with incident_worker(self.client, self.settings, incidents, investigations=investigations):
                yield

    def set_level(self, level: str) -> None:
        rows = "".join(f"  - {{function: {each}, level: {level}}}\n" for each in Function)
        (self.settings.data_dir / OPERATORS_FILE).write_text(f"rows:\n{rows}")

    def make_due(self) -> None:
        """An escalated incident of the time of the attack, whose investigation waits."""
        make_attack(self.store, self.settings.tenant, first_us=START_US, last_us=START_US + 10_000_000)
        with self.store.write() as connection:
            make_due(connection, self.settings.tenant, "inc-1", 1)

    async def start(self) -> WorkflowHandle[InvestigationWorkflow, RunInvestigationResult]:
        await InvestigationRelay(self.client, self.store, self.settings).drain()
        return self.client.get_workflow_handle_for(
            InvestigationWorkflow.run, wire.investigation_workflow_id(self.settings.tenant, "inc-1", 1)
        )

    async def result(self) -> RunInvestigationResult:
        async with self.worker():
            return await asyncio.wait_for((await self.start()).result(), 60)

    def stored(self) -> StoredInvestigation:
        with self.store.read() as connection:
            return read_investigation(connection, self.key)

    def status(self) -> InvestigationStatus:
        return self.stored().status

    def questions(self) -> list[bool]:
        """Whether each question was answered, in their order."""
        table = investigation_query.c
        with self.store.read() as connection:
            rows = connection.execute(
                select(table.answered_us).where(table.tenant == self.settings.tenant).order_by(table.seq)
            )
            return [row.answered_us is not None for row in rows]

    def ledger(self) -> list[dict[str, Any]]:
        """Bodies of the incident's decisions about investigations."""
        table = ledger_entry.c
        with self.store.read() as connection:
            rows = connection.execute(
                select(table.body)
                .where(table.tenant == self.settings.tenant, table.kind == "investigation")
                .order_by(table.seq)
            )
            return [json.loads(row.body)["body"] for row in rows]
