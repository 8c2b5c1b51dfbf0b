"""Telling people: that they are asked, that time runs out, and how it ended."""

from __future__ import annotations

from typing import Final, Protocol

from watchfloor_core.notice import ApprovalNotice, NoticeKind
from watchfloor_core.store.engine import Store
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_workflows.action_messages import AnnounceInput
from watchfloor_workflows.authority.records import StoredProposal, read_proposal
from watchfloor_workflows.authority.sealing import requirement_from_json, terms_of

_WORDS: Final = {
    NoticeKind.REQUEST: "waits for a decision",
    NoticeKind.REMIND: "still waits for a decision",
    NoticeKind.ESCALATE: "still waits for a decision, and nobody has given one",
    NoticeKind.VETO_WINDOW: "happens at the deadline unless somebody says no",
    NoticeKind.ENDED: "is decided",
    NoticeKind.RECEIPT: "was acted on",
    NoticeKind.UNKNOWN: "may or may not have taken effect: look at the target, then lift the freeze",
}

_ALONG_THE_CHAIN: Final = (NoticeKind.REQUEST, NoticeKind.REMIND, NoticeKind.ESCALATE)


class Notices(Protocol):
    """Whoever brings notices to people."""

    def send(self, notice: ApprovalNotice) -> None:
        """Send to every channel that is configured. Raises `UnavailableError` where none took it."""
        ...


class NoChannels:
    """Nobody is told; people find what waits by `watchfloor approvals list`."""

    def send(self, notice: ApprovalNotice) -> None:
        """There is nowhere to send it."""


def announce(store: Store, notices: Notices, order: AnnounceInput) -> None:
    """Tell people of a proposal. A channel that is down must not hold up a decision, so the caller retries a little."""
    with store.read() as connection:
        stored = read_proposal(connection, order.ref.tenant, order.ref.proposal_id)
    notice = notice_of(stored, NoticeKind(order.kind), order.step)
    if notice is not None:
        notices.send(notice)


def notice_of(stored: StoredProposal, kind: NoticeKind, step: int = 0) -> ApprovalNotice | None:
    """The notice; None where the proposal was never put before anyone."""
    if stored.digest is None:
        return None
    terms = terms_of(stored)
    requirement = None if terms is None or not terms.requirement_json else requirement_from_json(terms.requirement_json)
    roles: tuple[str, ...] = () if requirement is None else requirement.roles
    if kind in _ALONG_THE_CHAIN and requirement is not None and requirement.chain:
        # The first is told at once, each further one by an escalation.
        link = step + 1 if kind is NoticeKind.ESCALATE else 0
        roles = (requirement.chain[min(link, len(requirement.chain) - 1)],)
    target = quote_untrusted(str(stored.draft.target.value))
    ended = f" ({stored.status}{': ' + quote_untrusted(stored.reason) if stored.reason else ''})"
    return ApprovalNotice(
        tenant=stored.tenant,
        proposal_id=stored.id,
        incident_id=stored.incident_id,
        kind=kind,
        action_class=stored.draft.action_class,
        target=target,
        digest=stored.digest,
        roles=roles,
        deadline_us=stored.deadline_us or 0,
        text=f"{stored.draft.action_class} {target} for {stored.incident_id} {_WORDS[kind]}"
        + (ended if kind in (NoticeKind.ENDED, NoticeKind.RECEIPT, NoticeKind.UNKNOWN) else ""),
    )
