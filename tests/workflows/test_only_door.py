"""There is one door through which an incident is closed, and it asks for a permit."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from watchfloor_guardrails.permit import ClosurePermit
from watchfloor_workflows.closure import close_incident

ROOT = Path(__file__).parents[2]
PACKAGES = ("core", "guardrails", "playbooks", "agents", "connectors", "workflows", "service")


def is_closed_status(node: ast.expr | None) -> bool:
    text = ast.unparse(node) if node is not None else ""
    return text in ("IncidentStatus.CLOSED", "IncidentStatus.CLOSED.value", "'closed'")


def writes_of_closed(tree: ast.AST) -> Iterator[int]:
    """Lines that hand a closed status to something: ``{"status": CLOSED}`` or ``f(status=CLOSED)``."""
    for node in ast.walk(tree):
        match node:
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                if any(
                    isinstance(key, ast.Constant) and key.value == "status" and is_closed_status(value)
                    for key, value in pairs
                ):
                    yield node.lineno
            case ast.keyword(arg="status", value=value) if is_closed_status(value):
                yield node.value.lineno
            case _:
                pass


def test_no_other_code_sets_the_status_closed() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if any(writes_of_closed(ast.parse(path.read_text())))
    }

    assert found == {"workflows/watchfloor_workflows/closure.py"}


def test_the_door_takes_a_permit() -> None:
    assert inspect.get_annotations(close_incident, eval_str=True)["permit"] is ClosurePermit
