"""Sigma filters: what rules no longer report, in the format of the Sigma specification 2 (meta rule *filter*).

Those that Watchfloor writes are made from a `RuleFilter`, so that other tools that speak Sigma take them as well; those
that people write may use all of the format.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from watchfloor_connectors.detection.rules import RefusedRule, documents_in, rule_files, short_of
from watchfloor_guardrails.rule_filter import RuleFilter

_NAMESPACE: Final = uuid.UUID("6b0c7e57-2f0f-5d0e-9e0b-0d6f2a7c4f11")
_HOSTS: Final = ("Computer", "ComputerName", "Hostname", "host.name")
# Fields that the system writes itself. TargetUserName is what somebody typed where a logon failed, so it is none.
_USERS: Final = ("SubjectUserName", "User")
_ADDRESSES: Final = ("SourceIp", "IpAddress", "source.ip")
_HASHES: Final = ("Hashes", "Hash")


@dataclass(frozen=True, slots=True)
class DetectionFilter:
    """One filter that pySigma could read."""

    file: str
    id: str
    """Its UUID; of a filter that has none its title."""
    title: str
    parsed: SigmaFilter


@dataclass(frozen=True, slots=True)
class FilterSet:
    filters: tuple[DetectionFilter, ...] = ()
    refused: tuple[RefusedRule, ...] = ()
    """What could not be read. It hides nothing."""

    def of(self, rule: SigmaRule) -> tuple[tuple[DetectionFilter, SigmaRule], ...]:
        """The filters that are for this rule, each with the rule as it stands under it."""
        found = []
        for one in self.filters:
            narrowed = _applied(one.parsed, rule)
            if narrowed is not None:
                found.append((one, narrowed))
        return tuple(found)


NO_FILTERS: Final = FilterSet()


def load_filters(paths: Sequence[Path]) -> FilterSet:
    """Every filter in these files, folders and zip archives.

    Raises `ConfigurationError` for a path that does not exist. A folder without filters has none.
    """
    filters: list[DetectionFilter] = []
    refused: list[RefusedRule] = []
    for path in paths:
        for name, content in rule_files(path):
            documents = documents_in(name, content)
            if isinstance(documents, RefusedRule):
                refused.append(documents)
                continue
            for document in documents:
                one = _read(name, document)
                (refused if isinstance(one, RefusedRule) else filters).append(one)  # type: ignore[arg-type]
    return FilterSet(tuple(filters), tuple(refused))


def sigma_text(given: RuleFilter) -> str:
    """The filter as a Sigma document, YAML; equal filters have equal documents."""
    selections: dict[str, Any] = {}
    for kind, fields, value in _named(given):
        modifier = "|contains" if kind == "hash" else ""
        # A list of maps is met by any of them: each log has its own name for the same thing.
        selections[kind] = [{f"{field}{modifier}": value} for field in fields]
        if kind == "user" and "\\" not in value:
            selections[kind] += [{f"{field}|endswith": f"\\{value}"} for field in fields]
    condition = " and ".join(selections)
    document = {
        "title": f"Harmless on {given.host}"[:120],
        "id": str(uuid.uuid5(_NAMESPACE, given.text)),
        "status": "experimental",
        "logsource": dict(given.log_source),
        "filter": {"rules": [given.rule], **selections, "condition": f"not ({condition})"},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def sets_aside(given: RuleFilter, event: Mapping[str, Any]) -> bool:
    """Whether the filter names what this event, by the names of its log, says of itself."""
    for kind, fields, value in _named(given):
        found = [str(event[field]).lower() for field in fields if event.get(field) is not None]
        match kind:
            case "hash":
                is_met = any(value in one for one in found)
            case "user" if "\\" not in value:
                is_met = any(one == value or one.endswith(f"\\{value}") for one in found)
            case _:
                is_met = value in found
        if not is_met:
            return False
    return True


def _named(given: RuleFilter) -> Iterator[tuple[str, Sequence[str], str]]:
    """Name of the selection, fields of which any may hold the value, value."""
    yield "host", _HOSTS, given.host
    if given.user is not None:
        yield "user", _USERS, given.user
    if given.address is not None:
        yield "address", _ADDRESSES, given.address
    if given.file_hash is not None:
        yield "hash", _HASHES, given.file_hash


def _read(name: str, document: Any) -> DetectionFilter | RefusedRule:
    title = str(document.get("title") or "") if isinstance(document, dict) else ""
    if not isinstance(document, dict) or "filter" not in document:
        return RefusedRule(name, title, "is no Sigma filter: it has no filter")
    try:
        parsed = SigmaFilter.from_dict(document)
    except (SigmaError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return RefusedRule(name, title, f"is no valid Sigma filter: {short_of(error)}")
    return DetectionFilter(name, str(parsed.id) if parsed.id is not None else title, title, parsed)


def _applied(one: SigmaFilter, rule: SigmaRule) -> SigmaRule | None:
    """The rule under the filter; None where it is not for it, or cannot be put on it."""
    try:
        before = _conditions(rule)
        narrowed = one.apply_on_rule(deepcopy(rule))
    except (SigmaError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    if not isinstance(narrowed, SigmaRule) or _conditions(narrowed) == before:
        return None
    return narrowed


def _conditions(rule: SigmaRule) -> list[str]:
    return list(rule.detection.condition)
