"""An executor to be killed: it stops for ever at chosen moments of chosen targets, and tells of it by files.

Usage: ``python crash_executor.py FOLDER [TARGET=MOMENT …]``; settings come from the environment. Its tool is the
blocklist that ships, so that what is left behind is what a real tool leaves behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import ClassVar

from watchfloor_connectors.targets.blocklist import Blocklist, BlocklistOptions
from watchfloor_connectors.targets.registry import ActionTargets, Entry
from watchfloor_core.errors import UnavailableError
from watchfloor_core.settings import Settings
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.effect import ReadBack, TargetState
from watchfloor_workflows.executor import run_executor

DEAD_AFTER_S = 5.0
"""More than the time between two signs of life; less than Temporal waits for one."""
LOOK, ACT, DONE = "look", "act", "done"
"""Before the grant is consumed; before the effect; after it and before the receipt."""
PAUSE = "pause"
"""As ``act``, but the whole process stands still, and goes on when it is told to."""
BLIND = "blind"
"""Cannot tell afterwards whether it took effect."""


class Outside(Blocklist):
    """The outside world: a list in a file, beside a log of all that was tried."""

    folder: ClassVar[Path]
    moments: ClassVar[dict[str, str]]
    looks: ClassVar[Counter[str]] = Counter()

    def read_state(self, target: Target) -> TargetState:
        self.looks[target.value] += 1
        # The first look is for the proposal.
        if self.looks[target.value] > 1:
            self.stop_at(LOOK, target.value)
        return super().read_state(target)

    def do(self, action: Action, key: str) -> None:
        value = action.target.value
        log(self.folder, f"tried {action.action_class} {value}")
        self.stop_at(ACT, value)
        if self.moments.get(value) == PAUSE:
            tell(self.folder, PAUSE, value)
            os.kill(os.getpid(), signal.SIGSTOP)
        super().do(action, key)
        log(self.folder, f"did {action.action_class} {value}")
        self.stop_at(DONE, value)

    def read_back(self, action: Action, key: str) -> ReadBack:
        if self.moments.get(action.target.value) == BLIND:
            raise UnavailableError("nobody can see that from here")
        return super().read_back(action, key)

    def stop_at(self, moment: str, value: str) -> None:
        if self.moments.get(value) == moment:
            tell(self.folder, moment, value)
            threading.Event().wait()


def log(folder: Path, line: str) -> None:
    with (folder / "log").open("a") as file:
        file.write(line + "\n")


def tell(folder: Path, moment: str, value: str) -> None:
    (folder / f"{moment}-{value}").touch()


def main() -> None:
    Outside.folder = Path(sys.argv[1])
    Outside.moments = dict(argument.split("=") for argument in sys.argv[2:])
    settings = Settings()
    entry = Entry("edge", Outside, None, Outside.classes, BlocklistOptions())
    tools = ActionTargets([entry], settings.data_dir)
    asyncio.run(run_executor(settings, tools=tools, dead_after_s=DEAD_AFTER_S))


if __name__ == "__main__":
    main()
