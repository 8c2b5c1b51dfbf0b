"""The sandbox stands around the workflow's definition, and around nothing else of ours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import RestrictedWorkflowAccessError, SandboxedWorkflowRunner

from watchfloor_core.keys.payload import PayloadKeyRing, format_ring, new_key
from watchfloor_core.keys.payload_in_use import PayloadKeys
from watchfloor_core.keys.sources import FixedSecret
from watchfloor_workflows import incident, plugin

SPOILT = """
from datetime import datetime
from temporalio import workflow

@workflow.defn
class Spoilt:
    started = datetime.now()

    @workflow.run
    async def run(self) -> None: ...
"""


def sandboxed_runner() -> SandboxedWorkflowRunner:
    keys = PayloadKeys(FixedSecret("of this test", format_ring(PayloadKeyRing(new_key()))))
    replayer = Replayer(workflows=[], plugins=[plugin.watchfloor_plugin(keys)])
    runner = replayer.config(active_config=True)["workflow_runner"]
    assert isinstance(runner, SandboxedWorkflowRunner)
    return runner


def test_the_definition_is_loaded_by_the_sandbox_and_all_else_is_passed_through() -> None:
    passed = plugin.passed_through()

    assert incident.__name__ not in passed
    assert "watchfloor_workflows" not in passed
    assert {"watchfloor_workflows.messages", "watchfloor_workflows.activities", "watchfloor_core"} <= passed


@pytest.mark.anyio
async def test_a_workflow_that_reads_the_wall_clock_is_refused_under_our_plugin(tmp_path: Path) -> None:
    path = tmp_path / "spoilt_workflow.py"
    path.write_text(SPOILT)
    spec = importlib.util.spec_from_file_location("spoilt_workflow", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["spoilt_workflow"] = module
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(RestrictedWorkflowAccessError, match=r"datetime\.datetime\.now"):
            sandboxed_runner().prepare_workflow(workflow._Definition.must_from_class(module.Spoilt))
    finally:
        sys.path.remove(str(tmp_path))
        del sys.modules["spoilt_workflow"]


@pytest.mark.anyio
async def test_our_own_workflow_is_accepted_by_the_sandbox() -> None:
    for definition in plugin.WORKFLOWS:
        sandboxed_runner().prepare_workflow(workflow._Definition.must_from_class(definition))
