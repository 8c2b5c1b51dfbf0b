"""A playbook that was read: every part typed, beside the content as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from watchfloor_core.canonical import canonical
from watchfloor_playbooks.model import Head, Step
from watchfloor_playbooks.objects import AgentTarget, Authentication, Command, ExtensionDefinition, Marking, Signature


@dataclass(frozen=True, slots=True)
class Playbook:
    """One version of a playbook, as `loading.load` found it right."""

    content: Mapping[str, JsonValue]
    """As it came, with what the standard does not name. Read it, do not change it."""
    head: Head
    steps: Mapping[str, Step]
    """By id, in the order of the file."""
    commands: Mapping[str, tuple[Command, ...]]
    """Of the action steps, by the step's id."""
    agents: Mapping[str, AgentTarget]
    targets: Mapping[str, AgentTarget]
    authentications: Mapping[str, Authentication]
    markings: Mapping[str, Marking]
    extensions: Mapping[str, ExtensionDefinition]
    signatures: tuple[Signature, ...]

    @property
    def id(self) -> str:
        return self.head.id

    def canonical(self) -> bytes:
        """The form in which it is exchanged, compared and signed: RFC 8785."""
        return canonical(self.content)
