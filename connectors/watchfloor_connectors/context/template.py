"""A source of context to begin from: what a spreadsheet of owners says of hosts."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from watchfloor_core.context import ContextKind, Fact, Facts, LookUp
from watchfloor_core.logs.source import Coverage, Health


class Owners:
    kind = ContextKind.INVENTORY

    def __init__(self, name: str, rows: Sequence[Mapping[str, str]]) -> None:
        self.name = name
        self._rows = {row["host"].lower(): row for row in rows}

    def look_up(self, question: LookUp) -> Facts:
        known = [(one, self._rows[one.value.lower()]) for one in question.entities if one.value.lower() in self._rows]
        facts = tuple(Fact(entity=one, fields={"asset.owner": row["owner"]}) for one, row in known)
        return Facts(facts, Coverage(self.name, Health.WHOLE))


def owners(name: str, options: Mapping[str, object], paths: Sequence[Path]) -> Owners:  # noqa: ARG001  # it has none
    with paths[0].open(newline="", encoding="utf-8") as file:
        return Owners(name, list(csv.DictReader(file)))
