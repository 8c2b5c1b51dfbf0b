"""A playbook as text: canonical JSON to exchange, YAML to write and review."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import yaml
from pydantic import JsonValue

from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.yaml_source import read_yaml
from watchfloor_playbooks.model import STEPS, Head
from watchfloor_playbooks.playbook import Playbook

_HEAD: Final = tuple(Head.model_fields)
_FIRST: Final = ("type", "name", "description")


def to_json(playbook: Playbook) -> bytes:
    """The bytes of RFC 8785: the same playbook always gives the same."""
    return playbook.canonical()


def to_yaml(content: Mapping[str, JsonValue], file: str = "playbook.yaml") -> str:
    """For people: properties in the standard's order. Read back, it is the same playbook.

    Raises `ConfigurationError` where YAML cannot hold it: nested too deep, too large, or a character it does not have.
    """
    text = yaml.safe_dump(_ordered(content), sort_keys=False, allow_unicode=True, width=110, default_flow_style=False)
    try:
        document = read_yaml(text, file, accepts_null=True)
    except ConfigurationError as error:
        raise ConfigurationError(f"it cannot be written as YAML ({error}); keep it as JSON") from error
    if document.problems or document.content != dict(content):
        raise ConfigurationError("it cannot be written as YAML without a change; keep it as JSON")
    return text


def _ordered(content: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    ordered = _by(content, _HEAD)
    workflow = ordered.get("workflow")
    if isinstance(workflow, dict):
        steps: dict[str, JsonValue] = {}
        for name, step in workflow.items():
            kind = step.get("type") if isinstance(step, dict) else None
            model = STEPS.get(kind) if isinstance(kind, str) else None
            steps[name] = _by(step, tuple(model.model_fields) if model else _FIRST) if isinstance(step, dict) else step
        ordered["workflow"] = steps
    for key, value in ordered.items():
        if key.endswith("_definitions") and isinstance(value, dict):
            ordered[key] = {name: _by(part, _FIRST) if isinstance(part, dict) else part for name, part in value.items()}
    return ordered


def _by(content: Mapping[str, JsonValue], names: tuple[str, ...]) -> dict[str, JsonValue]:
    first = {name: content[name] for name in names if name in content}
    return first | {name: value for name, value in content.items() if name not in first}
