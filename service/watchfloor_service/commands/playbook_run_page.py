"""Plans and runs of playbooks as pages for the terminal, readable at 80 columns. All foreign text is quoted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.console import Console
from rich.text import Text

from watchfloor_core.untrusted import escape_untrusted, quote_untrusted
from watchfloor_guardrails.action import Labelled
from watchfloor_guardrails.catalogue import CATALOGUE
from watchfloor_guardrails.gates import RulingDecision
from watchfloor_playbooks.running.planning import Planned
from watchfloor_playbooks.running.work import ActionWork, ManualWork, PlaybookWork
from watchfloor_service.commands.outcome import console
from watchfloor_service.playbooks.views import RunSummary, RunView, TaskView, ValueView, WorkView
from watchfloor_workflows.playbooks.previewing import Preview

_STYLES: Final = {
    "picked": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "failed": "red",
    "stopped": "yellow",
    "dropped": "yellow",
}
_MAX: Final = 300
_WORDS: Final = {
    RulingDecision.ALLOW: "happens by itself",
    RulingDecision.ASK: "asks people",
    RulingDecision.DENY: "is denied",
}


Whole: TypeAlias = Callable[[str], str]
"""Makes a whole command of what stands behind ``watchfloor``, for the store and tenant that were looked at."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """One piece of work of a plan, with the ruling that it would get where it is an action."""

    planned: Planned
    seen: Preview | None
    problem: str | None

    def as_json(self) -> dict[str, object]:
        planned, work = self.planned, self.planned.work
        told: dict[str, object] = {
            "step": planned.step,
            "name": planned.name,
            "phase": planned.phase,
            "when": list(planned.when),
            "requires": planned.requires,
            "problem": self.problem,
        }
        match work:
            case ActionWork():
                told |= {
                    "kind": "action",
                    "action_class": work.action_class,
                    "target": _label_json(work.target),
                    "arguments": {name: _label_json(one) for name, one in work.arguments.items()},
                    "tool": work.tool if self.seen is None else self.seen.proposal.tool,
                    "undo": None if self.seen is None else self.seen.proposal.undo_class,
                    "lease_s": None if self.seen is None else self.seen.proposal.lease_s,
                    "ruling": None if self.seen is None else self.seen.ruling.decision.value,
                    "why": [] if self.seen is None else list(self.seen.ruling.against),
                    "people": 0 if self.seen is None else _people(self.seen),
                }
            case ManualWork():
                told |= {"kind": "manual", "task": str(work.text.value), "asked": work.agent, "answers": work.answers}
            case PlaybookWork():
                told |= {"kind": "playbook", "playbook_id": work.playbook_id, "version": work.version}
            case None:
                told |= {"kind": None}
        return told


def plan_lines(forecasts: Sequence[Forecast]) -> Iterator[str]:
    """A few lines for each piece of work, and what it comes to."""
    for number, one in enumerate(forecasts, 1):
        yield from _forecast_lines(number, one)
    rulings = [one.seen.ruling.decision for one in forecasts if one.seen is not None]
    if not rulings and any(isinstance(one.planned.work, ActionWork) for one in forecasts):
        yield "Name an incident (--incident) to see how each action would be ruled on."
    if rulings:
        counted = ", ".join(f"{rulings.count(decision)} {words}" for decision, words in _WORDS.items())
        final = [one for one in forecasts if one.seen is not None and not one.seen.proposal.is_reversible]
        yield f"{len(rulings)} actions: {counted}; {len(final)} cannot be taken back"
        yield "As things are now: policy, budgets and targets are looked at again when each is proposed and done."


def empty_lines(empty: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """What has no value because a person would have to choose one."""
    for name, some in empty.items():
        shown = ", ".join(quote_untrusted(one, _MAX) for one in some)
        yield (
            f"{name} is left empty, and what wants it is not done: the incident names several. "
            f"`--set {name.strip('_')}=…` gives one: {shown}"
        )


def _forecast_lines(number: int, one: Forecast) -> Iterator[str]:
    planned, work = one.planned, one.planned.work
    phase = f" [{planned.phase}]" if planned.phase else ""
    yield f"{number}. {escape_untrusted(planned.name)}{phase}"
    for when in planned.when:
        yield f"   only {escape_untrusted(when)}"
    if planned.requires is not None:
        yield f"   requires {escape_untrusted(planned.requires)}"
    match work:
        case ActionWork():
            yield f"   {work.action_class} {_shown(work.target)}"
            for name, value in work.arguments.items():
                yield f"     {escape_untrusted(name)} = {_shown(value)}"
        case ManualWork():
            yield f"   a person ({escape_untrusted(work.agent)}): {_shown(work.text)}"
            if work.answers:
                yield f"   answers {', '.join(work.answers)}"
        case PlaybookWork():
            yield f"   playbook {escape_untrusted(work.playbook_id)} runs inside; plan it by itself"
        case None:
            pass
    if one.seen is not None:
        yield from _ruling_lines(one.seen)
    if one.problem is not None:
        yield f"   NOT AS IT STANDS: {escape_untrusted(one.problem)}"


def _ruling_lines(seen: Preview) -> Iterator[str]:
    ruling, proposal = seen.ruling, seen.proposal
    people = f" ({_people(seen)} of {', '.join(ruling.requirement.roles)})" if ruling.requirement else ""
    yield f"   → {_WORDS[ruling.decision]}{people}; level {ruling.level.name}, by {escape_untrusted(proposal.tool)}"
    for reason in ruling.against:
        yield f"     {escape_untrusted(reason)}"
    known = CATALOGUE.get(proposal.action_class)
    if proposal.undo_class is not None:
        after = f" by itself after {proposal.lease_s:,} s" if proposal.lease_s is not None else " when asked for"
        yield f"   undone by {proposal.undo_class!r}{after}"
    elif known is not None and known.leaves_nothing:
        yield "   nothing of it remains"
    else:
        yield "   CANNOT BE TAKEN BACK"


def _people(seen: Preview) -> int:
    return 0 if seen.ruling.requirement is None else seen.ruling.requirement.quorum


def _label_json(one: Labelled) -> dict[str, object]:
    return {"value": one.value, "integrity": one.integrity.name.lower(), "endorsed_by": one.endorsed_by}


def _shown(one: Labelled) -> str:
    told = quote_untrusted(str(one.value), _MAX)
    return f"{told} (an attacker could have written this)" if one.is_tainted else told


def print_runs(found: Sequence[RunSummary]) -> None:
    out = console()
    for one in found:
        _print_summary(out, one)


def print_tasks(found: Sequence[TaskView], whole: Whole) -> None:
    out = console()
    for one in found:
        out.print(Text(f"{one.run_id} {one.work.key}  {escape_untrusted(one.playbook)}  for {one.incident_id}", "bold"))
        _print_task(out, one.work)
        out.print(Text(f"  {whole(_answer(one.run_id, one.work))}"), soft_wrap=True)


def print_run(found: RunView, whole: Whole) -> None:
    """The whole page."""
    out = console()
    run = found.run
    _print_summary(out, run)
    out.print(Text(f"  why: {quote_untrusted(found.reason, _MAX)}"))
    out.print(Text(f"  digest {found.digest}; signed by {escape_untrusted(', '.join(found.signers)) or 'nobody'}"))
    if found.values:
        out.print(Text("Values", "bold"))
        for name, one in found.values.items():
            told = "not known" if one.value is None else f"{quote_untrusted(str(one.value), 120)}  ({_by(one)})"
            out.print(Text(f"  {escape_untrusted(name)} = {told}"))
    if found.steps:
        out.print(Text("Steps that have ended", "bold"))
        for step in found.steps:
            line = Text(f"  {step.ended_at}  ")
            line.append(step.outcome, _STYLES.get(step.outcome, ""))
            line.append(f"  {escape_untrusted(step.name)}")
            line.append(f": {escape_untrusted(step.reason)}" if step.reason else "")
            out.print(line)
    waiting = [one for one in found.work if one.status == "open"]
    if waiting and run.status == "running":
        out.print(Text("It waits for", "bold"))
        for work in waiting:
            _print_waiting(out, run, work, whole)
    if found.done:
        out.print(Text("What it did, the latest first", "bold"))
        for done in found.done:
            undo = f"{done.undo!r} would take it back" if done.left is None else done.left
            out.print(Text(f"  {done.proposal_id}  {done.action_class} {done.target_shown}: {undo}"))
    if run.status == "picked":
        told = whole(f"playbook start {run.run_id}")
        out.print(Text(f"`{told}` starts it; `--set NAME=VALUE` gives another value."), soft_wrap=True)
    elif run.status != "running" and any(done.left is None for done in found.done) and run.undoes_run is None:
        out.print(Text(f"`{whole(f'playbook rollback {run.run_id} -m WHY')}` takes it back."), soft_wrap=True)


def _print_summary(out: Console, run: RunSummary) -> None:
    line = Text(f"{run.run_id}  ")
    line.append(run.status, _STYLES.get(run.status, ""))
    line.append(f"  {escape_untrusted(run.name)}  for {run.incident_id}")
    out.print(line)
    facts = [f"since {run.created_at}"]
    if run.ended_at is not None:
        facts.append(f"until {run.ended_at}")
    if run.requester is not None:
        facts.append(f"by {escape_untrusted(run.requester)}")
    if run.undoes_run is not None:
        facts.append(f"takes {run.undoes_run} back")
    if run.inside_run is not None:
        facts.append(f"inside of {run.inside_run}")
    if run.waits_for:
        facts.append(f"waits for {run.waits_for}")
    out.print(Text(f"  {', '.join(facts)}"))
    if run.outcome:
        out.print(Text(f"  {escape_untrusted(run.outcome)}"))


def _print_waiting(out: Console, run: RunSummary, work: WorkView, whole: Whole) -> None:
    if work.kind == "manual":
        _print_task(out, work)
        out.print(Text(f"    {whole(_answer(run.run_id, work))}"), soft_wrap=True)
    elif work.proposal_id is not None:
        out.print(Text(f"  {work.proposal_id}  {work.action_class} {work.target_shown}: {work.proposal_status}"))
        if work.proposal_status == "waiting":
            out.print(Text(f"    {whole(f'approvals show {work.proposal_id}')}"), soft_wrap=True)
    else:
        out.print(Text(f"  {work.run_inside}  (a playbook inside, step {escape_untrusted(work.step)})"))


def _answer(run_id: str, work: WorkView) -> str:
    return f"playbook answer {run_id} {work.key}" + "".join(f" --set {one.name.strip('_')}=…" for one in work.answers)


def _print_task(out: Console, work: WorkView) -> None:
    out.print(Text(f"  {work.key}: {work.task}"))
    out.print(Text(f"    asked: {work.asked}; until {work.deadline_at or 'whenever'}"))
    for answer in work.answers:
        told = f": {escape_untrusted(answer.description)}" if answer.description else ""
        out.print(Text(f"    fills {answer.name} ({escape_untrusted(answer.type)}){told}"))


def _by(one: ValueView) -> str:
    if one.endorsed_by is not None:
        return escape_untrusted(one.endorsed_by)
    return "AN ATTACKER COULD HAVE WRITTEN THIS" if one.integrity == "external" else f"written by {one.integrity}"
