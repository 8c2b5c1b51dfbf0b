"""``watchfloor detect``: Sigma rules over log files, written as alerts that every intake takes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
from rich import box
from rich.text import Text

from watchfloor_connectors.attack import technique_ids
from watchfloor_connectors.detection.detecting import Detections, Match, RuleOutcome, RuleState, detecting
from watchfloor_connectors.detection.filters import FilterSet, load_filters
from watchfloor_connectors.detection.rules import LEVELS, RefusedRule, RuleSet, load_rules
from watchfloor_connectors.logs.files import Unreadable
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import ConfigurationError, Problem
from watchfloor_core.ports import Json
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_service.commands.outcome import console
from watchfloor_service.fitted_table import FittedTable
from watchfloor_service.runs.csv_line import csv_line
from watchfloor_service.runs.export import make_folder, replacing

ALERTS_FILE: Final = "alerts.ndjson"
SET_ASIDE_FILE: Final = "set-aside.ndjson"
RULES_FILE: Final = "rules.csv"
RULE_COLUMNS: Final = (
    "state",
    "matches",
    "events",
    "level",
    "id",
    "title",
    "techniques",
    "reason",
    "file",
    "set_aside",
    "filters",
)
SHOWN: Final = 15
"""Rules in the table."""
COMPLAINTS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class DetectRequest:
    """What a person asked for."""

    logs: Sequence[Path]
    rules: Sequence[Path]
    level: str = LEVELS[0]
    """The least severe rules that run."""
    filters: Sequence[Path] = ()
    """Files and folders of Sigma filters."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What came of it."""

    alerts: Path
    rules: Path
    outcomes: tuple[RuleOutcome, ...]
    refused: tuple[RefusedRule, ...]
    events: int
    matched: int
    set_aside: int
    """Of those matched; they are kept in `SET_ASIDE_FILE`."""
    filters: FilterSet
    broken_filters: Mapping[str, str]
    """Filters that could be read and cannot run here, by file, with the reason."""
    idle_filters: Mapping[str, str]
    """Filters that set nothing aside, by file, with the reason."""
    unreadable: tuple[Unreadable, ...]
    """The first of them."""
    unreadable_total: int


class _Complaints:
    def __init__(self) -> None:
        self.first: list[Unreadable] = []
        self.total = 0

    def add(self, one: Unreadable) -> None:
        self.total += 1
        if len(self.first) < COMPLAINTS_SHOWN:
            self.first.append(one)


def detect(request: DetectRequest, out: Path, *, is_quiet: bool) -> Detected:
    """Run the rules and write what matched, whole or not at all.

    Raises `ConfigurationError` where logs or rules do not exist or ``out`` cannot be written.
    """
    make_folder(out)
    rules = _usable(load_rules(request.rules), request.level)
    filters = load_filters(request.filters)
    complaints = _Complaints()
    teller = _Teller(is_quiet=is_quiet)
    with detecting(request.logs, rules, complaints.add, teller.tell, filters) as found:
        _write_alerts(found, out, is_filtered=bool(request.filters))
        _write_rules(found.outcomes, rules.refused, out / RULES_FILE)
    teller.done()
    return Detected(
        alerts=out / ALERTS_FILE,
        rules=out / RULES_FILE,
        outcomes=found.outcomes,
        refused=rules.refused,
        events=found.events,
        matched=found.matched,
        set_aside=found.set_aside,
        filters=filters,
        broken_filters=found.broken_filters,
        idle_filters=found.idle_filters,
        unreadable=tuple(complaints.first),
        unreadable_total=complaints.total,
    )


def _usable(rules: RuleSet, level: str) -> RuleSet:
    """Those of the level. Raises `ConfigurationError` where there is none: to find nothing with that says nothing."""
    if not rules.rules:
        shown = [Problem(one.reason, one.file) for one in rules.refused[:COMPLAINTS_SHOWN]]
        raise ConfigurationError([Problem("none of the rules can be read"), *shown])
    chosen = rules.of_level(level)
    if not chosen.rules:
        raise ConfigurationError(f"none of the {len(rules.rules):,} rules is of level {level} or above; give --level")
    return chosen


def alert_record(match: Match) -> dict[str, Json]:
    """As the connector ``sigma`` reads it."""
    event: dict[str, Json] = dict(match.event)
    if match.host and not any(name in event for name in ("Computer", "Hostname", "host.name")):
        event["Hostname"] = match.host
    rule = match.rule
    source = {"product": rule.product, "category": rule.category, "service": rule.service}
    return {
        "sigma": {
            "id": rule.id,
            "title": rule.title,
            "level": rule.level,
            "tags": list(rule.tags),
            "logsource": {name: value for name, value in source.items() if value},
        },
        "timestamp": to_iso(match.time_us),
        "event": event,
    }


def print_detected(found: Detected) -> None:
    """The rules that fired, what could not run, and what could not be read."""
    out = console()
    fired = sorted((one for one in found.outcomes if one.matches), key=_severest_first)
    states = _states(found.outcomes)
    out.print(
        f"{found.events:,} events, {len(found.outcomes) + len(found.refused):,} rules: {states[RuleState.FIRED]:,} "
        f"fired with {found.matched:,} matches, {states[RuleState.SILENT]:,} silent, "
        f"{states[RuleState.NO_EVENTS]:,} without an event of their log source, "
        f"{states[RuleState.CANNOT_RUN] + len(found.refused):,} cannot run"
    )
    if not found.events:
        out.print("No event could be read: that no rule fired says nothing of these logs.")
    if fired:
        out.print(_table(fired[:SHOWN], has_filters=bool(found.filters.filters)))
    if len(fired) > SHOWN:
        out.print(f"and {len(fired) - SHOWN} more rules; all are in {found.rules}", soft_wrap=True)
    if found.filters.filters or found.filters.refused:
        where = found.alerts.with_name(SET_ASIDE_FILE)
        used = {name for one in found.outcomes for name in one.filters}
        said = f"{len(used):,} of {len(found.filters.filters):,} filters set aside {found.set_aside:,} matches"
        out.print(f"{said}; they are kept in {where}", soft_wrap=True)
    for file, reason in found.idle_filters.items():
        out.print(f"sets nothing aside: {escape_untrusted(file)}: {reason}", soft_wrap=True, markup=False)
    for file, reason in found.broken_filters.items():
        print(f"no filter: {escape_untrusted(file)}: cannot run: {escape_untrusted(reason)}", file=sys.stderr)
    for bad in found.filters.refused:
        print(f"no filter: {escape_untrusted(bad.file)}: {escape_untrusted(bad.reason)}", file=sys.stderr)
    for path in (found.alerts, found.rules):
        out.print(f"written: {path}", soft_wrap=True)
    for one in found.unreadable:
        print(f"not read: {escape_untrusted(str(one))}", file=sys.stderr)
    if found.unreadable_total > len(found.unreadable):
        print(f"not read: {found.unreadable_total - len(found.unreadable):,} more", file=sys.stderr)


def _severest_first(one: RuleOutcome) -> tuple[int, int, str]:
    return -LEVELS.index(one.rule.level), -one.matches, one.rule.title


def _states(outcomes: Sequence[RuleOutcome]) -> Mapping[RuleState, int]:
    return {state: sum(one.state is state for one in outcomes) for state in RuleState}


def _table(fired: Sequence[RuleOutcome], *, has_filters: bool) -> FittedTable:
    counted = ["matches", "set aside"] if has_filters else ["matches"]
    rows = [
        [
            Text(one.rule.level),
            *(Text(f"{count:,}") for count in (one.matches, one.set_aside)[: len(counted)]),
            Text(escape_untrusted(one.rule.title)),
            Text(", ".join(technique_ids(*one.rule.tags))),
        ]
        for one in fired
    ]
    return FittedTable(["level", *counted, "rule", "ATT&CK"], rows, right=counted, box=box.SIMPLE_HEAD)


def _write_alerts(found: Detections, out: Path, *, is_filtered: bool) -> None:
    """What a filter sets aside goes into a file of its own, in the same form, with the filter: nothing is dropped."""
    with ExitStack() as stack:
        alerts = stack.enter_context(replacing(out / ALERTS_FILE))
        aside = stack.enter_context(replacing(out / SET_ASIDE_FILE)) if is_filtered else None
        for match in found.matches():
            record = alert_record(match)
            by, file = match.filtered_by, alerts
            if by is not None and aside is not None:
                record["filter"], file = {"id": by.id, "title": by.title, "file": by.file}, aside
            file.write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    if not is_filtered:
        # Of an earlier run, whose alerts are replaced as well.
        (out / SET_ASIDE_FILE).unlink(missing_ok=True)


def _write_rules(outcomes: Sequence[RuleOutcome], refused: Sequence[RefusedRule], path: Path) -> None:
    with replacing(path) as file:
        file.write(csv_line(RULE_COLUMNS))
        for one in outcomes:
            rule = one.rule
            techniques = " ".join(technique_ids(*rule.tags))
            texts = (one.state, one.matches, one.events, rule.level, rule.id, rule.title, techniques, one.reason)
            file.write(csv_line((*texts, rule.file, one.set_aside, " ".join(one.filters))))
        for bad in refused:
            texts = (RuleState.CANNOT_RUN, 0, 0, "", "", bad.title, "", bad.reason)
            file.write(csv_line((*texts, bad.file, 0, "")))


class _Teller:
    """How far it is, on a terminal only, in one line that is written over."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_shown = sys.stderr.isatty() and not is_quiet

    def tell(self, stage: str, done: int, total: int) -> None:
        if self._is_shown:
            of = f" of {total:,} rules" if total else " events"
            print(f"\r{stage} {done:,}{of}   ", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        if self._is_shown:
            print("\r" + " " * 50 + "\r", end="", file=sys.stderr, flush=True)
