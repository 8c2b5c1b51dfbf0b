"""Sigma filters: what rules no longer report, in the format of the Sigma specification 2 (meta rule *filter*).

Those that Watchfloor writes are made from a `RuleFilter`, so that other tools that speak Sigma take them as well; those
that people write may use all of the format.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.rule import SigmaDetections, SigmaRule

from watchfloor_connectors.detection.rules import RefusedRule, documents_in, rule_files, short_of
from watchfloor_guardrails.rule_filter import (
    ACCOUNT_FIELDS,
    HOST_FIELDS,
    OTHER_FIELDS,
    RuleFilter,
    folded,
)

_NAMESPACE: Final = uuid.UUID("6b0c7e57-2f0f-5d0e-9e0b-0d6f2a7c4f11")
_FAILED_LOGON: Final = frozenset({"4625", "4771", "4776"})
"""Windows event ids in which names of accounts are what somebody typed."""
_NOBODY: Final = frozenset({"-", "system", "local service", "network service"})
"""Accounts that every host has: they tell nobody from anybody."""


@dataclass(frozen=True, slots=True)
class DetectionFilter:
    """One filter that pySigma could read."""

    file: str
    id: str
    """Its UUID; of a filter that has none its title."""
    title: str
    parsed: SigmaFilter
    rules: frozenset[str] | None
    """Ids and names, in lower case, of the rules that it is for; None: any."""
    condition: SigmaRule
    """What an event must be for a rule to go on reporting it, as a rule of its own."""

    def is_for(self, names: frozenset[str], rule: SigmaRule) -> bool:
        """``names``: the rule's, in lower case."""
        return (self.rules is None or not self.rules.isdisjoint(names)) and rule.logsource in self.parsed.logsource


@dataclass(frozen=True, slots=True)
class FilterSet:
    filters: tuple[DetectionFilter, ...] = ()
    refused: tuple[RefusedRule, ...] = field(default=())
    """What could not be read. It hides nothing."""

    def of(self, rule: SigmaRule) -> tuple[int, ...]:
        """The numbers of the filters that are for this rule."""
        names = frozenset(str(one).lower() for one in (rule.id, rule.name) if one)
        return tuple(number for number, one in enumerate(self.filters) if one.is_for(names, rule))


NO_FILTERS: Final = FilterSet()


def load_filters(paths: Sequence[Path]) -> FilterSet:
    """Every filter in these files, folders and zip archives.

    Raises `ConfigurationError` for a path that does not exist. A folder without filters has none.
    """
    filters: list[DetectionFilter] = []
    refused: list[RefusedRule] = []
    for path in paths:
        for name, content in rule_files(path, "filters"):
            documents = documents_in(name, content)
            if isinstance(documents, RefusedRule):
                refused.append(documents)
                continue
            for document in documents:
                one = _read(name, document)
                if isinstance(one, RefusedRule):
                    refused.append(one)
                else:
                    filters.append(one)
    return FilterSet(tuple(filters), tuple(refused))


def filter_id(given: RuleFilter) -> str:
    """The UUID of the Sigma document; the same for the same filter, wherever it is made."""
    return str(uuid.uuid5(_NAMESPACE, given.text))


def sigma_text(given: RuleFilter) -> str:
    """The filter as a Sigma document, YAML; equal filters have equal documents."""
    document = {
        "title": f"Harmless on {given.host}"[:120],
        "id": filter_id(given),
        "status": "experimental",
        "logsource": dict(given.log_source),
        "filter": {"rules": [given.rule], "selection": dict(given.event), "condition": "not selection"},
    }
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def named_fields(event: Mapping[str, Any]) -> tuple[tuple[str, str] | None, tuple[tuple[str, str], ...]]:
    """What of a matched event a filter could name: its host, and the rest, each a field with its folded value.

    The host is the field by which the alert's host is known; None where there is none.
    """
    host = next(((name, folded(str(event[name]))) for name in HOST_FIELDS if event.get(name)), None)
    is_typed = str(event.get("EventID")) in _FAILED_LOGON
    found = []
    for name in OTHER_FIELDS:
        value = event.get(name)
        if not isinstance(value, str) or not value or (is_typed and name in ACCOUNT_FIELDS):
            continue
        text = folded(value)
        # Names that end in $ are the computers' own accounts.
        if name in ACCOUNT_FIELDS and (text.rpartition("\\")[2] in _NOBODY or text.endswith("$")):
            continue
        found.append((name, text))
    return host, tuple(found)


def _read(name: str, document: Any) -> DetectionFilter | RefusedRule:
    title = str(document.get("title") or "") if isinstance(document, dict) else ""
    if not isinstance(document, dict) or "filter" not in document:
        return RefusedRule(name, title, "is no Sigma filter: it has no filter")
    try:
        parsed = SigmaFilter.from_dict(document)
        condition = _condition_of(parsed)
    except (SigmaError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return RefusedRule(name, title, f"is no valid Sigma filter: {short_of(error)}")
    id_ = str(parsed.id) if parsed.id is not None else title
    return DetectionFilter(name, id_, title, parsed, _rules_of(parsed), condition)


def _rules_of(parsed: SigmaFilter) -> frozenset[str] | None:
    wanted = parsed.filter.rules
    return None if isinstance(wanted, str) else frozenset(str(one.reference).lower() for one in wanted)


def _condition_of(parsed: SigmaFilter) -> SigmaRule:
    """The filter's own condition. It is not put into the rule: the rule's patterns over names would take it in."""
    detections = SigmaDetections(dict(parsed.filter.detections), list(parsed.filter.condition))
    return SigmaRule(title=str(parsed.title or "filter"), logsource=parsed.logsource, detection=detections)
