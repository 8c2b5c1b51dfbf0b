"""A part of the embedded stack: what is started, how one sees that it lives, and how long it may take to stop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

Probe = Callable[[], Awaitable[bool]]
"""Asks a part from outside whether it answers; False or an OSError where it does not."""


class PartName(StrEnum):
    TEMPORAL = "temporal"
    WORKER = "worker"
    EXECUTOR = "executor"
    CORRELATOR = "correlator"
    API = "api"


@dataclass(frozen=True, slots=True)
class Part:
    """One child process of the supervisor."""

    name: PartName
    command: tuple[str, ...]
    """Absolute path first."""
    environment: Mapping[str, str]
    """All of it; nothing is inherited besides."""
    probe: Probe | None
    """None: only the part itself says that it is ready and lives."""
    has_heartbeat: bool
    """It speaks over a pipe that it gets as ``--heartbeat FD``."""
    silent_s: float
    """Without a sign of life for so long it is killed and started again."""
    stop_s: float
    """So long after SIGTERM it is killed."""
