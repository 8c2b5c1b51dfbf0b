"""How fast incidents go through their workflow, as ratios of bare Temporal workflows on the same server and run.

Ours: the relay's signal-with-start, triage by the specialist, ruling, closure and their ledger entries in SQLite, until
the workflow is complete. The floors: a workflow started the same way that runs as many activities which do nothing,
once as activities of their own and once inside the workflow task, as ours do. Rounds alternate, so that all three meet
the same server, which keeps its state in a file as the embedded run's does.

Usage: ``python benchmarks/bench_workflows.py [--incidents 200] [--rounds 3]``
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from temporalio import activity, workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from watchfloor_agents.triage.engine import TriageCase
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_core.incident import Assessment, Verdict
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.store.migrate import migrate
from watchfloor_workflows.activities import IncidentActivities
from watchfloor_workflows.client import connect
from watchfloor_workflows.incident import IncidentWorkflow
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.relay import CONCURRENT_SIGNALS, Relay
from watchfloor_workflows.running import activity_threads
from watchfloor_workflows.testing import DevServer, plant_incident, write_policy
from watchfloor_workflows.wire import incident_workflow_id
from watchfloor_workflows.worker import incident_worker

TENANT = "bench"
BARE_QUEUE = "bare"
SERVER_OPTIONS = ("--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=1")
TARGET = 0.5
"""Incidents per second over bare workflows per second."""


@activity.defn
async def do_nothing(text: str) -> str:
    return text


@workflow.defn
class BareWorkflow:
    """As many activities as a pass over an incident has."""

    @workflow.run
    async def run(self, is_local: bool) -> None:
        for _ in range(2):
            if is_local:
                await workflow.execute_local_activity(do_nothing, "", start_to_close_timeout=timedelta(seconds=8))
            else:
                await workflow.execute_activity(do_nothing, "", start_to_close_timeout=timedelta(seconds=8))

    @workflow.signal
    def changed(self, revision: int) -> None:
        """Started with, as ours are."""


class BenignSpecialist(SpecialistTriage):
    """Does the specialist's work, and then finds everything benign, so that everything is closed."""

    def assess(self, case: TriageCase) -> Assessment:
        return replace(super().assess(case), verdict=Verdict.FALSE_POSITIVE, probability=0.01, certainty=0.9)


async def bare(client: Client, label: str, count: int, *, is_local: bool) -> float:
    """Bare workflows a second."""
    turn = asyncio.Semaphore(CONCURRENT_SIGNALS)

    async def start(number: int) -> WorkflowHandle[BareWorkflow, None]:
        async with turn:
            return await client.start_workflow(
                BareWorkflow.run,
                is_local,
                id=f"{label}-{number}",
                task_queue=BARE_QUEUE,
                start_signal="changed",
                start_signal_args=[1],
            )

    began = time.perf_counter()
    handles = await asyncio.gather(*(start(number) for number in range(count)))
    await asyncio.gather(*(handle.result() for handle in handles))
    return count / (time.perf_counter() - began)


async def incidents(client: Client, store: Store, relay: Relay, label: str, count: int) -> float:
    """Incidents a second, from the outbox to a completed workflow."""
    names = [f"inc-{label}-{number}" for number in range(count)]
    with store.write() as connection:
        for name in names:
            plant_incident(connection, TENANT, name)
    began = time.perf_counter()
    await relay.drain()
    handles = [
        client.get_workflow_handle_for(IncidentWorkflow.run, incident_workflow_id(TENANT, name)) for name in names
    ]
    results = await asyncio.gather(*(handle.result() for handle in handles))
    seconds = time.perf_counter() - began
    assert all(result.standing and result.standing.status == "closed" for result in results)
    return count / seconds


async def measure(folder: Path, count: int, rounds: int) -> None:
    write_policy(folder, "L4")
    with DevServer(folder / "temporal.db", SERVER_OPTIONS) as server:
        settings = Settings(data_dir=folder, tenant=TENANT, task_queue="incidents", temporal_address=server.address)
        migrate(settings.store_url)
        store = open_store(settings.store_url)
        client = await connect(settings)
        relay = Relay(client, store, settings)
        rates: dict[str, list[float]] = {"bare": [], "bare, local": [], "incidents": []}
        with activity_threads() as threads:
            activities = IncidentActivities(store, BenignSpecialist(), PolicyFile(settings, store), threads)
            async with (
                incident_worker(client, settings, activities),
                Worker(client, task_queue=BARE_QUEUE, workflows=[BareWorkflow], activities=[do_nothing]),
            ):
                await incidents(client, store, relay, "warm", 20)
                await bare(client, "warm", 20, is_local=False)
                for number in range(rounds):
                    rates["bare"].append(await bare(client, f"bare-{number}", count, is_local=False))
                    rates["incidents"].append(await incidents(client, store, relay, str(number), count))
                    rates["bare, local"].append(await bare(client, f"local-{number}", count, is_local=True))
                history = await client.get_workflow_handle(incident_workflow_id(TENANT, "inc-0-0")).fetch_history()
        store.close()
    report({name: statistics.median(measured) for name, measured in rates.items()}, len(history.events), count, rounds)


def report(rates: dict[str, float], events: int, count: int, rounds: int) -> None:
    ours = rates["incidents"]
    print(f"median of {rounds} rounds of {count}, one worker process, server with a database file\n")
    print(f"bare workflow, two empty activities       {rates['bare']:8.1f} a second")
    print(f"bare workflow, two empty local activities {rates['bare, local']:8.1f} a second")
    print(f"incident, from outbox to closed           {ours:8.1f} a second")
    print(f"history events per closed incident        {events:8d}")
    print(f"\nratio to bare workflows                   {ours / rates['bare']:8.2f}   (at least {TARGET})")
    print(f"ratio to bare workflows, local activities {ours / rates['bare, local']:8.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--incidents", type=int, default=200, help="per round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), arguments.incidents, arguments.rounds))


if __name__ == "__main__":
    main()
