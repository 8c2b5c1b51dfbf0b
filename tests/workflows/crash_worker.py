"""A worker that is killed, once each, at chosen moments of chosen playbook runs.

Usage: ``python crash_worker.py FOLDER [ADDRESS=MOMENT …]``; settings come from the environment. A run is chosen by the
address that it was given, and a run that takes another one back by that one's. What has killed a worker once has left a
file, and kills none of those that come after it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_workflows import playbook_activities
from watchfloor_workflows.authority.records import read_proposal
from watchfloor_workflows.playbook_messages import RunRef, TurnResult
from watchfloor_workflows.playbooks import records, turning, undoing
from watchfloor_workflows.playbooks.records import StoredRun, list_work, read_run
from watchfloor_workflows.playbooks.starting import Shelf
from watchfloor_workflows.worker import run_worker

WRITING, BEGUN = "writing", "begun"
"""In a turn's transaction, when all but the run itself is written; after a turn that has begun something."""
ENDED = "ended"
"""Before the turn that would take in how an action has ended."""
UNDOING = "undoing"
"""As ``begun``, of a run that takes another one back."""
BETWEEN = "between"
"""In the transaction of the turn that notes one undo and begins the next."""
_take_turn, _write_run = turning.take_turn, records.write_run


def die_at(moment: str, address: str) -> None:
    mark = Path(sys.argv[1]) / f"{moment}-{address}"
    if f"{address}={moment}" in sys.argv[2:] and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def take_turn_and_die(store: Store, shelf: Shelf, ref: RunRef, after: int) -> TurnResult:
    with store.read() as connection:
        run = read_run(connection, ref.tenant, ref.run_id)
        is_back = run.undoes_run is not None
        address = _address(read_run(connection, ref.tenant, run.undoes_run) if run.undoes_run else run)
        work = list_work(connection, ref.tenant, ref.run_id, "open")
        has_ended = any(
            not read_proposal(connection, ref.tenant, one.proposal_id).status.is_open for one in work if one.proposal_id
        )
    if has_ended and not is_back:
        die_at(ENDED, address)
    turn = _take_turn(store, shelf, ref, after)
    if turn.proposals:
        die_at(UNDOING if is_back else BEGUN, address)
    return turn


def die_or_write_run(connection: Any, run: StoredRun, values: Any) -> None:
    if run.undoes_run is None:
        die_at(WRITING, _address(run))
    elif len(list_work(connection, run.tenant, run.id)) > 1:
        die_at(BETWEEN, _address(read_run(connection, run.tenant, run.undoes_run)))
    _write_run(connection, run, values)


def _address(run: StoredRun) -> str:
    return str(run.given["__address__"].value)


def be(main: Callable[[], None], environment: Mapping[str, str], output: str, arguments: Sequence[str]) -> None:
    """What a process of these settings does until it is killed."""
    os.environ.update(environment)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = [main.__module__, *arguments]
    main()


def main() -> None:
    playbook_activities.take_turn = take_turn_and_die  # type: ignore[attr-defined]
    turning.write_run = die_or_write_run  # type: ignore[attr-defined]
    undoing.write_run = die_or_write_run  # type: ignore[attr-defined]
    asyncio.run(run_worker(Settings()))


if __name__ == "__main__":
    main()
