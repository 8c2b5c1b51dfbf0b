"""Where the programs behind a case came from, and whether that is where they began."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from watchfloor_agents.investigation.engine import Claim
from watchfloor_agents.investigation.lineage import MAX_FOLLOWED, chain_of
from watchfloor_agents.investigation.view import CaseView, EventEvidence
from watchfloor_core.evidence import EvidenceKind
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import HypothesisKind, Stance
from watchfloor_core.untrusted import quote_untrusted

ORIGIN: Final = "process_origin"
"""Code of the claim that says where the programs begin."""
EARLIEST: Final = "earliest_program"
"""Code of the claim that says how far back they were seen, where something unseen started them."""

_TOLD: Final = (Field.PROCESS_EXECUTABLE, Field.PROCESS_COMMAND_LINE, Field.HOST_NAME, Field.USER_NAME)
"""Of a program's start."""
_PARENT: Final = (Field.PARENT_EXECUTABLE, Field.PARENT_NAME, Field.PARENT_PID, Field.PARENT_ENTITY_ID)
_NOTHING: Final = frozenset({"", "-", "0"})
"""What sensors write where there is no parent, or none that they know."""
_STARTER: Final = re.compile(
    r"(?:[a-z]:|\\device\\harddiskvolume\d+)\\windows\\system32\\(?:services|smss|userinit|wininit|winlogon)\.exe"
    r"|(?:/usr)?/lib/systemd/systemd|(?:/usr)?/sbin/init|/sbin/launchd"
)
"""Programs of the system that start services and sessions: what they start begins there. By their whole place, as
anybody may name a program like one of them."""


def earliest_program(view: CaseView, claims: Sequence[Claim]) -> Claim | None:
    """The earliest program in the line of the strongest finding; None where no start of it was found.

    Its code is `ORIGIN` where the line begins with it, `EARLIEST` where it names a parent that was not found.
    """
    ranked = sorted(claims, key=lambda one: (-one.log_odds, one.time_us, one.code))
    for claim in ranked:
        evidence = view.evidence.get(claim.citations[0].evidence_id) if claim.citations else None
        if claim.about is not HypothesisKind.ATTACK or evidence is None or evidence.kind is not EvidenceKind.EVENT:
            continue
        chain = chain_of(view, EventEvidence(evidence))
        if chain:
            is_whole = all(answer.can_say_no for answer in view.answers if answer.is_about_telemetry)
            return _claim(chain[-1], len(chain), is_whole=is_whole)
    return None


def _claim(start: EventEvidence, length: int, *, is_whole: bool) -> Claim:
    parent = next((name for name in _PARENT if start.text(name) not in _NOTHING), None)
    is_origin = parent is None or any(
        _STARTER.fullmatch(start.text(name).lower()) for name in (Field.PARENT_EXECUTABLE, Field.PROCESS_EXECUTABLE)
    )
    named = [name for name in _TOLD if start.text(name)]
    told = _quoted(start, named)
    if parent is None:
        text = f"The line of programs begins with {told} ({length} found in it)"
    elif is_origin:
        text = f"The line of programs begins with {told}, started by {_quoted(start, [parent])} ({length} found in it)"
    else:
        unseen = "is not in the logs" if is_whole else "is not in what could be seen of the logs"
        why = unseen if length < MAX_FOLLOWED else "was not followed any further"
        text = f"The earliest program seen of this is {told}; its parent {_quoted(start, [parent])} {why}"
    return Claim(
        code=ORIGIN if is_origin else EARLIEST,
        text=text,
        citations=tuple(start.cite(name) for name in (*named, *((parent,) if parent else ()))),
        time_us=start.time_us,
        stance=Stance.NEUTRAL,
    )


def _quoted(start: EventEvidence, names: Sequence[Field]) -> str:
    return ", ".join(f"{name.value} {quote_untrusted(start.text(name), 160)}" for name in names)
