"""The second layer: agents, targets, authentication, markings and extensions that are named are there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.yaml_source import Path
from watchfloor_playbooks.findings import Findings
from watchfloor_playbooks.model import STEPS, ActionStep
from watchfloor_playbooks.objects import AGENT_TARGETS, AUTHENTICATIONS, MARKINGS, AgentTarget
from watchfloor_playbooks.shape import Parts
from watchfloor_playbooks.vocabulary import COMMAND_TYPES, IDENTIFIER, OWN_COMMAND, prefix_of

_NAMING: Final = (
    "workflow",
    "agent_definitions",
    "target_definitions",
    "authentication_info_definitions",
    "data_marking_definitions",
    "extension_definitions",
)
_EXTENDED: Final = (
    ("workflow", "step_extensions"),
    ("agent_definitions", "agent_target_extensions"),
    ("target_definitions", "agent_target_extensions"),
    ("authentication_info_definitions", "authentication_info_extensions"),
    ("data_marking_definitions", "marking_extensions"),
)


def check_references(parts: Parts, findings: Findings) -> None:
    """Mistakes in ids, and names of what is not there, go to ``findings``."""
    _check_ids(parts, findings)
    _check_uuids(parts, findings)
    _check_steps(parts, findings)
    known = parts.names_in("authentication_info_definitions")
    for dictionary, defined in (("agent_definitions", parts.agents), ("target_definitions", parts.targets)):
        for name, part in defined.items():
            used = getattr(part, "authentication_info", None)
            if isinstance(used, str) and used not in known:
                message = f"authentication info {quote_untrusted(used)} is not among 'authentication_info_definitions'"
                findings.error((dictionary, name, "authentication_info"), message)
    head = parts.head
    marked = parts.names_in("data_marking_definitions")
    for index, name in enumerate((head.markings or ()) if head else ()):
        if name not in marked:
            message = f"data marking {quote_untrusted(name)} is not among 'data_marking_definitions'"
            findings.error(("markings", index), message)
    _check_extensions(parts, findings)


def _check_ids(parts: Parts, findings: Findings) -> None:
    for name, step in parts.steps.items():
        _check_key(name, step.type, STEPS, ("workflow", name), findings, is_loose=False)
    for dictionary, defined in (("agent_definitions", parts.agents), ("target_definitions", parts.targets)):
        for name, part in defined.items():
            is_loose = dictionary == "agent_definitions"
            _check_key(name, part.type, AGENT_TARGETS, (dictionary, name), findings, is_loose=is_loose)
    for name, auth in parts.authentications.items():
        where: Path = ("authentication_info_definitions", name)
        _check_key(name, auth.type, AUTHENTICATIONS, where, findings, is_loose=False)
    for name, marking in parts.markings.items():
        where = ("data_marking_definitions", name)
        _check_key(name, marking.type, MARKINGS, where, findings, is_loose=False)
        if marking.id != name:
            findings.error((*where, "id"), "the marking's 'id' is not the key under which it stands")
    for name, extension in parts.extensions.items():
        where = ("extension_definitions", name)
        _check_key(name, extension.type, {"extension-definition": None}, where, findings, is_loose=False)


def _check_uuids(parts: Parts, findings: Findings) -> None:
    """A UUID names one object, whatever its type; that of a step is random (section 10.10)."""
    first: dict[str, str] = {}
    for dictionary in _NAMING:
        for name in parts.names_in(dictionary):
            found = IDENTIFIER.fullmatch(name)
            if found is None:
                continue
            uuid = found.group(2).lower()
            if uuid in first and first[uuid] != name:
                findings.warn((dictionary, name), f"the UUID is that of {quote_untrusted(first[uuid])} as well")
            first.setdefault(uuid, name)
            if dictionary == "workflow" and uuid[14] != "4":
                findings.warn((dictionary, name), "the UUID of a step is of version 4")


def _check_key(
    name: str, kind: str, known: Mapping[str, object], path: Path, findings: Findings, *, is_loose: bool
) -> None:
    """An id is ``type--UUID`` of its own type; where one of the two is of the vocabulary, they have to agree."""
    prefix = prefix_of(name)
    if prefix is None:
        message = f"{quote_untrusted(name)} is no identifier; 'type--UUID' is expected"
        (findings.warn if is_loose else findings.error)(path, message)
    elif prefix != kind and (prefix in known or kind in known):
        said = (
            f"the id says that this is of type {quote_untrusted(prefix, 60)}, 'type' says {quote_untrusted(kind, 60)}"
        )
        findings.error((*path, "type"), f"{said}; they have to agree")
    elif prefix != kind:
        findings.warn((*path, "type"), f"the id begins with {prefix!r:.60}, the type is {quote_untrusted(kind, 60)}")


def _check_steps(parts: Parts, findings: Findings) -> None:
    agents, targets = parts.names_in("agent_definitions"), parts.names_in("target_definitions")
    for name, step in parts.steps.items():
        if not isinstance(step, ActionStep):
            continue
        path: Path = ("workflow", name)
        if step.agent not in agents:
            findings.error((*path, "agent"), f"agent {quote_untrusted(step.agent)} is not among 'agent_definitions'")
        for index, target in enumerate(step.targets or ()):
            if target not in targets:
                message = f"target {quote_untrusted(target)} is not among 'target_definitions'"
                findings.error((*path, "targets", index), message)
        for index, command in enumerate(step.commands):
            kind = command.get("type")
            if isinstance(kind, str) and kind not in COMMAND_TYPES and kind != OWN_COMMAND:
                said = f"{quote_untrusted(kind, 60)} is no type of command of the standard; only an agent that knows it"
                findings.warn((*path, "commands", index, "type"), f"{said} can carry it out")
    _check_kind(parts.agents, "agent_definitions", findings)
    _check_kind(parts.targets, "target_definitions", findings)


def _check_kind(defined: Mapping[str, AgentTarget], dictionary: str, findings: Findings) -> None:
    for name, part in defined.items():
        if part.type not in AGENT_TARGETS:
            message = f"{quote_untrusted(part.type, 60)} is no type of the standard; it is kept as it is"
            findings.warn((dictionary, name, "type"), message)


def _check_extensions(parts: Parts, findings: Findings) -> None:
    known = parts.names_in("extension_definitions")
    top = parts.content.get("playbook_extensions")
    _check_names(top if isinstance(top, dict) else (), known, ("playbook_extensions",), findings)
    for dictionary, key in _EXTENDED:
        holders = parts.content.get(dictionary)
        for name, holder in holders.items() if isinstance(holders, dict) else ():
            used = holder.get(key) if isinstance(holder, dict) else None
            _check_names(used if isinstance(used, dict) else (), known, (dictionary, name, key), findings)


def _check_names(used: Iterable[str], known: Collection[str], path: Path, findings: Findings) -> None:
    for name in used:
        if not IDENTIFIER.fullmatch(name) or name not in known:
            message = f"extension {quote_untrusted(name)} is not among 'extension_definitions'"
            findings.error((*path, name), message)
