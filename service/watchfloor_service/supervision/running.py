"""How another command finds a running stack: ``run.json`` in its data directory."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from watchfloor_service.supervision.claim import is_claimed

RUN_FILE: Final = "run.json"
LASTING: Final = ("up", "demo")
"""Commands that stay up; `run` and `demo --once` stop their stack when their own work is done."""


@dataclass(frozen=True, slots=True)
class RunningStack:
    """A stack as it describes itself."""

    pid: int
    """The supervisor."""
    command: str
    since_us: int
    temporal_address: str
    api_url: str | None
    autonomy_file: str | None
    """As that stack was told; its worker decides by this matrix."""
    store: str
    """The database, without its password."""
    processes: dict[str, int] = field(default_factory=dict)
    """Part → process id."""

    @property
    def is_lasting(self) -> bool:
        """True where it stays until someone stops it, so that other commands may build on it."""
        return self.command in LASTING

    def write(self, data_dir: Path) -> None:
        """Replace the file at once, readable for its owner only."""
        path = data_dir / RUN_FILE
        fresh = path.with_suffix(".json.new")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file, indent=2)
        fresh.replace(path)


def find_running(data_dir: Path) -> RunningStack | None:
    """The stack that runs in the directory; None where none does, whatever file a killed one left behind."""
    if not is_claimed(data_dir):
        return None
    try:
        return RunningStack(**json.loads((data_dir / RUN_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        # Not there yet, or written by another version.
        return None


def forget_running(data_dir: Path) -> None:
    (data_dir / RUN_FILE).unlink(missing_ok=True)
