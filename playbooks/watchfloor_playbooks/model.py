"""A CACAO v2.0 playbook, typed: its own properties (section 3) and its steps (section 4).

What holds between parts is the matter of `graph`, `references` and `variables`; formats are the matter of `formats`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, JsonValue

from watchfloor_playbooks.part import (
    MOST_ENTRIES,
    Entries,
    Milliseconds,
    Part,
    Percent,
    References,
    Text,
    Texts,
    Variables,
)

# --- Steps, section 4 ------------------------------------------------------------------------------------------------


class Step(Part):
    """Common to all steps."""

    type: Text
    name: Text | None = None
    description: Text | None = None
    external_references: References | None = None
    delay: Milliseconds | None = None
    timeout: Milliseconds | None = None
    step_variables: Variables = Field(default_factory=dict)
    owner: Text | None = None
    on_completion: Text | None = None
    on_success: Text | None = None
    on_failure: Text | None = None
    step_extensions: Entries | None = None


class StartStep(Step):
    pass


class EndStep(Step):
    pass


class ActionStep(Step):
    commands: Annotated[tuple[dict[str, JsonValue], ...], Field(strict=False, min_length=1, max_length=MOST_ENTRIES)]
    """Typed by `COMMANDS`, each by its own type: see `Playbook.commands`."""
    agent: Text
    targets: Texts | None = None
    in_args: Texts | None = None
    out_args: Texts | None = None


class PlaybookActionStep(Step):
    playbook_id: Text
    playbook_version: Text | None = None
    in_args: Texts | None = None
    out_args: Texts | None = None


class ParallelStep(Step):
    next_steps: Annotated[tuple[Text, ...], Field(strict=False, min_length=2, max_length=MOST_ENTRIES)]


class IfStep(Step):
    condition: Text
    on_true: Text
    on_false: Text | None = None


class WhileStep(Step):
    condition: Text
    on_true: Text


class SwitchStep(Step):
    switch: Text
    cases: Annotated[dict[str, Text], Field(min_length=1, max_length=MOST_ENTRIES)]


STEPS: Final[Mapping[str, type[Step]]] = {
    "start": StartStep,
    "end": EndStep,
    "action": ActionStep,
    "playbook-action": PlaybookActionStep,
    "parallel": ParallelStep,
    "if-condition": IfStep,
    "while-condition": WhileStep,
    "switch-condition": SwitchStep,
}

# --- The whole, section 3 --------------------------------------------------------------------------------------------


class ProcessingSummary(Part):
    manual_playbook: bool | None = None
    external_playbooks: bool | None = None
    parallel_processing: bool | None = None
    if_logic: bool | None = None
    while_logic: bool | None = None
    switch_logic: bool | None = None
    temporal_logic: bool | None = None
    data_markings: bool | None = None
    digital_signatures: bool | None = None
    countersigned_signatures: bool | None = None
    extensions: bool | None = None


class Head(Part):
    """The playbook's own properties; its dictionaries hold parts that are typed one by one."""

    type: Literal["playbook"]
    spec_version: Literal["cacao-2.0"]
    id: Text
    name: Text
    description: Text | None = None
    playbook_types: Annotated[tuple[Text, ...], Field(strict=False, max_length=MOST_ENTRIES)] | None = None
    playbook_activities: Texts | None = None
    playbook_processing_summary: ProcessingSummary | None = None
    created_by: Text
    created: Text
    modified: Text
    revoked: bool = False
    valid_from: Text | None = None
    valid_until: Text | None = None
    derived_from: Texts | None = None
    related_to: Texts | None = None
    priority: Percent | None = None
    severity: Percent | None = None
    impact: Percent | None = None
    industry_sectors: Texts | None = None
    labels: Texts | None = None
    external_references: References | None = None
    markings: Texts | None = None
    playbook_variables: Variables = Field(default_factory=dict)
    workflow_start: Text
    workflow_exception: Text | None = None
    workflow: Annotated[dict[str, Any], Field(max_length=MOST_ENTRIES)]  # Any: typed step by step
    playbook_extensions: Entries | None = None
    authentication_info_definitions: Entries | None = None
    agent_definitions: Entries | None = None
    target_definitions: Entries | None = None
    extension_definitions: Entries | None = None
    data_marking_definitions: Entries | None = None
    signatures: Annotated[tuple[dict[str, JsonValue], ...], Field(strict=False, max_length=50)] | None = None
