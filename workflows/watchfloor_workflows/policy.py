"""The operator's policy that is in force now: read again whenever it changes, and nothing without a person where it
cannot be.

It is a signed bundle (`watchfloor_guardrails.bundle`) where one was put in force, else the lone ``autonomy.yaml``.
"""

from __future__ import annotations

import logging
import os.path
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from watchfloor_core.clock import now_us
from watchfloor_core.errors import ConfigurationError, WatchfloorError
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_guardrails.action_context import PolicyInForce
from watchfloor_guardrails.autonomy import DEFAULT_MATRIX_FILE, AutonomyMatrix, load_matrix
from watchfloor_guardrails.bundle import MATRIX_FILE, policy_digest, read_bundle
from watchfloor_guardrails.bundle_signature import SIGNATURE_FILE, Manifest, verify_bundle
from watchfloor_guardrails.cedar import NO_POLICIES, CedarPolicies
from watchfloor_guardrails.limits import DEFAULT_LIMITS, LimitTable
from watchfloor_workflows.policy_folder import FolderStamp, current_bundle, read_folder, stamp_of
from watchfloor_workflows.policy_records import ActivatedPolicy, last_activated, read_key

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


RECHECK_S: Final = 5.0
"""A key that was revoked, and a version that was put in force elsewhere, are noticed within so many seconds."""

_Stamp: TypeAlias = tuple[Path, int, int, int]
"""Path, modification time, size and inode: an editor that replaces the file within one clock tick is seen too."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the files say, whoever wrote them."""

    policy: Policy
    files: Mapping[str, bytes] | None
    """Of a bundle; None for a lone file."""


class PolicyFile:
    """Gives the policy as the files have it at that moment. Thread-safe.

    A policy that cannot be read is never answered with what it said before: an operator who breaks the file while
    lowering a level must not go on running with the higher one. Where a signed bundle was ever put in force, only the
    newest is: neither an older one nor an unsigned file takes its place.

    Without a store no signature can be checked, and a bundle counts as unreadable.
    """

    def __init__(
        self, settings: Settings, store: Store | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._lock = Lock()
        self._stamp: _Stamp | FolderStamp | None = None
        self._reading = _Reading(Policy(None, "not read yet"), None)
        self._policy = self._reading.policy
        self._good_until = 0.0

    def current(self) -> Policy:
        """The policy in force. Never raises: what is wrong is in the answer, for the ruling to state."""
        with self._lock:
            before = self._policy.problem
            try:
                self._policy = self._now()
            except OSError as error:
                self._stamp = None
                self._policy = Policy(None, f"{error.filename}: {error.strerror}")
            if self._policy.problem not in (None, before):
                logger.error("the policy cannot be used; everything asks a person: %s", self._policy.problem)
            return self._policy

    def _now(self) -> Policy:
        bundle = current_bundle(self._settings.data_dir)
        is_bundle = os.path.lexists(bundle)
        path = bundle if is_bundle else _lone_path(self._settings)
        stamp = stamp_of(path) if is_bundle else _stamp(path)
        if stamp != self._stamp:
            self._reading = _read_bundle(path) if is_bundle else _read_lone(path)
            self._stamp, self._good_until = stamp, 0.0
        if self._reading.policy.problem is not None:
            return self._reading.policy
        now = self._clock()
        if now < self._good_until:
            return self._policy
        policy = self._authorised(self._reading)
        # What was refused is looked at again the next time: the remedy may lie in the store.
        self._good_until = now + RECHECK_S if policy.problem is None else 0.0
        return policy

    def _authorised(self, reading: _Reading) -> Policy:
        """The policy, where the store bears out that it is the one to be in force."""
        if self._store is None:
            return (
                reading.policy if reading.files is None else _refused("no store is at hand to check its signature by")
            )
        try:
            with self._store.read() as connection:
                last = last_activated(connection)
                if reading.files is None:
                    return reading.policy if last is None else _refused(_superseded(last))
                if self._settings.autonomy_file is not None:
                    return _refused(
                        f"{self._settings.autonomy_file} is named beside it; unset WATCHFLOOR_AUTONOMY_FILE"
                    )
                manifest = verify_bundle(reading.files, partial(read_key, connection), now_us())
        except (WatchfloorError, SQLAlchemyError) as error:
            return _refused(str(error))
        if last is None or not _is_same(last, manifest, reading.files):
            return _refused(_not_activated(last, manifest))
        return replace(reading.policy, version=manifest.version, author=manifest.author)


def policy_path(settings: Settings) -> Path:
    """The matrix in force: the bundle's, else the one that the settings name, else ``autonomy.yaml``, else ours."""
    bundle = current_bundle(settings.data_dir)
    return bundle / MATRIX_FILE if os.path.lexists(bundle) else _lone_path(settings)


def _lone_path(settings: Settings) -> Path:
    if settings.autonomy_file is not None:
        return settings.autonomy_file
    own = settings.data_dir / OPERATORS_FILE
    # A link that leads nowhere is a policy that cannot be read, not one that was never written.
    return own if os.path.lexists(own) else DEFAULT_MATRIX_FILE


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return path, status.st_mtime_ns, status.st_size, status.st_ino


def _read_lone(path: Path) -> _Reading:
    try:
        return _Reading(Policy(load_matrix(path.read_text("utf-8"), str(path))), None)
    except (ConfigurationError, OSError, UnicodeDecodeError) as error:
        problem = f"{path}: {error}" if isinstance(error, UnicodeDecodeError) else str(error)
        return _Reading(Policy(None, problem), None)


def _read_bundle(path: Path) -> _Reading:
    try:
        files = read_folder(path)
        content = read_bundle(files, str(path))
        return _Reading(Policy(content.matrix, limits=content.limits, cedar=content.cedar), files)
    except ConfigurationError as error:
        return _Reading(Policy(None, str(error)), {})


def _refused(reason: str) -> Policy:
    return Policy(None, f"the policy is not in force: {reason}")


def _superseded(last: ActivatedPolicy) -> str:
    return (
        f"signed policy {last.version} of {last.author!r} was put in force here, and is gone; use "
        "`watchfloor policy activate` on it or on a later one"
    )


def _is_same(last: ActivatedPolicy, manifest: Manifest, files: Mapping[str, bytes]) -> bool:
    return last.version == manifest.version and last.envelope.encode() == files[SIGNATURE_FILE]


def _not_activated(last: ActivatedPolicy | None, manifest: Manifest) -> str:
    newest = "none was" if last is None else f"the last one was {last.version} of {last.author!r}"
    return (
        f"version {manifest.version} of {manifest.author!r} is not the last that was put in force here ({newest}); "
        "use `watchfloor policy activate`"
    )
