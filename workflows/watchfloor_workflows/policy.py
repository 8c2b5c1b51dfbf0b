"""The autonomy matrix that is in force now: the operator's file, read again whenever it changes."""

from __future__ import annotations

import logging
import os.path
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

from watchfloor_core.errors import ConfigurationError
from watchfloor_core.settings import Settings
from watchfloor_guardrails.action_context import PolicyInForce
from watchfloor_guardrails.autonomy import DEFAULT_MATRIX_FILE, AutonomyMatrix, load_matrix
from watchfloor_guardrails.bundle import policy_digest
from watchfloor_guardrails.cedar import NO_POLICIES, CedarPolicies
from watchfloor_guardrails.limits import DEFAULT_LIMITS, LimitTable

logger = logging.getLogger(__name__)

OPERATORS_FILE: Final = "autonomy.yaml"
"""In the data directory, where no other is named."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One reading of the policy."""

    matrix: AutonomyMatrix | None
    """None where it cannot be read: then nothing may be done without a person."""
    problem: str | None = None
    """Why it cannot be read."""
    limits: LimitTable = DEFAULT_LIMITS
    cedar: CedarPolicies = NO_POLICIES
    version: int | None = None
    """None where it is not signed: a lone ``autonomy.yaml``, or the policy that ships."""
    author: str | None = None
    """Who signed it; they approve nothing that is ruled by it."""

    @property
    def is_signed(self) -> bool:
        return self.version is not None

    @property
    def digest(self) -> str | None:
        """SHA-256 (64 hex digits) over everything the policy says; None where it cannot be read."""
        return None if self.matrix is None else policy_digest(self.matrix, self.limits, self.cedar)

    def in_force(self, tenant: str, action_class: str) -> PolicyInForce | None:
        """As the ruling on an action of this class wants it; None where the policy cannot be read."""
        if self.matrix is None:
            return None
        return PolicyInForce(
            matrix=self.matrix,
            limits=self.limits.limits_for(tenant, action_class),
            cedar=self.cedar,
            digest=policy_digest(self.matrix, self.limits, self.cedar),
            is_signed=self.is_signed,
            author=self.author,
        )


_Stamp: TypeAlias = tuple[Path, int, int, int]
"""Path, modification time, size and inode: an editor that replaces the file within one clock tick is seen too."""


class PolicyFile:
    """Gives the policy as the file has it at that moment. Thread-safe.

    A file that cannot be read is never answered with what it said before: an operator who breaks the file while
    lowering a level must not go on running with the higher one.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._stamp: _Stamp | None = None
        self._policy = Policy(None, "not read yet")

    def current(self) -> Policy:
        """The policy in force. Never raises: what is wrong is in the answer, for the ruling to state."""
        with self._lock:
            try:
                path = policy_path(self._settings)
                stamp = _stamp(path)
            except OSError as error:
                self._stamp = None
                return Policy(None, f"{error.filename}: {error.strerror}")
            if stamp != self._stamp:
                self._policy = _read(path)
                self._stamp = stamp
                if self._policy.problem:
                    logger.error(
                        "the autonomy policy cannot be used; everything asks a person: %s", self._policy.problem
                    )
            return self._policy


def policy_path(settings: Settings) -> Path:
    """The file in force: the one that the settings name, else ``autonomy.yaml`` in the data directory, else ours."""
    if settings.autonomy_file is not None:
        return settings.autonomy_file
    own = settings.data_dir / OPERATORS_FILE
    # A link that leads nowhere is a policy that cannot be read, not one that was never written.
    return own if os.path.lexists(own) else DEFAULT_MATRIX_FILE


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size, status.st_ino


def _read(path: Path) -> Policy:
    try:
        return Policy(load_matrix(path.read_text("utf-8"), str(path)))
    except (ConfigurationError, OSError, UnicodeDecodeError) as error:
        return Policy(None, f"{path}: {error}" if isinstance(error, UnicodeDecodeError) else str(error))
