"""What runs of playbooks have done for them. Each is safe to repeat after a lost result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Threads
from typing import Any

from temporalio import activity

from watchfloor_core.store.engine import Store
from watchfloor_workflows import wire
from watchfloor_workflows.action_activities import in_thread
from watchfloor_workflows.authority.announcing import Notices
from watchfloor_workflows.playbook_messages import TakeTurnInput, TellTaskInput, TurnResult
from watchfloor_workflows.playbooks.starting import Shelf
from watchfloor_workflows.playbooks.tasks import tell_task
from watchfloor_workflows.playbooks.turning import take_turn


class PlaybookActivities:
    """The worker's part of playbook runs."""

    def __init__(self, store: Store, shelf: Shelf, threads: Threads, notices: Notices) -> None:
        self._store = store
        self._shelf = shelf
        self._threads = threads
        self._notices = notices

    @property
    def all(self) -> Sequence[Callable[..., Any]]:
        """For the worker, which takes activities of any signature."""
        return [self.take_turn, self.tell_task]

    @activity.defn(name=wire.TAKE_TURN)
    async def take_turn(self, order: TakeTurnInput) -> TurnResult:
        """Go on with a run as far as it goes now."""
        return await in_thread(self._threads, lambda: take_turn(self._store, self._shelf, order.ref, order.after))

    @activity.defn(name=wire.TELL_TASK)
    async def tell_task(self, order: TellTaskInput) -> None:
        """Tell people of a task that waits for them."""
        await in_thread(self._threads, lambda: tell_task(self._store, self._notices, order.ref, order.key))
