"""The contract that every tool keeps, as a function that a third party runs on targets of its own.

::

    from watchfloor_connectors.targets.testing import Sample, check_target

    def test_my_tool_keeps_the_contract() -> None:
        check_target(tool, [Sample("deny ip", Target(TargetKind.IP, "203.0.113.9"))], permit_for)

It acts for real, on the samples and nothing else, and takes back what can be taken back. ``permit_for`` makes a permit
from an action and a key; only a test has one. It needs no test framework: it raises `ContractError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from watchfloor_core.canonical import canonical
from watchfloor_core.errors import NotFoundError, RecordError, RefusedError
from watchfloor_guardrails.action import MAX_TEXT, Action, Scalar, Target
from watchfloor_guardrails.catalogue import CATALOGUE, TargetKind
from watchfloor_guardrails.effect import ActionTarget, Effect, EffectPermit, NotDoneError

PermitFor = Callable[[Action, str], EffectPermit]

HOSTILE: Final = (
    "",
    " ",
    "{}; rm -rf /",
    "{} && id",
    "{}\nroot",
    "{}\r\n{}",
    "{}\x00",
    "{}/../../etc/passwd",
    "{}/.",
    "../{}",
    "--help",
    "--{}",
    "-r",
    "$(id)",
    "`id`",
    "| id",
    "{}\u202e",
    "\u2066{}\u2069",
    "{}\u200b",
    " {}",
    "{} # wf:",
    "{}%s%n",
    "*",
    "x" * (MAX_TEXT + 1),
)
"""Values that are no target, but for files: nearly any text may be the name of one. ``{}`` stands for a good value."""


class ContractError(AssertionError):
    """A tool does not keep the contract."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A target that the test has made, and what may be done to it."""

    action_class: str
    target: Target
    arguments: Mapping[str, Scalar] = field(default_factory=dict)


def hostile(target: Target) -> list[Target]:
    """Values made of a target's that are not that target, nor any that there is."""
    return [replace(target, value=text.replace("{}", target.value)) for text in HOSTILE]


def check_target(
    tool: ActionTarget,
    samples: Sequence[Sample],
    permit_for: PermitFor,
    never: Sequence[Target] = (),
    *,
    protecting: ActionTarget | None = None,
) -> None:
    """Checks every rule on every sample; raises `ContractError` at the first breach.

    The rules: looking changes nothing and says the same twice; nothing happens without a permit for this tool and one
    of its classes; a value that is no target is refused before anything runs; what is in ``never`` is refused; an act
    can be read back and changes the state, unless its class leaves nothing; the same act again does no harm; the undo
    takes it back, and the state too. What a command changes, no state shows.

    ``protecting``: the same tool once the operator has put the samples on its ``never``. That holds back acts and not
    what ends them: it refuses the samples as long as nothing was done to them, takes back what the tool had done
    before, and refuses them again from then on.
    """
    _rule("the tool", bool(tool.tool and tool.kind and tool.version), "has no name, kind or version")
    known = bool(tool.action_classes) and tool.action_classes <= CATALOGUE.keys()
    _rule("the tool", known, f"does {sorted(tool.action_classes)}; action classes are {', '.join(CATALOGUE)}")
    _rule("the tool", bool(tool.least_privilege), "does not say what it must be allowed")
    _rule("the test", bool(samples), "gives no samples")
    for sample in samples:
        _Check(tool, sample, permit_for).run()
    for target in never:
        for action_class in sorted(tool.action_classes):
            if CATALOGUE[action_class].target is target.kind:
                _Check(tool, Sample(action_class, target), permit_for).is_never_touched()
    if protecting is not None:
        for sample in samples:
            _Check(tool, sample, permit_for).is_taken_back_by(_Check(protecting, sample, permit_for))


class _Check:
    def __init__(self, tool: ActionTarget, sample: Sample, permit_for: PermitFor) -> None:
        self._tool = tool
        self._permit_for = permit_for
        self._which = f"{sample.action_class} {sample.target.value!r}"
        self._action = Action(sample.action_class, tool.tool, sample.target, dict(sample.arguments))
        self._key = _key_of(self._action)

    def run(self) -> None:
        before = self._state()
        self._looking_changes_nothing(before)
        self._nothing_happens_without_its_permit(before)
        self._other_values_are_refused(before)
        self._rule(not self._is_applied(self._action), "reads back as applied before it was done")
        self._tool.act(self._permit_for(self._action, self._key))
        self._is_in_effect()
        after = self._state()
        known = CATALOGUE[self._action.action_class]
        shows_nothing = known.leaves_nothing or known.target is TargetKind.COMMAND
        self._rule(shows_nothing or after != before, "is in effect, and the state is the same")
        self._same_act_again_is_harmless(after)
        self._is_taken_back(before)

    def is_never_touched(self) -> None:
        self._refuses(lambda: self._tool.read_state(self._action.target), (RefusedError,), "read_state")
        for expected in (RefusedError, NotDoneError):
            permit = self._permit_for(self._action, self._key)
            self._refuses(partial(self._tool.act, permit), (expected,), "act")

    def is_taken_back_by(self, protecting: _Check) -> None:
        undo_class = CATALOGUE[self._action.action_class].undo
        if undo_class is None:
            return
        protecting.is_never_touched()
        before = self._state()
        self._tool.act(self._permit_for(self._action, self._key))
        after = self._state()
        other_key = hashlib.sha256(self._key.encode()).hexdigest()
        permit = self._permit_for(self._action, other_key)
        protecting._refuses(partial(protecting._tool.act, permit), (NotDoneError,), "another act")
        try:
            self._rule(protecting._state() == after, "is another state to the tool that protects it")
            protecting._take_back(undo_class)
        except RefusedError as error:
            raise ContractError(
                f"{self._which}: was done, and is not taken back once it is protected: {error}"
            ) from error
        self._rule(self._state() == before, "was taken back, and the state is not what it was before")
        protecting.is_never_touched()

    def _looking_changes_nothing(self, before: str | None) -> None:
        self._rule(before is not None, "there is no such target; the test has to make it")
        self._rule(self._state() == before, "is another state when looked at again; leave out what changes by itself")

    def _nothing_happens_without_its_permit(self, before: str | None) -> None:
        for wrong in (None, object(), self._action, self._key):
            try:
                self._tool.act(wrong)  # type: ignore[arg-type]  # that is what is tried
            except TypeError:
                continue
            self._rule(False, f"act takes {type(wrong).__name__} for a permit; TypeError was expected")
        others = [name for name in CATALOGUE if name not in self._tool.action_classes]
        arguments = {**self._action.arguments, "x": 1}
        wrong_actions = [
            replace(self._action, tool=f"{self._tool.tool}-2"),
            replace(self._action, arguments=arguments),
        ]
        for action in [*wrong_actions, *(replace(self._action, action_class=name) for name in others)]:
            try:
                self._tool.act(self._permit_for(action, self._key))
            except NotDoneError:
                continue
            self._rule(False, f"does an action that is not its own: {action}; NotDoneError was expected")
        self._rule(self._state() == before, "was done without a permit for it")

    def _other_values_are_refused(self, before: str | None) -> None:
        # The name of a file may hold blanks and brackets: it is enough that there is none of that name.
        is_file = self._action.target.kind is TargetKind.FILE
        refusals = (RecordError, NotFoundError, RefusedError) if is_file else (RecordError,)
        for target in hostile(self._action.target):
            shown = repr(target.value[:80])
            self._refuses(partial(self._tool.read_state, target), refusals, f"read_state of {shown}")
            permit = self._permit_for(replace(self._action, target=target), self._key)
            self._refuses(partial(self._tool.act, permit), (NotDoneError,), f"act on {shown}")
            if not is_file:
                self._refuses(partial(self._tool.act, permit), (RecordError,), f"act on {shown}")
        self._rule(self._state() == before, "was changed by an act on another value")

    def _refuses(self, call: Callable[[], object], expected: tuple[type[Exception], ...], what: str) -> None:
        try:
            call()
        except expected:
            return
        except Exception as error:
            raise ContractError(f"{self._which}: {what} raises {type(error).__name__}: {error}; {_names(expected)} was "
                                "expected") from error  # fmt: skip
        raise ContractError(f"{self._which}: {what} is taken; {_names(expected)} was expected")

    def _is_in_effect(self) -> None:
        back = self._tool.read_back(self._action, self._key)
        self._rule(back.effect is Effect.APPLIED, f"was done and reads back as {back.effect}: {back.text}")
        self._rule(bool(back.text.strip()), "reads back without a text for people")
        self._rule(bool(canonical(back.state.content)), "reads back without a state")

    def _same_act_again_is_harmless(self, after: str | None) -> None:
        with suppress(NotDoneError):
            self._tool.act(self._permit_for(self._action, self._key))
        self._rule(self._state() == after, "changes the state when it is done again under the same key")
        self._is_in_effect()

    def _is_taken_back(self, before: str | None) -> None:
        undo_class = CATALOGUE[self._action.action_class].undo
        if undo_class is not None:
            self._take_back(undo_class)
            self._rule(self._state() == before, "was taken back, and the state is not what it was before")

    def _take_back(self, undo_class: str) -> None:
        undo = replace(self._action, action_class=undo_class)
        self._rule(undo_class in self._tool.action_classes, f"cannot be taken back: {undo_class!r} is missing")
        self._rule(not self._is_applied(undo), "reads back as taken back before it was")
        self._tool.act(self._permit_for(undo, _key_of(undo)))
        self._rule(self._is_applied(undo), f"{undo_class} was done and does not read back as applied")
        self._rule(not self._is_applied(self._action), "was taken back and reads back as applied")

    def _is_applied(self, action: Action) -> bool:
        return self._tool.read_back(action, _key_of(action)).effect is Effect.APPLIED

    def _state(self) -> str | None:
        """The state's digest; None where there is no such target (any more)."""
        try:
            return self._tool.read_state(self._action.target).digest
        except NotFoundError:
            return None

    def _rule(self, holds: bool, message: str) -> None:
        _rule(self._which, holds, message)


def _rule(which: str, holds: bool, message: str) -> None:
    if not holds:
        raise ContractError(f"{which}: {message}")


def _key_of(action: Action) -> str:
    told = canonical({"class": action.action_class, "tool": action.tool, "target": action.target.value})
    return hashlib.sha256(told).hexdigest()


def _names(types: tuple[type[Exception], ...]) -> str:
    return " or ".join(one.__name__ for one in types)
