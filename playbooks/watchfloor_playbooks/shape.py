"""The first layer: is every part what the standard's property tables say it is?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeVar

from pydantic import JsonValue, ValidationError
from pydantic_core import ErrorDetails

from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.yaml_source import Path
from watchfloor_playbooks.findings import Findings
from watchfloor_playbooks.model import STEPS, ActionStep, Head, Step
from watchfloor_playbooks.objects import (
    AGENT_TARGETS,
    AUTHENTICATIONS,
    COMMANDS,
    MARKINGS,
    AgentTarget,
    Authentication,
    Command,
    ExtensionDefinition,
    Marking,
    Signature,
)
from watchfloor_playbooks.part import Part
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.vocabulary import STEP_TYPES

_MAY_BE_NULL: Final = frozenset({"value", "end_date"})
_SAID: Final = {
    "missing": "is missing, and the standard requires it",
    "string_type": "is not a text",
    "int_type": "is not a whole number",
    "bool_type": "is neither true nor false",
    "dict_type": "is not a dictionary",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "model_type": "is not a dictionary",
    "model_attributes_type": "is not a dictionary",
}
_Part = TypeVar("_Part", bound=Part)


@dataclass(slots=True)
class Parts:
    """What could be typed; a part with a mistake is left out."""

    content: Mapping[str, JsonValue]
    head: Head | None = None
    steps: dict[str, Step] = field(default_factory=dict)
    commands: dict[str, list[Command | None]] = field(default_factory=dict)
    agents: dict[str, AgentTarget] = field(default_factory=dict)
    targets: dict[str, AgentTarget] = field(default_factory=dict)
    authentications: dict[str, Authentication] = field(default_factory=dict)
    markings: dict[str, Marking] = field(default_factory=dict)
    extensions: dict[str, ExtensionDefinition] = field(default_factory=dict)
    signatures: list[Signature | None] = field(default_factory=list)

    def names_in(self, dictionary: str) -> Collection[str]:
        """The keys that the file has there in its order, of whatever form their values are."""
        found = self.content.get(dictionary)
        return found.keys() if isinstance(found, dict) else ()

    def playbook(self) -> Playbook:
        """Only where no mistake was found, so that nothing was left out."""
        assert self.head is not None  # noqa: S101  # `Findings.has_errors` was asked before
        return Playbook(
            content=self.content,
            head=self.head,
            steps=self.steps,
            commands={name: tuple(one for one in some if one) for name, some in self.commands.items()},
            agents=self.agents,
            targets=self.targets,
            authentications=self.authentications,
            markings=self.markings,
            extensions=self.extensions,
            signatures=tuple(one for one in self.signatures if one),
        )


def read_parts(content: JsonValue, findings: Findings) -> Parts:
    """Type every part; mistakes go to ``findings``."""
    if not isinstance(content, dict):
        findings.error((), "the playbook is not a dictionary of properties")
        return Parts({})
    parts = Parts(content)
    if isinstance(content.get("workflow"), list):
        findings.error(
            ("workflow",), "'workflow' is a list, as in drafts of CACAO 1.0; v2.0 has a dictionary by step id"
        )
        content = {**content, "workflow": {}}
    parts.head = _typed(Head, content, (), findings)
    for name, raw in _entries(content, "workflow"):
        _read_step(parts, name, raw, findings)
    for dictionary, into in (("agent_definitions", parts.agents), ("target_definitions", parts.targets)):
        for name, raw in _entries(content, dictionary):
            _by_type(AGENT_TARGETS, AgentTarget, raw, (dictionary, name), into, findings)
    for name, raw in _entries(content, "authentication_info_definitions"):
        where: Path = ("authentication_info_definitions", name)
        _by_type(AUTHENTICATIONS, Authentication, raw, where, parts.authentications, findings)
    for name, raw in _entries(content, "data_marking_definitions"):
        kind = raw.get("type") if isinstance(raw, dict) else None
        if isinstance(kind, str) and kind not in MARKINGS:
            allowed = ", ".join(MARKINGS)
            message = f"{quote_untrusted(kind, 60)} is no type of data marking; there are {allowed}"
            findings.error(("data_marking_definitions", name, "type"), message)
        else:
            _by_type(MARKINGS, Marking, raw, ("data_marking_definitions", name), parts.markings, findings)
    for name, raw in _entries(content, "extension_definitions"):
        found = _typed(ExtensionDefinition, raw, ("extension_definitions", name), findings)
        if found is not None:
            parts.extensions[name] = found
    signatures = content.get("signatures")
    for index, raw in enumerate(signatures if isinstance(signatures, list) else ()):
        parts.signatures.append(_typed(Signature, raw, ("signatures", index), findings))
    return parts


def _entries(content: Mapping[str, JsonValue], dictionary: str) -> list[tuple[str, JsonValue]]:
    found = content.get(dictionary)
    return list(found.items()) if isinstance(found, dict) else []


def _read_step(parts: Parts, name: str, raw: JsonValue, findings: Findings) -> None:
    path: Path = ("workflow", name)
    kind = raw.get("type") if isinstance(raw, dict) else None
    if isinstance(kind, str) and kind not in STEPS:
        message = f"{quote_untrusted(kind, 60)} is no type of step; there are {', '.join(STEP_TYPES)}"
        findings.error((*path, "type"), message)
        return
    step = _typed(STEPS.get(kind, Step) if isinstance(kind, str) else Step, raw, path, findings)
    if step is None:
        return
    parts.steps[name] = step
    if isinstance(step, ActionStep):
        commands: dict[int, Command] = {}
        for index, command in enumerate(step.commands):
            _by_type(COMMANDS, Command, command, (*path, "commands", index), commands, findings)
        parts.commands[name] = [commands.get(index) for index in range(len(step.commands))]


def _by_type(
    kinds: Mapping[str, type[_Part]],
    fallback: type[_Part],
    raw: JsonValue,
    path: Path,
    into: dict[Any, _Part],  # Any: names of parts, or their places in a list
    findings: Findings,
) -> None:
    """Type it by its own ``type``; one beyond the vocabulary has the common properties and whatever it likes."""
    kind = raw.get("type") if isinstance(raw, dict) else None
    model = kinds.get(kind, fallback) if isinstance(kind, str) else fallback
    found = _typed(model, raw, path, findings, is_open=isinstance(kind, str) and kind not in kinds)
    if found is not None:
        into[path[-1]] = found


def _typed(
    model: type[_Part], raw: JsonValue, path: Path, findings: Findings, *, is_open: bool = False
) -> _Part | None:
    try:
        part = model.model_validate(raw)
    except ValidationError as error:
        found = error.errors(include_url=False)
        for one in found:
            loc = one["loc"]
            # A list whose entries are wrong counts as too short beside that.
            if one["type"] != "too_short" or not any(
                other["loc"][: len(loc)] == loc != other["loc"] for other in found
            ):
                findings.error((*path, *loc), _said(one))
        if isinstance(raw, dict) and not is_open:
            _check_names(model, [name for name in raw if name not in model.names()], path, findings)
        return None
    _check_part(part, raw, path, findings, is_open=is_open)
    return part


def _said(error: ErrorDetails) -> str:
    """The library's message in the words of this program; the place is named beside it."""
    name = quote_untrusted(str(error["loc"][-1]), 60) if error["loc"] else "this"
    limits = error.get("ctx", {})
    match error["type"]:
        case kind if kind in _SAID:
            return f"{name} {_SAID[kind]}"
        case "literal_error":
            return f"{name} is not {limits['expected']}"
        case "greater_than_equal":
            return f"{name} is less than {limits['ge']}"
        case "less_than_equal":
            return f"{name} is more than {limits['le']}"
        case "too_short":
            return f"{name} has fewer entries than {limits['min_length']}"
        case "too_long":
            return f"{name} has more entries than {limits['max_length']:,}"
        case "string_too_long":
            return f"{name} has more characters than {limits['max_length']:,}"
        case _:
            return f"{name}: {error['msg']}"


def _check_part(part: Part, raw: JsonValue, path: Path, findings: Findings, *, is_open: bool = False) -> None:
    """Names beyond the standard, and nulls, here and in the parts inside."""
    if not isinstance(raw, dict):
        return
    if not is_open:
        _check_names(type(part), list(part.others), path, findings)
    for name, value in raw.items():
        if value is None and name in type(part).names() - _MAY_BE_NULL:
            findings.error((*path, name), f"{name!r} is null; give a value, or leave it out")
    for name in type(part).model_fields:
        inner, inside = getattr(part, name), raw.get(name)
        if isinstance(inner, Part):
            _check_part(inner, inside, (*path, name), findings)
        elif isinstance(inner, tuple) and isinstance(inside, list):
            for index, one in enumerate(inner):
                if isinstance(one, Part):
                    _check_part(one, inside[index], (*path, name, index), findings)
        elif isinstance(inner, dict) and isinstance(inside, dict):
            for key, one in inner.items():
                if isinstance(one, Part):
                    _check_part(one, inside[key], (*path, name, key), findings)


def _check_names(model: type[Part], others: list[str], path: Path, findings: Findings) -> None:
    """A slip of the pen in a known name is a mistake: what it was meant to say would silently not hold."""
    for name in others:
        shown = quote_untrusted(name, 60)
        close = get_close_matches(name[:60].lower().replace("-", "_"), model.names(), 1, 0.8)
        if close:
            findings.error((*path, name), f"{shown} is no property of the standard here; is {close[0]!r} meant?")
        else:
            findings.warn((*path, name), f"{shown} is no property of the standard here; it is kept, and has no effect")
