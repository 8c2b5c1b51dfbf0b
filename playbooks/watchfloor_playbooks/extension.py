"""What Watchfloor adds to CACAO: the command ``watchfloor-action``, and properties of playbooks and steps.

They stand where the standard has extensions (section 9), under one extension definition. Other tools may leave them
out: a step without them is the same step, less restricted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from watchfloor_core.alert import EntityKind, EntityRole
from watchfloor_core.incident import AutonomyLevel
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.yaml_source import Path
from watchfloor_playbooks.condition import ConditionError, comparisons_of
from watchfloor_playbooks.condition_parser import parse_condition
from watchfloor_playbooks.evaluation import check_types
from watchfloor_playbooks.findings import Findings
from watchfloor_playbooks.model import ActionStep, Step
from watchfloor_playbooks.objects import WatchfloorCommand
from watchfloor_playbooks.part import Variable
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.shape import Parts
from watchfloor_playbooks.vocabulary import REFERENCE

EXTENSION: Final = "extension-definition--d5916e0c-c702-4e9c-b837-c88b4a970529"
"""Under this id a playbook's ``playbook_extensions`` and a step's ``step_extensions`` have ours."""
INCIDENT: Final = "__incident_id__"
"""This variable is filled with the incident's id, where a playbook declares it."""

Level = Literal["L0", "L1", "L2", "L3", "L4"]
Attack = Annotated[str, Field(pattern=r"^T[0-9]{4}(\.[0-9]{3})?$")]
D3fend = Annotated[str, Field(pattern=r"^D3-[A-Z0-9]{1,8}$")]


class _Ours(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Binding(_Ours):
    """Which entity of an incident fills a variable."""

    entity: EntityKind
    role: EntityRole | None = None
    """None: in any role but that of the sensor."""


class PlaybookExtension(_Ours):
    """Of the whole playbook."""

    attack: tuple[Attack, ...] = ()
    """ATT&CK techniques that it answers; a technique stands for its sub-techniques."""
    d3fend: tuple[D3fend, ...] = ()
    """D3FEND techniques that it applies."""
    precondition: str | None = None
    """A condition that holds of its variables, or it does not begin."""
    bindings: Annotated[Mapping[str, Binding], Field(max_length=20)] = Field(default_factory=dict)
    """By variable."""
    max_level: Level | None = None
    """No step of it has more autonomy than this."""
    rollback_on_failure: bool = False
    """Where it fails, what it did is undone without being asked for; each undo still passes the gate."""


class StepExtension(_Ours):
    """Of one step."""

    phase: Literal["investigate", "contain", "eradicate", "recover", "communicate"] | None = None
    d3fend: tuple[D3fend, ...] = ()
    requires: str | None = None
    """Evidence: a condition that holds of the variables, or the step fails before it does anything."""
    max_level: Level | None = None


ExtensionT = TypeVar("ExtensionT", bound=_Ours)


def of_playbook(playbook: Playbook) -> PlaybookExtension:
    """Ours of a playbook that was loaded."""
    return _read(PlaybookExtension, playbook.head.playbook_extensions)


def of_step(step: Step) -> StepExtension:
    """Ours of a step of a playbook that was loaded."""
    return _read(StepExtension, step.step_extensions)


def level_cap(playbook: Playbook, step: Step) -> AutonomyLevel | None:
    """The lower of what playbook and step allow; None where neither says anything."""
    named = [one for one in (of_playbook(playbook).max_level, of_step(step).max_level) if one is not None]
    return min((AutonomyLevel[one] for one in named), default=None)


def check_extension(parts: Parts, findings: Findings) -> None:
    """Mistakes in what is ours go to ``findings``."""
    head = parts.head
    shared: Mapping[str, Variable] = head.playbook_variables if head else {}
    whole = _checked(PlaybookExtension, head.playbook_extensions if head else None, ("playbook_extensions",), findings)
    if whole is not None:
        place: Path = ("playbook_extensions", EXTENSION)
        _check_condition(whole.precondition, (*place, "precondition"), shared, findings)
        for name in whole.bindings:
            if name not in shared:
                findings.error((*place, "bindings", name), "no variable of the playbook has this name; declare it")
            elif shared[name].constant:
                findings.error((*place, "bindings", name), "the variable is constant, so it cannot be filled")
    for name, step in parts.steps.items():
        place = ("workflow", name, "step_extensions")
        own = _checked(StepExtension, step.step_extensions, place, findings)
        if own is not None:
            scope = {**shared, **step.step_variables}
            _check_condition(own.requires, (*place, EXTENSION, "requires"), scope, findings)
        if isinstance(step, ActionStep):
            for index, command in enumerate(parts.commands.get(name, ())):
                if isinstance(command, WatchfloorCommand):
                    for key, message in _faults(command):
                        findings.error(("workflow", name, "commands", index, key), message)


def _faults(command: WatchfloorCommand) -> Iterator[tuple[str, str]]:
    known = CATALOGUE.get(command.action_class)
    if known is None:
        names = ", ".join(CATALOGUE)
        yield "action_class", f"{quote_untrusted(command.action_class, 60)} is no action class; there are {names}"
    elif command.lease_s is not None and not known.is_containment:
        yield "lease_s", f"{known.name!r} holds nothing back, so it takes no time limit"
    elif command.lease_s is not None and known.max_lease_s is not None and command.lease_s > known.max_lease_s:
        yield "lease_s", f"at most {known.max_lease_s:,} seconds are allowed for {known.name!r}"
    if command.tool is not None and REFERENCE.search(command.tool):
        yield "tool", "a tool is named, and never taken from a variable"


def _check_condition(text: str | None, place: Path, scope: Mapping[str, Variable], findings: Findings) -> None:
    if text is None:
        return
    try:
        condition = parse_condition(text)
    except ConditionError as error:
        findings.error(place, f"the condition is not readable: {error}")
        return
    for comparison in comparisons_of(condition):
        variable = scope.get(comparison.variable)
        if variable is None:
            findings.error(place, f"{quote_untrusted(comparison.variable, 60)} is not declared as a variable here")
        elif (why := check_types(comparison, variable)) is not None:
            findings.error(place, f"{comparison.variable} is of type {quote_untrusted(variable.type, 40)}: {why}")


def _read(kind: type[ExtensionT], found: Mapping[str, dict[str, JsonValue]] | None) -> ExtensionT:
    return kind.model_validate((found or {}).get(EXTENSION, {}))


def _checked(
    kind: type[ExtensionT], found: Mapping[str, dict[str, JsonValue]] | None, place: Path, findings: Findings
) -> ExtensionT | None:
    try:
        return _read(kind, found)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            findings.error((*place, EXTENSION, *one["loc"]), one["msg"])
        return None
