"""The one Temporal plugin that client, worker, replayer and tests share, so that none of them differs in settings."""

from __future__ import annotations

import pkgutil
from typing import Final

from temporalio.plugin import SimplePlugin
from temporalio.worker import WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

import watchfloor_workflows
from watchfloor_core.errors import WatchfloorError
from watchfloor_core.keys.payload_in_use import PayloadKeys
from watchfloor_workflows.action_workflow import ActionWorkflow
from watchfloor_workflows.approval_workflow import ApprovalWorkflow
from watchfloor_workflows.codec import encrypting
from watchfloor_workflows.incident import IncidentWorkflow
from watchfloor_workflows.investigation_workflow import InvestigationWorkflow
from watchfloor_workflows.playbook_workflow import PlaybookWorkflow

WORKFLOWS: Final = (IncidentWorkflow, ActionWorkflow, ApprovalWorkflow, InvestigationWorkflow, PlaybookWorkflow)

_OTHER_PACKAGES: Final = (
    "watchfloor_core",
    "watchfloor_guardrails",
    "watchfloor_playbooks",
    "watchfloor_agents",
    "watchfloor_connectors",
)


def watchfloor_plugin(keys: PayloadKeys) -> SimplePlugin:
    """What every user of Temporal in Watchfloor is configured with. None goes without ``keys``: nothing is kept in
    the clear."""
    return SimplePlugin(
        "watchfloor",
        data_converter=encrypting(keys),
        workflows=WORKFLOWS,
        workflow_runner=_sandboxed,
        # Anything else that a workflow raises is a defect: it holds the workflow until the code is mended.
        workflow_failure_exception_types=[WatchfloorError],
    )


def passed_through() -> frozenset[str]:
    """Modules that the sandbox takes from outside: all of ours but those that define workflows.

    Passing the whole package through would pass the definitions too and so silence the sandbox for the very code it is
    there for; loading everything afresh for every run would cost tens of milliseconds each.
    """
    definitions = {workflow.__module__ for workflow in WORKFLOWS}
    package = watchfloor_workflows.__name__
    siblings = {f"{package}.{module.name}" for module in pkgutil.iter_modules(watchfloor_workflows.__path__)}
    return frozenset(siblings - definitions) | frozenset(_OTHER_PACKAGES)


def _sandboxed(_given: WorkflowRunner | None) -> WorkflowRunner:
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*passed_through()))
