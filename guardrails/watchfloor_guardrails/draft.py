"""What somebody wants done, before the target has been looked at: the draft of a proposal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter, ValidationError

from watchfloor_core.errors import RecordError
from watchfloor_core.incident import AutonomyLevel
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.incident_facts import IncidentFacts
from watchfloor_guardrails.proposal import Proposer

MAX_PURPOSE = 1_000
"""Characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionDraft:
    """Asks for one action. What it says of its own effect counts for nothing: blast and undo are computed."""

    incident_id: str
    action_class: str
    target_kind: str
    target: Labelled
    arguments: Mapping[str, Labelled]
    tool: str | None
    """None takes the tenant's tool for the action class."""
    lease_s: int | None
    """How long a containment is wanted; None takes the policy's standard."""
    proposer: Proposer
    facts: IncidentFacts
    """The incident as the proposer saw it."""
    purpose: str
    """Why, in the proposer's words. Shown as theirs, outside of what is signed."""
    undo_of: str | None = None
    """Id of the proposal that this takes back."""
    run_id: str | None = None
    """The playbook's run that this is a part of, which is told how it ends."""
    max_level: AutonomyLevel | None = None
    """The most autonomy that the proposer wants it to have. It can lower the level in force, never raise it."""
    named_by: tuple[str, ...] = ()
    """People who named what it acts on or with, beside proposer and requester. They may not approve it either."""


_ADAPTER: TypeAdapter[ActionDraft] = TypeAdapter(ActionDraft)


def draft_to_json(draft: ActionDraft) -> dict[str, JsonValue]:
    content: dict[str, JsonValue] = _ADAPTER.dump_python(draft, mode="json")
    return content


def draft_from_json(content: Mapping[str, JsonValue]) -> ActionDraft:
    """Raises `RecordError`."""
    try:
        return _ADAPTER.validate_python(dict(content))
    except ValidationError as error:
        raise RecordError(
            f"not a stored draft: {error.errors(include_url=False, include_input=False)[0]['msg']}"
        ) from error
