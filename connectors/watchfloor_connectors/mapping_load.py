"""Reads mapping files: every mistake at once, each with file and line."""

from __future__ import annotations

import string
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from watchfloor_connectors.mapping_schema import Mapping, RoleRule, ValueRule
from watchfloor_connectors.yaml_lines import Document, Location, load_yaml
from watchfloor_core.errors import ConfigurationError, Problem

PACKAGED = "watchfloor_connectors.mappings"


def load_mapping(text: str, file: str) -> Mapping:
    """The mapping in a YAML text; ConfigurationError with all its mistakes."""
    document = load_yaml(text, file)
    if not isinstance(document.value, dict):
        raise ConfigurationError([Problem("a mapping with name, detect, time, detector … was expected", file, 1)])
    try:
        mapping = Mapping.model_validate(document.value)
    except ValidationError as error:
        problems = [_problem(document, file, item["loc"], item["msg"]) for item in error.errors(include_url=False)]
        raise ConfigurationError(problems) from None
    found = [_problem(document, file, at, message) for at, message in _contradictions(mapping)]
    if found:
        raise ConfigurationError(found)
    return mapping


def load_mapping_file(file: Path) -> Mapping:
    """The mapping in one file."""
    try:
        return _load_all(iter([(str(file), file.read_bytes())]))[0]
    except OSError as error:
        raise ConfigurationError(f"cannot read the mapping {str(file)!r}: {error.strerror}") from None


def load_mappings(folder: Path) -> list[Mapping]:
    """Every ``*.yaml`` of a folder, by file name; ConfigurationError with the mistakes of all of them."""
    if not folder.is_dir():
        raise ConfigurationError(f"the folder of mappings {str(folder)!r} does not exist (setting mappings_dir)")
    files = sorted(path for path in folder.iterdir() if path.suffix in (".yaml", ".yml"))
    return _load_all((str(path), path.read_bytes()) for path in files)


def packaged_mappings() -> list[Mapping]:
    """The mappings that ship with Watchfloor."""
    return list(_packaged())


@cache
def _packaged() -> tuple[Mapping, ...]:
    # What ships does not change while a process lives, and reading it is most of what a start of the API costs.
    files = sorted(resources.files(PACKAGED).iterdir(), key=lambda entry: entry.name)
    return tuple(_load_all((entry.name, entry.read_bytes()) for entry in files if entry.name.endswith(".yaml")))


def _load_all(files: Iterator[tuple[str, bytes]]) -> list[Mapping]:
    mappings: list[Mapping] = []
    problems: list[Problem] = []
    for file, data in files:
        try:
            mappings.append(load_mapping(data.decode("utf-8-sig"), file))
        except UnicodeDecodeError as error:
            problems.append(Problem(f"byte {error.start} is not UTF-8", file))
        except ConfigurationError as error:
            problems.extend(error.problems)
    if problems:
        raise ConfigurationError(problems)
    return mappings


def template_paths(template: str) -> list[str]:
    """The paths in the braces of a template; ValueError where its braces do not pair up."""
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


Alternatives = list[list[str]]
"""What one rule reads: any of these will do, and each is all of its paths."""


def used_paths(mapping: Mapping) -> dict[str, Location]:
    """Every path that the mapping reads, and where it says so first."""
    found: dict[str, Location] = {}
    for at, alternatives in readings(mapping):
        for path in (path for paths in alternatives for path in paths):
            found.setdefault(path, at)
    return found


def readings(mapping: Mapping) -> Iterator[tuple[Location, Alternatives]]:
    """What each rule of the mapping reads."""
    yield ("time", "path"), [[path] for path in mapping.time.path]
    if mapping.severity.path is not None:
        yield ("severity", "path"), [[path] for path in mapping.severity.path]
    for at, rule in _value_rules(mapping):
        paths = [[path] for path in rule.path or ()]
        templates = [template_paths(template) for template in rule.template or ()]
        if paths or templates:
            yield (*at, "path" if paths else "template"), paths + templates
    for index, entity in enumerate(mapping.entities):
        if isinstance(entity.role, RoleRule):
            yield ("entities", index, "role"), [[entity.role.path]]
        for condition in entity.when:
            yield ("entities", index, "when"), [[condition.path]]
    for index, condition in enumerate(mapping.ignore_when):
        yield ("ignore_when", index), [[condition.path]]


def _value_rules(mapping: Mapping) -> Iterator[tuple[Location, ValueRule]]:
    detector = mapping.detector
    for name, rule in (("product", detector.product), ("uid", detector.uid), ("title", detector.title)):
        yield ("detector", name), rule
    if detector.category is not None:
        yield ("detector", "category"), detector.category
    for name, listed in (("tactics", mapping.tactics), ("techniques", mapping.techniques)):
        if listed is not None:
            yield (name,), listed
    if mapping.native_uid is not None:
        yield ("native_uid",), mapping.native_uid
    for index, entity in enumerate(mapping.entities):
        yield ("entities", index), entity
    for index, attribute in enumerate(mapping.attributes):
        yield ("attributes", index), attribute


def _contradictions(mapping: Mapping) -> Iterator[tuple[Location, str]]:
    """What no single field shows."""
    for at, rule in _value_rules(mapping):
        for template in rule.template or ():
            try:
                if not all(template_paths(template)):
                    yield (*at, "template"), f"the template {template!r} has empty braces: a path was expected"
            except ValueError as error:
                yield (*at, "template"), f"the template {template!r} is not well formed: {error}"
                return
    used = used_paths(mapping)
    for index, column in enumerate(mapping.unused):
        if column in used:
            yield used[column], f"{column!r} is listed under unused and read here: decide which"
        elif mapping.detect.header is not None and column not in mapping.detect.header:
            yield ("unused", index), f"{column!r} is listed under unused and is no column of detect.header"
    if mapping.detect.header is not None:
        header = set(mapping.detect.header)
        for path, at in used.items():
            if path not in header:
                yield at, f"{path!r} is no column of detect.header"
        for index, column in enumerate(mapping.detect.header):
            if column not in used and column not in mapping.unused:
                yield ("detect", "header", index), f"{column!r} is neither read nor listed under unused"
    dedup = mapping.dedup
    if dedup is not None and "native_uid" in dedup.fields:
        if mapping.native_uid is None:
            yield ("dedup", "fields"), "native_uid is compared and not mapped: say where native_uid comes from"
        if len(dedup.fields) > 1 or dedup.window_s != 0:
            yield ("dedup",), "native_uid decides alone: fields [native_uid] and window_s 0 were expected"
    elif dedup is not None and dedup.window_s == 0:
        yield ("dedup", "window_s"), "0 is for native_uid alone: a window of at least 1 second was expected"


def _problem(document: Document, file: str, at: Location, message: str) -> Problem:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in at).lstrip(".")
    return Problem(message.removeprefix("Value error, "), file, document.line(at), path or None)
