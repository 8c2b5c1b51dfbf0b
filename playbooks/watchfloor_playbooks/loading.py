"""From a file's bytes to a playbook, or to everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from watchfloor_core.canonical import canonical
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_guardrails.yaml_source import Document, read_yaml
from watchfloor_playbooks.extension import check_extension
from watchfloor_playbooks.findings import EnoughFoundError, Findings, Report
from watchfloor_playbooks.flow import Flow
from watchfloor_playbooks.formats import check_formats
from watchfloor_playbooks.graph import check_graph
from watchfloor_playbooks.json_source import read_json
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.references import check_references
from watchfloor_playbooks.shape import Parts, read_parts
from watchfloor_playbooks.summary import check_summary
from watchfloor_playbooks.variables import check_variables

MAX_BYTES: Final = 1024 * 1024
"""Of a playbook, which people review before they let it act."""


@dataclass(frozen=True, slots=True)
class Examined:
    """A file that could be read, and what was found in it."""

    document: Document
    report: Report
    playbook: Playbook | None
    """None where the report has errors."""


def examine(data: bytes, file: str) -> Examined:
    """Read a playbook, JSON or YAML, and check all three layers.

    Raises `ConfigurationError` where the file is neither; everything else is in the report, all at once.
    """
    document = read_document(data, file)
    findings = Findings(document)
    parts: Parts | None = None
    try:
        parts = _checked(document, findings)
    except EnoughFoundError:
        findings.give_up()
    report = findings.report()
    return Examined(document, report, parts.playbook() if parts is not None and report.is_right else None)


def _checked(document: Document, findings: Findings) -> Parts:
    parts = read_parts(document.content, findings)
    if parts.content:
        flow = Flow.of(parts.content)
        check_graph(parts, flow, findings)
        check_references(parts, findings)
        check_variables(parts, flow, findings)
        check_formats(parts, findings)
        check_summary(parts, findings)
        check_extension(parts, findings)
    if not findings.has_errors():
        try:
            # What is written has to be read again, also where YAML holds what JSON readers disagree on.
            read_json(canonical(document.content).decode(), document.file)
        except (ValueError, ConfigurationError) as error:
            findings.error((), f"it cannot be exchanged as JSON: {error}")
    return parts


def load(data: bytes, file: str, *, is_strict: bool = False) -> Playbook:
    """The playbook in a file. Raises `ConfigurationError` with every mistake, its line and its place.

    ``is_strict`` counts what leaves the standard though it is clear as a mistake as well.
    """
    examined = examine(data, file)
    examined.report.raise_errors(is_strict=is_strict)
    assert examined.playbook is not None  # noqa: S101  # there is none only where there are errors
    return examined.playbook


def read_document(data: bytes, file: str) -> Document:
    """The content with its lines. What begins with a brace or bracket is JSON, all else YAML."""
    if len(data) > MAX_BYTES:
        raise ConfigurationError([Problem(f"the file is larger than {MAX_BYTES} bytes; no playbook is", file)])
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError([Problem("the text is not UTF-8; save it as such", file, line)]) from error
    if not text.strip():
        raise ConfigurationError([Problem("the file is empty", file, 1)])
    return read_json(text, file) if text.lstrip()[0] in "{[" else read_yaml(text, file, accepts_null=True)
