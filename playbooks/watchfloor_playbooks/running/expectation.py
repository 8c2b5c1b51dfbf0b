"""What a scenario is to come to, held against what it came to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from pydantic import JsonValue

from watchfloor_core.canonical import canonical
from watchfloor_core.untrusted import escape_untrusted
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.scenario import Played
from watchfloor_playbooks.running.values import text_of
from watchfloor_playbooks.running.work import ActionWork, ManualWork, PlaybookWork

EXPECTED_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "proposals": ("step", "action_class", "target", "arguments", "tool", "lease_s", "tainted", "max_level"),
    "tasks": ("step", "text", "agent", "tainted"),
    "calls": ("step", "playbook", "inputs"),
}
"""What may be expected of each; what is not named is not looked at."""
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Expected:
    """One proposal, task or call."""

    line: int
    """In the file of tests."""
    says: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Expectation:
    """None: not looked at."""

    status: str | None = None
    reason: str | None = None
    proposals: tuple[Expected, ...] | None = None
    tasks: tuple[Expected, ...] | None = None
    calls: tuple[Expected, ...] | None = None


def differences(expectation: Expectation, played: Played, playbook: Playbook) -> list[str]:
    """In words, one a line; none where it came to what was expected. Texts of runs are shown escaped."""
    return list(_differences(expectation, played, playbook))


def _differences(expectation: Expectation, played: Played, playbook: Playbook) -> Iterator[str]:
    for step_id, names in played.unanswered:
        yield f"step {_name(playbook, step_id)!r} was done, and nothing is answered for {', '.join(names)}"
    if expectation.status is not None and expectation.status != played.status:
        because = f" ({_shown(played.reason)})" if played.reason else ""
        yield f"status: expected {expectation.status}, got {played.status}{because}"
    if expectation.reason is not None and expectation.reason != played.reason:
        yield f"reason: expected {_shown(expectation.reason)}, got {_shown(played.reason)}"
    proposed = [_proposal(step, work) for step, work in played.proposals]
    asked = [_task(step, work) for step, work in played.tasks]
    called = [_call(step, work) for step, work in played.calls]
    for key, wanted, got in (
        ("proposals", expectation.proposals, proposed),
        ("tasks", expectation.tasks, asked),
        ("calls", expectation.calls, called),
    ):
        if wanted is not None:
            yield from _between(key, wanted, got, playbook)


def _name(playbook: Playbook, step_id: str) -> str:
    return playbook.steps[step_id].name or step_id


def _proposal(step_id: str, work: ActionWork) -> dict[str, JsonValue]:
    texts = (work.target, *work.arguments.values())
    return {
        "step": step_id,
        "action_class": work.action_class,
        "target": work.target.value,
        "arguments": {name: one.value for name, one in work.arguments.items()},
        "tool": work.tool,
        "lease_s": work.lease_s,
        "tainted": any(one.is_tainted for one in texts),
        "max_level": None if work.max_level is None else f"L{int(work.max_level)}",
    }


def _task(step_id: str, work: ManualWork) -> dict[str, JsonValue]:
    return {"step": step_id, "text": work.text.value, "agent": work.agent, "tainted": work.text.is_tainted}


def _call(step_id: str, work: PlaybookWork) -> dict[str, JsonValue]:
    inputs: dict[str, JsonValue] = {name: held.value for name, held in work.inputs.items()}
    return {"step": step_id, "playbook": work.playbook_id, "inputs": inputs}


def _between(
    key: str, wanted: Sequence[Expected], got: Sequence[Mapping[str, JsonValue]], playbook: Playbook
) -> Iterator[str]:
    """Where as many came as were expected, what differs of each; else which were missing, and which too many."""
    if len(wanted) == len(got):
        for index, (one, other) in enumerate(zip(wanted, got, strict=True)):
            for name in one.says:
                if not _is(name, one.says[name], other[name], playbook):
                    expected, actual = _shown(one.says[name]), _shown(_told(name, other[name], playbook))
                    yield f"{key}[{index}].{name} (line {one.line}): expected {expected}, got {actual}"
        return
    yield f"{key}: expected {len(wanted)}, got {len(got)}:"
    # An expectation and what meets it become the same text, so that what is left over on either side stands out.
    ours = [_short(one.says, playbook) for one in wanted]
    theirs = [_short(other, playbook) for other in got]
    met = [_short(one.says, playbook) for one in wanted]
    for place, other in enumerate(got):
        for index, one in enumerate(wanted):
            if all(_is(name, value, other[name], playbook) for name, value in one.says.items()):
                theirs[place] = met[index]
                break
    for tag, first, last, start, stop in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (f"    {text}" for text in ours[first:last])
            continue
        yield from (f"  - {text}" for text in ours[first:last])
        yield from (f"  + {text}" for text in (_short(other, playbook) for other in got[start:stop]))


def _is(name: str, wanted: JsonValue, got: JsonValue, playbook: Playbook) -> bool:
    if name == "step":
        return wanted in (got, playbook.steps[str(got)].name)
    if isinstance(wanted, dict) and isinstance(got, dict):
        return {key: _plain(value) for key, value in wanted.items()} == {key: _plain(one) for key, one in got.items()}
    return wanted == got or (name in ("target", "text") and _plain(wanted) == _plain(got))


def _plain(value: JsonValue) -> JsonValue:
    """A number that stands bare in YAML means the text."""
    return value if isinstance(value, (str, dict)) or value is None else canonical(value).decode()


def _told(name: str, value: JsonValue, playbook: Playbook) -> JsonValue:
    return _name(playbook, str(value)) if name == "step" else value


def _short(says: Mapping[str, JsonValue], playbook: Playbook) -> str:
    """``deny ip 203.0.113.7 (Block it)``"""
    step = str(says.get("step", ""))
    told = [playbook.steps[step].name or step if step in playbook.steps else step]
    kept = [says[name] for name in ("action_class", "target", "playbook") if says.get(name) is not None]
    return escape_untrusted(" ".join([*(text_of(one) for one in kept), *(f"({one})" for one in told if one)])[:_SHOWN])


def _shown(value: JsonValue) -> str:
    text = canonical(value).decode()
    return escape_untrusted(text[:_SHOWN]) + ("…" if len(text) > _SHOWN else "")
