"""Approvals and actions as pages for the terminal, readable at 80 columns. All text from alerts is quoted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_guardrails.gates import RulingDecision
from watchfloor_service.actions.approvals import ApprovalSummary
from watchfloor_service.actions.detail import ActionDetail, VoteView
from watchfloor_service.actions.listing import ActionSummary
from watchfloor_service.commands.outcome import console

_STYLES: Final = {
    "waiting": "yellow",
    "approved": "cyan",
    "executing": "cyan",
    "succeeded": "green",
    "unknown": "bold red",
    "failed": "red",
    "refused": "red",
    "denied": "red",
}
_MAX_JSON: Final = 2_000
"""Characters of a receipt or state that are printed; --json has all."""
_OUTPUT_LINES: Final = 40
_OUTPUT_CHARACTERS: Final = 4_000


def print_waiting(waiting: Sequence[ApprovalSummary]) -> None:
    """Three lines for each."""
    out = console()
    for one in waiting:
        _print_summary(out, one.action)
        silence = ", silence is a yes" if one.is_veto else ""
        out.print(f"  {_duration(one.seconds_left)} left{silence}; {one.approvals} of {one.quorum} approved")
        for reason in one.why_asked:
            out.print(Text(f"  asked because: {escape_untrusted(reason)}"))
        for reason in one.why_not:
            out.print(Text(f"  not yours: {escape_untrusted(reason)}", "dim"))


def print_actions(actions: Sequence[ActionSummary]) -> None:
    out = console()
    for one in actions:
        _print_summary(out, one)
        if one.reason:
            out.print(Text(f"  {escape_untrusted(one.reason)}"))


def print_approval(one: Mapping[str, Any]) -> None:  # Any: the API's answer, JSON
    """What a person reads before deciding: the very view that is signed, and beside it what is not."""
    out = console()
    summary = one["approval"]
    for line in str(one["view"]).splitlines():
        out.print(Text(escape_untrusted(line)), soft_wrap=True)
    out.print()
    out.print(Text(f"They say: {quote_untrusted(str(summary['purpose']), 400)}"))
    for reason in summary["why_asked"]:
        out.print(Text(f"Asked because: {escape_untrusted(str(reason))}"))
    out.print(f"{summary['approvals']} of {summary['quorum']} approved; {_duration(summary['seconds_left'])} left")
    for reason in summary["why_not"]:
        out.print(Text(f"You may not approve it: {escape_untrusted(str(reason))}", "yellow"))


def print_action(found: ActionDetail) -> None:
    """The whole page."""
    out = console()
    _print_summary(out, found.action)
    out.print(Text(f"  {quote_untrusted(found.purpose, 400)}"))
    if found.action.reason:
        out.print(Text(f"  {escape_untrusted(found.action.reason)}"))
    if found.view is not None:
        _head(out, "What was sealed")
        for line in found.view.splitlines():
            out.print(Text(escape_untrusted(line)), soft_wrap=True)
    _print_ruling(out, found.ruling)
    _print_votes(out, found.votes)
    print_receipt(found)


def print_receipt(found: ActionDetail) -> None:
    """What was done and what was read back."""
    out = console()
    done = found.execution
    if done is None:
        return
    _head(out, "Execution")
    out.print(
        Text(f"{done.outcome or done.phase}", _STYLES.get(done.outcome or "", "")),
        Text(f"by {escape_untrusted(done.executor)} with {escape_untrusted(done.tool)}, {_second(done.consumed_at)}"),
    )
    if isinstance(done.receipt, Mapping):
        if done.receipt.get("reason"):
            out.print(Text(escape_untrusted(str(done.receipt["reason"]))))
        _print_read_back(out, done.receipt.get("read_back"))
    out.print(Text(f"before:    {_json(done.state_before)}"))
    if found.lease is not None:
        ends = "until somebody ends it" if found.lease.ends_at is None else f"until {_second(found.lease.ends_at)}"
        state = found.lease.state if found.lease.ended_at is None else f"ended {_second(found.lease.ended_at)}"
        out.print(f"contained {ends} ({state})")
    for undo in found.undos:
        out.print(f"taken back by {undo}")


def _print_read_back(out: Console, found: object) -> None:
    """What the tool found when it looked again, in its words and as it stands."""
    if isinstance(found, Mapping) and "effect" in found and "text" in found:
        out.print(Text(f"read back: {escape_untrusted(str(found['effect']))}: {escape_untrusted(str(found['text']))}"))
        for line in output_lines(str(found.get("output") or "")):
            out.print(Text(line), soft_wrap=True)
        found = found.get("state")
    out.print(Text(f"now:       {_json(found)}"))


def output_lines(output: str) -> Iterator[str]:
    """The beginning of what an action gave, such as a command's output, each line marked as not ours."""
    if not output:
        return
    lines = output[:_OUTPUT_CHARACTERS].splitlines()
    is_whole = len(output) <= _OUTPUT_CHARACTERS and len(lines) <= _OUTPUT_LINES
    yield "it gave (an attacker could have written this):" if is_whole else "it gave, in part; --json has it whole:"
    for line in lines[:_OUTPUT_LINES]:
        yield f"  > {escape_untrusted(line)}"


def _print_summary(out: Console, one: ActionSummary) -> None:
    out.print(
        Text(one.proposal_id, "bold"),
        Text(one.status, _STYLES.get(one.status, "")),
        Text(f"{escape_untrusted(one.action_class)} {one.target_shown}"),
    )
    asked = f", asked by {escape_untrusted(one.requester)}" if one.requester else ""
    undo = f"; undoes {one.undo_of}" if one.undo_of else ""
    out.print(Text(f"  for {one.incident_id} by {one.proposer_kind} {escape_untrusted(one.proposed_by)}{asked}{undo}"))
    out.print(f"  proposed {_second(one.created_at)}")
    if one.decoy_answer is not None:
        out.print(Text(f"  a decoy: the right answer was to {one.decoy_answer}", "magenta"))


def _print_ruling(out: Console, ruling: Mapping[str, Any] | None) -> None:  # Any: JSON of the ruling
    if ruling is None:
        return
    _head(out, f"Ruling: {ruling['decision']} at L{ruling['effective']['level']}")
    for hit in ruling["hits"]:
        style = "" if hit["outcome"] == RulingDecision.ALLOW.value else "yellow"
        out.print(Text(f"{hit['outcome']:<5} {hit['rule']}: {escape_untrusted(str(hit['text']))}", style))


def _print_votes(out: Console, votes: Sequence[VoteView]) -> None:
    if not votes:
        return
    _head(out, "People")
    for vote in votes:
        took = "" if vote.seconds_to_decide is None else f" after {_duration(vote.seconds_to_decide)}"
        key = f", key {vote.key_id}" if vote.key_id else ""
        who = f"{vote.decision} by {escape_untrusted(vote.principal)}"
        out.print(Text(f"{who} {_second(vote.decided_at)}{took}, {vote.channel}{key}"))
        if vote.comment:
            out.print(Text(f"  {quote_untrusted(vote.comment, 400)}"))


def _head(out: Console, text: str) -> None:
    out.print(Text(f"\n{text}", "bold"))


def _json(value: object) -> str:
    text = escape_untrusted(json.dumps(value, sort_keys=True, ensure_ascii=False))
    return text if len(text) <= _MAX_JSON else f"{text[:_MAX_JSON]}… (--json has all)"


def _second(moment: str) -> str:
    return f"{moment[:19].replace('T', ' ')}Z"


def _duration(seconds: int) -> str:
    return " ".join(_parts(seconds)) or "0 s"


def _parts(seconds: int) -> Iterator[str]:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        yield f"{hours} h"
    if minutes:
        yield f"{minutes} min"
    if left and not hours:
        yield f"{left} s"
