"""What a person reads before signing: made from the digest's preimage alone, by this code alone.

No model and no proposer writes a word of it. Every value that somebody else wrote stands in quotes with control,
bidirectional and invisible characters shown, so that nothing in it can move, hide or imitate another line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from watchfloor_core.clock import to_iso
from watchfloor_core.untrusted import quote_untrusted
from watchfloor_guardrails.action import MAX_TEXT, Labelled
from watchfloor_guardrails.catalogue import CREATE_FILTER, TargetKind
from watchfloor_guardrails.proposal import ActionProposal
from watchfloor_guardrails.rule_filter import parse_filter
from watchfloor_guardrails.touching import touches_nothing


def render_view(proposal: ActionProposal) -> str:
    """The view, lines of plain text. Equal proposals have equal views, and the digest is in the last line."""
    return "\n".join(_lines(proposal)) + "\n"


def view_digest(view: str) -> str:
    """SHA-256 (64 hex digits) of a view's UTF-8."""
    return hashlib.sha256(view.encode()).hexdigest()


def _lines(proposal: ActionProposal) -> Iterator[str]:
    blast = proposal.blast
    yield f"Action      {_quoted(proposal.action_class)}"
    yield f"Target      {_quoted(proposal.target_kind)} {_labelled(proposal.target)}"
    yield from _set_aside(proposal)
    yield f"With tool   {_quoted(proposal.tool)}"
    for name, value in sorted(proposal.arguments.items()):
        yield f"Argument    {_quoted(name)} = {_labelled(value)}"
    yield f"Touches     {_touched(proposal)}"
    yield f"Criticality tier {blast.tier}{' (CROWN JEWEL)' if blast.tier == 0 else ''}"
    yield f"Undo        {_undo(proposal)}"
    requester = proposal.proposer.requester
    asked = f", asked by {_quoted(requester)}" if requester else ""
    yield f"Proposed by {proposal.proposer.kind} {_quoted(proposal.proposer.name)}{asked}"
    yield (
        f"For         incident {_quoted(proposal.incident_id)} revision {proposal.incident_revision} "
        f"of tenant {_quoted(proposal.tenant)}"
    )
    yield f"Valid until {_moment(proposal.expires_us)}"
    yield f"Evidence    {proposal.evidence_root}"
    yield f"Target now  {proposal.state_digest}"
    yield f"Tool pin    {proposal.tool_pin}"
    yield f"Policy      {proposal.policy_digest} at kill epoch {proposal.kill_epoch}"
    yield f"Digest      {proposal.digest}"


def _quoted(text: str) -> str:
    return quote_untrusted(text, MAX_TEXT)


def _labelled(value: Labelled) -> str:
    shown = _quoted(value.value) if isinstance(value.value, str) else str(value.value)
    label = f"written by {value.integrity.name.lower()}"
    if value.is_tainted:
        label = "AN ATTACKER COULD HAVE WRITTEN THIS"
    elif value.endorsed_by:
        label = f"vouched for by {_quoted(value.endorsed_by)}"
    return f"{shown} ({label})"


def _undo(proposal: ActionProposal) -> str:
    known = proposal.known_class
    if proposal.undo_class is None and known is not None and known.leaves_nothing:
        return "none is needed: nothing of it remains"
    if proposal.undo_class is None:
        return "none: THIS CANNOT BE TAKEN BACK"
    if proposal.lease_s is None:
        return f"{_quoted(proposal.undo_class)}, when a person asks for it"
    return f"{_quoted(proposal.undo_class)}, by itself {proposal.lease_s:,} seconds after the effect"


def _set_aside(proposal: ActionProposal) -> Iterator[str]:
    """What a filter hides, or hides no longer, in words; of any other target nothing."""
    if proposal.target_kind != TargetKind.FILTER:
        return
    try:
        wanted = parse_filter(str(proposal.target.value))
    except ValueError as error:
        yield f"Concerns    nothing: no tool takes it, as {_quoted(str(error))}"
        return
    named = " and ".join(f"{_quoted(name)} = {_quoted(value)}" for name, value in wanted.event)
    verb = "Sets aside " if proposal.action_class == CREATE_FILTER else "Shows again"
    yield f"{verb} what rule {wanted.rule} reports of events with {named}"


def _touched(proposal: ActionProposal) -> str:
    blast = proposal.blast
    if proposal.target_kind == TargetKind.FILTER:
        less = "less" if proposal.action_class == CREATE_FILTER else "again all"
        return f"no system; {less} is seen of one host"
    if touches_nothing(proposal.target_kind):
        return "no system; people read it"
    if not blast.in_inventory:
        return "nothing that the inventory lists; counts as one asset"
    share = f"{blast.fleet_ppm / 10_000:.4f} %"
    return f"{blast.assets} assets and {blast.users} accounts of ours, {share} of the inventory"


def _moment(us: int) -> str:
    try:
        return to_iso(us)
    except (ValueError, OverflowError, OSError):
        return f"{us} microseconds"
