"""How often something was seen, and in what the times differ: what is said of several events holds for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from watchfloor_agents.investigation.view import EventEvidence
from watchfloor_core.logs.fields import Field
from watchfloor_core.report import Citation
from watchfloor_core.untrusted import quote_untrusted

MAX_VALUES: Final = 3
"""Of one field that are named where the events of a claim differ in it."""
MAX_QUOTED: Final = 160
"""Characters of a value in a sentence."""


def repetition(events: Sequence[EventEvidence], fields: Sequence[Field]) -> tuple[str, tuple[Citation, ...]]:
    """How many events there are, in words that end a sentence about the first, and in what of it others differ.

    With the citations of the values that are named beside the first one's; nothing for a single event.
    """
    if len(events) < 2:
        return "", ()
    parts = [f"{len(events)} times"]
    cited: list[Citation] = []
    for name in fields:
        having = [one for one in events if one.text(name)]
        values: dict[str, EventEvidence] = {}
        for one in having:
            values.setdefault(one.text(name).casefold(), one)
        some = f" in {len(having)} of them" if len(having) < len(events) else ""
        if len(values) > 1:
            named = [one.cite(name) for one in list(values.values())[:MAX_VALUES]]
            told = ", ".join(quote_untrusted(one.text, MAX_QUOTED) for one in named)
            parts.append(f"with {len(values)} values of {name.value}{some}: {told}")
            cited += named[1:]
        elif some:
            parts.append(f"with {name.value}{some}")
    told = f"{parts[0]}, {'; '.join(parts[1:])}" if parts[1:] else parts[0]
    return f" ({told})", tuple(cited)
