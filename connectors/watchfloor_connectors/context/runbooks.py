"""Runbooks: Markdown files that say what the organisation does in a case, found by the techniques they name."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from watchfloor_core.context import ContextKind, Fact, Facts, LookUp
from watchfloor_core.logs.source import Coverage, Health

MAX_FILE: Final = 1024 * 1024
"""Bytes."""
MAX_FILES: Final = 5_000
MAX_FOUND: Final = 3
"""The best matches of one question."""
_HEADING: Final = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
_MAKE: Final = "CREATE VIRTUAL TABLE runbook USING fts5(title, path UNINDEXED, content, tokenize = 'unicode61')"
# A word in the title tells more than one in the text.
_FIND: Final = (
    "SELECT title, path FROM runbook WHERE runbook MATCH ? ORDER BY bm25(runbook, 10.0, 0.0, 1.0), path LIMIT ?"
)


class RunbookSource:
    """A `ContextSource` of Markdown files, in SQLite's full-text index. Thread-safe."""

    kind = ContextKind.RUNBOOK

    def __init__(self, name: str, paths: Sequence[Path]) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._index = sqlite3.connect(":memory:", check_same_thread=False)
        self._index.execute(_MAKE)
        problems: list[str] = []
        files = [(root, file) for root in paths for file in _files(root, problems)]
        for root, file in files[:MAX_FILES]:
            try:
                if file.stat().st_size > MAX_FILE:
                    raise ValueError(f"it is larger than {MAX_FILE:,} bytes")
                content = file.read_text("utf-8-sig")
            except (OSError, ValueError) as error:
                problems.append(f"{file.name} cannot be read: {error}")
                continue
            heading = _HEADING.search(content)
            shown = str(file.relative_to(root)) if file != root else file.name
            row = (heading[1] if heading else file.stem, shown, content)
            self._index.execute("INSERT INTO runbook (title, path, content) VALUES (?, ?, ?)", row)
        if len(files) > MAX_FILES:
            problems.append(f"{len(files) - MAX_FILES:,} files are beyond the {MAX_FILES:,} that are read")
        health = Health.WHOLE if not problems else Health.PARTIAL if files else Health.DARK
        self._coverage = Coverage(name, health, "; ".join(problems[:5]))

    def look_up(self, question: LookUp) -> Facts:
        words = dict.fromkeys(each for term in question.terms for each in _with_parent(term))
        if not words:
            return Facts((), self._coverage)
        # Each as a phrase: nothing of a term is an operator of the query language.
        asked = " OR ".join('"{}"'.format(word.replace("\0", " ").replace('"', '""')) for word in words)
        with self._lock:
            rows = self._index.execute(_FIND, (asked, MAX_FOUND)).fetchall()
        facts = tuple(Fact(entity=None, fields={"runbook.title": title, "runbook.path": path}) for title, path in rows)
        return Facts(facts, self._coverage)


def _with_parent(term: str) -> tuple[str, ...]:
    """A sub-technique's runbook may be that of its technique."""
    parent = term.partition(".")[0]
    return (term, parent) if parent != term and re.fullmatch(r"T\d{4}", parent) else (term,)


def _files(root: Path, problems: list[str]) -> list[Path]:
    if root.is_dir():
        return sorted(one for one in root.rglob("*.md") if one.is_file())
    if root.is_file():
        return [root]
    problems.append(f"{root.name} does not exist")
    return []
