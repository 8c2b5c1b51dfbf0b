"""What an investigation could not tell, and why: one entry for each source, however many questions it met."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from watchfloor_agents.investigation.relating import NOBODY_ASKED
from watchfloor_agents.investigation.view import CaseView, kinds_asked
from watchfloor_core.logs.source import Health
from watchfloor_core.report import Unknown
from watchfloor_core.untrusted import quote_untrusted

MAX_REASONS = 5
"""Of one source, in words."""


_UNSAID: Final = {Health.PARTIAL: "it shows a part of what was asked", Health.DARK: "it shows nothing"}
"""Where a source gives no reason."""


@dataclass(slots=True)
class _Source:
    is_dark: bool = True
    """In every answer."""
    lacks: set[str] = field(default_factory=set)
    """Kinds of event that were asked for and that it has none of."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Everything else that it says, with how many answers it stands in."""
    limits: bool = False
    """Events that it should have shown could have stayed unseen: it bears on how certain the report can be."""


def unknowns(view: CaseView, *, has_origin: bool) -> tuple[Unknown, ...]:
    return tuple(_found(view, has_origin=has_origin))


def _found(view: CaseView, *, has_origin: bool) -> Iterator[Unknown]:
    if not any(answer.coverage for answer in view.answers if answer.is_about_telemetry):
        text = f"{NOBODY_ASKED}; all that is known is what the alerts say"
        yield Unknown(text=text, cause="not_collected")
    for name, source in sorted(_sources(view).items()):
        if source.lacks or source.reasons:
            cause = "dark_source" if source.is_dark else "partial_source"
            yield Unknown(text=_told(name, source), cause=cause, source=name if source.limits else "")
    cut = sum(answer.is_cut for answer in view.answers)
    if cut:
        yield Unknown(text=f"{cut} questions had more answers than were read", cause="cut")
    if not has_origin:
        yield Unknown(text="Where the programs came from was not established", cause="not_collected")


def _sources(view: CaseView) -> dict[str, _Source]:
    found: dict[str, _Source] = {}
    for answer in view.answers:
        types = kinds_asked(answer.question.query)
        for one in answer.coverage:
            source = found.setdefault(one.source, _Source())
            source.is_dark &= one.health is Health.DARK
            if one.health is Health.WHOLE:
                continue
            source.limits |= answer.is_about_telemetry and one in answer.concerned
            missing = types - one.types if one.types and not types & one.types else frozenset()
            source.lacks |= {each.value for each in missing}
            for reason in _reasons(one.reason or _UNSAID[one.health], has_types=bool(missing)):
                source.reasons[reason] = source.reasons.get(reason, 0) + 1
    return found


def _reasons(reason: str, *, has_types: bool) -> list[str]:
    """Without the part that names the kinds: those are counted together."""
    parts = [part for part in reason.split("; ") if part]
    return [part for part in parts if not (has_types and part.startswith("it holds no event of the kind"))]


def _told(name: str, source: _Source) -> str:
    commonest = sorted(source.reasons, key=lambda one: (-source.reasons[one], one))
    parts = [quote_untrusted(one, 200) for one in commonest[:MAX_REASONS]]
    if len(commonest) > MAX_REASONS:
        parts.append(f"and {len(commonest) - MAX_REASONS} more reasons")
    if source.lacks:
        parts.append(f"it has no event of the kinds {', '.join(sorted(source.lacks))}")
    return f"Of the source {quote_untrusted(name, 80)}: {'; '.join(parts)}"
