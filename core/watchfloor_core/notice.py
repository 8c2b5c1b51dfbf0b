"""What people are told about proposals that wait for them, on whatever channel they have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class NoticeKind(StrEnum):
    REQUEST = "request"
    """Someone is to decide."""
    REMIND = "remind"
    ESCALATE = "escalate"
    """Nobody has decided yet; the next role of the chain is told."""
    VETO_WINDOW = "veto_window"
    """It happens at the deadline unless somebody says no."""
    ENDED = "ended"
    """Approved, denied, expired or voided; see ``text``."""
    RECEIPT = "receipt"
    """It was executed; see ``text``."""
    UNKNOWN = "unknown"
    """Whether it took effect cannot be told: a person must look."""
    TASK = "task"
    """A playbook asks people to do something; ``proposal_id`` is its run's."""
    TASK_REMIND = "task_remind"
    """Half of the time for that is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalNotice:
    """One message. Every text in it is made safe to show already; none is a credential."""

    tenant: str
    proposal_id: str
    incident_id: str
    kind: NoticeKind
    action_class: str
    target: str
    """Quoted, with control and bidirectional characters shown."""
    digest: str
    """Of the proposal: what a decision names."""
    roles: tuple[str, ...]
    """Who is asked."""
    deadline_us: int
    text: str
    """One line for a person."""


class ApprovalChannel(Protocol):
    """A way to reach people. It carries no authority: what comes back is authenticated like everything else."""

    name: str

    def notify(self, notice: ApprovalNotice) -> None:
        """Send it. Raises `UnavailableError` where it may be tried again, `ConfigurationError` where not."""
        ...
