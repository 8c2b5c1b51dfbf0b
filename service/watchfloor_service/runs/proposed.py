"""Actions that were proposed in a run: waiting until they are ruled on, and showing those that wait for a person."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.text import Text

from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import open_store
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.proposal import ProposalStatus
from watchfloor_service.fitted_table import FittedTable
from watchfloor_workflows.authority.records import StoredProposal, list_proposals

LONGEST_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1


def until_ruled(settings: Settings, tenant: str) -> None:
    """Return when no draft is left, or after half a minute: what is slow then waits in its workflow."""
    store = open_store(settings.store_url)
    try:
        deadline = time.monotonic() + LONGEST_S
        while time.monotonic() < deadline:
            with store.read() as connection:
                if not list_proposals(connection, tenant, statuses=[ProposalStatus.DRAFTED], limit=1):
                    return
            time.sleep(_LOOK_EVERY_S)
    finally:
        store.close()


def proposed_table(proposed: Sequence[StoredProposal]) -> FittedTable:
    """What waits for people, with the reason in the proposer's words."""
    rows = [
        [
            Text(one.id),
            Text(f"{one.draft.action_class} {quote_untrusted(str(one.draft.target.value), 60)}"),
            Text(one.incident_id),
            Text(quote_untrusted(one.draft.purpose)),
        ]
        for one in proposed
    ]
    title = "What an agent proposes to do, and may not without you"
    return FittedTable(["proposal", "action", "for incident", "why"], rows, box=box.SIMPLE, title=title)
