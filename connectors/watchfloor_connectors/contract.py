"""What the contract kits of sources share: for the tests of those who write one."""

from __future__ import annotations

import threading
from collections.abc import Callable


def require(holds: bool, problem: str) -> None:
    """Raises AssertionError with the problem where it does not hold."""
    if not holds:
        raise AssertionError(problem)


def check_threads(ask: Callable[[], None]) -> None:
    """Ask from four threads at once, five times each; raises AssertionError with the first that any of them raised."""
    problems: list[BaseException] = []

    def repeat() -> None:
        try:
            for _ in range(5):
                ask()
        except BaseException as error:  # noqa: BLE001  # told by the thread that waits
            problems.append(error)

    threads = [threading.Thread(target=repeat) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if problems:
        raise AssertionError(f"four threads at once: {problems[0]!r}")
