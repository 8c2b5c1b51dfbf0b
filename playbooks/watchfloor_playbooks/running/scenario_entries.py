"""The entries of a file of tests, each as YAML has it; `scenario_file` puts them together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from watchfloor_core.alert import EntityRole
from watchfloor_guardrails.matrix_entries import Entry
from watchfloor_playbooks.running.scenario import Outcome

_Label = Literal["policy", "human", "sensor", "derived", "external"]
_Seconds = Annotated[int, Field(ge=0, le=31_622_400)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class ValueEntry(Entry):
    value: JsonValue
    written_by: _Label | None = None
    endorsed_by: str | None = None


class EntityEntry(Entry):
    kind: str
    value: _Name
    role: str = EntityRole.RELATED.value
    written_by: _Label = "sensor"
    endorsed_by: str | None = None


class AnswerEntry(Entry):
    outcome: str = Outcome.SUCCEEDED.value
    reason: str = ""
    after: _Seconds = 0
    values: dict[str, JsonValue] | None = None
    output: JsonValue = None


class TestEntry(Entry):
    name: _Name
    incident: dict[str, JsonValue] | None = None
    given: dict[str, JsonValue] | None = None
    answers: dict[str, JsonValue] | None = None
    expect: dict[str, JsonValue]


class ExpectEntry(Entry):
    status: Literal["succeeded", "failed", "running"] | None = None
    reason: str | None = None
    proposals: list[JsonValue] | None = None
    tasks: list[JsonValue] | None = None
    calls: list[JsonValue] | None = None
