"""What a notice says, as lines that no program along the way turns into a link, a mention or markup.

Targets and reasons hold what an attacker wrote. Mail programs and chats make links of bare host names, so foreign text
is defanged as analysts know it: ``evil[.]example``, ``hxxps[:]//``. The exact text is in the view that is signed.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from watchfloor_core.clock import to_iso
from watchfloor_core.notice import ApprovalNotice, NoticeKind
from watchfloor_core.untrusted import escape_untrusted

MAX_TARGET: Final = 300
MAX_LINE: Final = 600
"""Characters of foreign text; the smallest limit of any channel is 3,000 for a block."""

_INNER_DOT: Final = re.compile(r"(?<=\w)[.\u3002\uff0e\uff61](?=\w)")
"""A full stop as host names take it, with those that IDNA reads as one."""
_SCHEME: Final = re.compile(r"(?i)\b(h)tt(ps?)(?=:)")
_COLON_SLASH: Final = re.compile(r":(?=[/\\]{1,2})")
_AT: Final = re.compile(r"[@\uff20\ufe6b]")

_HEADLINES: Final = {
    NoticeKind.REQUEST: "Approval needed",
    NoticeKind.REMIND: "Approval still needed",
    NoticeKind.ESCALATE: "Approval needed: nobody has decided yet",
    NoticeKind.VETO_WINDOW: "Will be done unless somebody denies it",
    NoticeKind.ENDED: "No decision is waited for any more",
    NoticeKind.RECEIPT: "Done",
    NoticeKind.TASK: "A playbook has a task for people",
    NoticeKind.TASK_REMIND: "A playbook's task is still open",
    NoticeKind.UNKNOWN: "A person must look: whether it took effect cannot be told",
}
_TASKS: Final = frozenset({NoticeKind.TASK, NoticeKind.TASK_REMIND})
_WAITING: Final = frozenset({NoticeKind.REQUEST, NoticeKind.REMIND, NoticeKind.ESCALATE, NoticeKind.VETO_WINDOW})


@dataclass(frozen=True, slots=True)
class NoticeText:
    """A notice in words; still to be escaped for the markup of where it goes."""

    headline: str
    """Ours alone."""
    facts: tuple[tuple[str, str], ...]
    """Label and value; the values of foreign text are defanged and bounded."""
    is_waiting: bool
    """Somebody can still say no."""
    review_url: str
    """Opens the proposal in the console; opening it decides nothing."""
    review_command: str


def defang(text: str, limit: int = MAX_LINE) -> str:
    """Foreign text as one visible line of at most ``limit`` characters before marks, in which nothing is a link."""
    shown = escape_untrusted(text[:limit])
    if len(text) > limit:
        shown += f"…(+{len(text) - limit} characters)"
    shown = _INNER_DOT.sub("[.]", shown)
    shown = _SCHEME.sub(r"\1xx\2", shown)
    shown = _COLON_SLASH.sub("[:]", shown)
    return _AT.sub("[@]", shown)


def notice_text(notice: ApprovalNotice, public_url: str) -> NoticeText:
    """What ``notice`` says, with the console of ``public_url`` to look further."""
    is_task = notice.kind in _TASKS
    return NoticeText(
        headline=_HEADLINES[notice.kind],
        facts=(
            ("Action", defang(notice.action_class)),
            ("Target", defang(notice.target, MAX_TARGET)),
            ("What", defang(notice.text)),
            ("Asked", defang(", ".join(notice.roles)) or "nobody in particular"),
            ("Deadline", to_iso(notice.deadline_us)),
            ("Tenant", defang(notice.tenant)),
            ("Incident", defang(notice.incident_id)),
            ("Run" if is_task else "Proposal", defang(notice.proposal_id)),
            ("Digest", defang(notice.digest)),
        ),
        is_waiting=notice.kind in _WAITING,
        review_url=task_url(public_url, notice.proposal_id) if is_task else review_url(public_url, notice.proposal_id),
        review_command=task_command(notice.proposal_id) if is_task else review_command(notice.proposal_id),
    )


def review_advice(proposal_id: str, public_url: str) -> str:
    """What somebody is told who would like to say yes."""
    return (
        "A yes is your signature over this very action; nothing in a chat can give it.\n"
        f"In the console: {review_url(public_url, proposal_id)}\n"
        f"In a terminal: {review_command(proposal_id)}"
    )


def review_url(public_url: str, proposal_id: str) -> str:
    """Where the console shows the proposal."""
    return f"{public_url.rstrip('/')}/approvals/{quote(proposal_id, safe='')}"


def task_url(public_url: str, run_id: str) -> str:
    """Where the console shows a playbook's run."""
    return f"{public_url.rstrip('/')}/playbook-runs/{quote(run_id, safe='')}"


def task_command(run_id: str) -> str:
    """What shows a playbook's run in a terminal."""
    return f"watchfloor playbook show {shlex.quote(run_id)}"


def review_command(proposal_id: str) -> str:
    """What shows it in a terminal."""
    return f"watchfloor approvals show {shlex.quote(proposal_id)}"
