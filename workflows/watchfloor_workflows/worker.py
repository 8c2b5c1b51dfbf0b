"""The worker process: workflows and activities of incidents, the relay beside them, and housekeeping.

The composition root of this package: here, and nowhere else in it, settings become parts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from temporalio.client import Client
from temporalio.plugin import SimplePlugin
from temporalio.worker import Worker

from watchfloor_agents.generative.extra import load_research
from watchfloor_agents.generative.settings import load_model_settings
from watchfloor_agents.investigation.loop import InvestigationBudget
from watchfloor_agents.investigation.registry import load_analysers
from watchfloor_agents.investigation.specialist import SpecialistEngine
from watchfloor_agents.tooling.tool import ToolForm
from watchfloor_agents.triage.engine import TriageEngine
from watchfloor_agents.triage.specialist import SpecialistTriage
from watchfloor_connectors.attack import technique_name
from watchfloor_connectors.channels.built import build_channels
from watchfloor_connectors.channels.config import FILE as CHANNEL_FILE
from watchfloor_connectors.channels.config import load_channels
from watchfloor_connectors.logs.config import LogSettings
from watchfloor_connectors.secrets.resolve import secret_text
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.keys.signing import GRANT_KEY, signing_key
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store, open_store
from watchfloor_core.telemetry.setup import configure_telemetry
from watchfloor_workflows.action_activities import ControlActivities
from watchfloor_workflows.action_relay import ActionRelay
from watchfloor_workflows.activities import IncidentActivities
from watchfloor_workflows.authority.announcing import Notices
from watchfloor_workflows.authority.vouching import Vouchers
from watchfloor_workflows.checkpointing import checkpoints_kept
from watchfloor_workflows.housekeeping import keep_house
from watchfloor_workflows.investigation.consultant import Consultant
from watchfloor_workflows.investigation.graph import investigation_plugin
from watchfloor_workflows.investigation.own_context import own_context
from watchfloor_workflows.investigation.relay import InvestigationRelay
from watchfloor_workflows.investigation.researching import Researcher, SecondOpinion
from watchfloor_workflows.investigation.stages import Investigator
from watchfloor_workflows.investigation_activities import InvestigationActivities
from watchfloor_workflows.notifying import Notifier
from watchfloor_workflows.passkeys import relying_party
from watchfloor_workflows.playbook_activities import PlaybookActivities
from watchfloor_workflows.playbooks.relay import PlaybookRelay
from watchfloor_workflows.playbooks.shelf import FolderShelf
from watchfloor_workflows.plugged.loading import load_endorsers, load_engine, load_tools
from watchfloor_workflows.policy import PolicyFile
from watchfloor_workflows.relay import Relay
from watchfloor_workflows.running import (
    ACTIVITY_THREADS,
    activity_threads,
    connect_patiently,
    stopping_on_signals,
    wait,
)
from watchfloor_workflows.source_settings import context_settings, context_shelf, log_settings, log_shelf

logger = logging.getLogger(__name__)

MODEL_FILE: Final = "models.yaml"
CACHED_WORKFLOWS: Final = 400
"""Runs kept in memory; a queued incident that is put out costs one replay when its person comes."""
HOUSEKEEPING_S: Final = 3600.0
SHUTDOWN: Final = timedelta(seconds=10)
"""Activities under way may finish within this time after a stop."""


@dataclass(frozen=True, slots=True)
class Investigations:
    """What a worker needs to investigate: the graph with its nodes, and the activities beside them."""

    plugin: SimplePlugin
    activities: InvestigationActivities


def incident_worker(
    client: Client,
    settings: Settings,
    activities: IncidentActivities,
    control: ControlActivities | None = None,
    investigations: Investigations | None = None,
    playbooks: PlaybookActivities | None = None,
) -> Worker:
    """A Temporal worker for incidents, their actions and their investigations. Its workflows and sandbox come from the
    client's plugin."""
    return Worker(
        client,
        task_queue=settings.task_queue,
        activities=[
            *activities.all,
            *(control.all if control else ()),
            *(investigations.activities.all if investigations else ()),
            *(playbooks.all if playbooks else ()),
        ],
        plugins=[investigations.plugin] if investigations else [],
        # A workflow task holds its place while its local activities wait for theirs: with many more places for the one
        # than for the other, tasks would run into their time limit.
        max_concurrent_workflow_tasks=2 * ACTIVITY_THREADS,
        max_concurrent_activities=ACTIVITY_THREADS,
        max_concurrent_local_activities=ACTIVITY_THREADS,
        max_cached_workflows=CACHED_WORKFLOWS,
        graceful_shutdown_timeout=SHUTDOWN,
    )


async def run_worker(
    settings: Settings,
    *,
    engine: TriageEngine | None = None,
    on_ready: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Work until SIGTERM, SIGINT or ``stop``; what is under way is finished first.

    A Temporal server that is not up yet is waited for. The store's schema must be up to date. Raises
    `ConfigurationError` where a setting is wrong.
    """
    stop = stop or asyncio.Event()
    store = open_store(settings.store_url)
    try:
        with stopping_on_signals(stop), configure_telemetry(settings, store, "watchfloor-worker"):
            client = await connect_patiently(settings, stop)
            if client is not None:
                await _work(client, store, settings, engine or SpecialistTriage(), on_ready, stop)
    finally:
        store.close()


async def _work(
    client: Client,
    store: Store,
    settings: Settings,
    engine: TriageEngine,
    on_ready: Callable[[], None] | None,
    stop: asyncio.Event,
) -> None:
    policy = PolicyFile(settings, store)
    relay, action_relay = Relay(client, store, settings), ActionRelay(client, store, settings, policy)
    investigation_relay = InvestigationRelay(client, store, settings)
    with activity_threads() as threads:
        logs = log_settings(settings)
        vouchers = Vouchers(load_endorsers(settings))
        activities = IncidentActivities(
            store, engine, policy, threads, has_logs=lambda tenant: bool(logs.of(tenant)), vouchers=vouchers
        )
        channels = load_channels(settings.data_dir / CHANNEL_FILE, secret_text(settings))
        notifier = Notifier(build_channels(channels))
        control = make_control(settings, store, policy, threads, notifier)
        shelf = FolderShelf(settings, store)
        investigations = make_investigations(settings, store, policy, threads, logs, vouchers, shelf)
        playbooks = PlaybookActivities(store, shelf, threads, notifier)
        async with (
            # Around all that records decisions: its last checkpoint covers what they did while they stopped.
            checkpoints_kept(store, settings),
            incident_worker(client, settings, activities, control, investigations, playbooks),
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(relay.run(stop))
            tasks.create_task(action_relay.run(stop))
            tasks.create_task(investigation_relay.run(stop))
            tasks.create_task(PlaybookRelay(client, store, settings, notifier).run(stop))
            tasks.create_task(_keep_house(store, settings, stop))
            if on_ready is not None:
                on_ready()


def make_control(
    settings: Settings, store: Store, policy: PolicyFile, threads: Executor, notices: Notices
) -> ControlActivities:
    """What actions need of the worker. Makes the key that signs grants where there is none yet.

    Raises `ConfigurationError` where that key cannot be used.
    """
    return ControlActivities(
        store,
        policy,
        threads,
        signing_key(settings.data_dir / "keys", GRANT_KEY),
        notices,
        audience=settings.executor_queue,
        party=relying_party(settings),
    )


def make_investigations(
    settings: Settings,
    store: Store,
    policy: PolicyFile,
    threads: Executor,
    logs: LogSettings,
    vouchers: Vouchers,
    shelf: FolderShelf | None = None,
) -> Investigations:
    """What investigations need of the worker. The sources are opened when they are first asked."""
    context = context_shelf(settings, context_settings(settings))
    tools = load_tools(settings)
    investigator = Investigator(
        store=store,
        engine=SpecialistEngine(load_analysers(settings.analysers_allowed), technique_name),
        sources=log_shelf(settings, logs).of,
        policy=policy,
        budget=InvestigationBudget(),
        context=lambda tenant: (*own_context(store, tenant), *context.of(tenant)),
        tools=tools,
        vouchers=vouchers,
        shelf=shelf,
    )
    second = make_second_opinion(settings, store, [one.form for one in tools.values()])
    plugin = investigation_plugin(investigator, threads, second)
    return Investigations(plugin, InvestigationActivities(investigator, threads))


def make_second_opinion(settings: Settings, store: Store, tools: Sequence[ToolForm] = ()) -> SecondOpinion | None:
    """Whoever looks into what the rules leave open; None where nobody does.

    Raises `ConfigurationError` where the engine that the settings name cannot be used, and what `make_researcher` does.
    """
    engine = load_engine(settings)
    if engine is None:
        return make_researcher(settings, store, tools)
    return Consultant(store=store, engine=engine, tools=tools)


def make_researcher(settings: Settings, store: Store, tools: Sequence[ToolForm] = ()) -> Researcher | None:
    """The models of ``models.yaml``; None where there is no such file, and then none of their software is loaded.

    Raises `ConfigurationError` where the file is wrong, the extra is not installed or a key is not to be had.
    """
    file = settings.data_dir / MODEL_FILE
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read ({error}); make it a readable UTF-8 file") from error
    models = load_model_settings(text, str(file))
    research = load_research()
    from watchfloor_agents.generative.providers import ready_models

    return Researcher(
        store=store, settings=models, models=ready_models(models, secret_text(settings)), research=research, tools=tools
    )


async def _keep_house(store: Store, settings: Settings, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await asyncio.to_thread(keep_house, store, settings)
        except UnavailableError as error:
            logger.warning("housekeeping is put off for an hour: %s", error)
        await wait(stop, HOUSEKEEPING_S)
