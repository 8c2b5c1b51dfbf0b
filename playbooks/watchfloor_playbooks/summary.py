"""The third layer: what a playbook says of itself in ``playbook_processing_summary`` (section 10.14) is so.

The summary is there for those who decide by it without reading the rest; one that says less than the playbook does
would lead them astray.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from watchfloor_playbooks.findings import Findings
from watchfloor_playbooks.shape import Parts

_BY_STEP: Final[Mapping[str, str]] = {
    "external_playbooks": "playbook-action",
    "parallel_processing": "parallel",
    "if_logic": "if-condition",
    "while_logic": "while-condition",
    "switch_logic": "switch-condition",
}


def check_summary(parts: Parts, findings: Findings) -> None:
    """Claims that do not hold go to ``findings``. Of signatures nothing is asked: they come and go."""
    summary = parts.head.playbook_processing_summary if parts.head is not None else None
    if summary is None:
        return
    types = {step.type for step in parts.steps.values()}
    holds = {name: kind in types for name, kind in _BY_STEP.items()}
    holds["temporal_logic"] = any(step.delay or step.timeout for step in parts.steps.values())
    holds["data_markings"] = bool(parts.names_in("data_marking_definitions"))
    holds["extensions"] = bool(parts.names_in("extension_definitions"))
    for name, is_so in holds.items():
        said = getattr(summary, name)
        if said is not None and said is not is_so:
            message = f"{name!r} is {str(said).lower()}, and the playbook has {'some' if is_so else 'none'}"
            findings.error(("playbook_processing_summary", name), message)
