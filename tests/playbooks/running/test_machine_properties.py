"""Of any playbook, whatever ends in whatever order: each run ends, tells of each step once, and says the same again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.playbooks.running.runs import Step, act, again, both, by_value, content_of, do, either, end, other
from watchfloor_core.alert import Integrity
from watchfloor_core.canonical import canonical
from watchfloor_playbooks.loading import load
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running import machine
from watchfloor_playbooks.running.machine import Machine
from watchfloor_playbooks.running.state import new_state, state_from_json, state_to_json
from watchfloor_playbooks.running.values import Held
from watchfloor_playbooks.running.work import Begin, StepEnded, Turn, WorkEnded

VARIABLES = {
    "__n__": {"type": "integer", "value": "0"},
    "__t__": {"type": "string", "value": "a"},
    "__u__": {"type": "string"},
}
CONDITIONS = ("__n__:value < 3", "__t__:value = 'a'", "EXISTS __u__:value", "__u__:value = 'a'", "__n__:value != 1")
LOOPS = ("__n__:value < 3", "__t__:value = 'a'")
CALLED = "playbook--00000000-0000-4000-8000-000000000777"

# --- Playbooks: a tree of blocks, each of which becomes steps with ends of their own ---------------------------------

_leaf = st.sampled_from(["task", "deny", "call"]).flatmap(
    lambda kind: st.fixed_dictionaries({"kind": st.just(kind), "pieces": st.integers(1, 2)})
)


def _branching(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=0, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({"kind": st.just("all"), "parts": st.lists(some, min_size=2, max_size=4)}),
        st.fixed_dictionaries(
            {
                "kind": st.just("if"),
                "says": st.sampled_from(CONDITIONS),
                "parts": st.lists(some, min_size=1, max_size=2),
            }
        ),
        st.fixed_dictionaries({"kind": st.just("loop"), "says": st.sampled_from(LOOPS), "parts": st.tuples(some)}),
        st.fixed_dictionaries(
            {"kind": st.just("switch"), "says": st.sampled_from(["__t__", "__u__"]), "parts": st.tuples(some, some)}
        ),
    )


_trees = st.recursive(_leaf, _branching, max_leaves=12)
_blocks = st.lists(_trees, min_size=1, max_size=4)


@dataclass
class Writer:
    """Writes blocks as steps. What each step has beside (ways, delay, time limit, demands) is drawn."""

    draw: st.DataObject
    steps: dict[str, Step] = field(default_factory=dict)
    ours: dict[str, dict[str, str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def line(self, blocks: list[Any]) -> str:
        """The first step of a line of blocks that ends at an end of its own."""
        following = self._add(end())
        for block in reversed(blocks):
            following = self._block(block, following)
        return following

    def _add(self, step: Step) -> str:
        name = f"s{next(self.numbers)}"
        self.steps[name] = step
        return name

    def _block(self, block: Any, following: str) -> str:
        extra = self._extra()
        ways: dict[str, Any] = {"on_completion": following}
        match self.draw.draw(st.sampled_from(["completion", "success", "both"])):
            case "success":
                ways = {"on_success": following}
            case "both":
                ways = {"on_success": following, "on_failure": self._add(act(following))}
            case _:
                pass
        if block["kind"] in ("task", "deny", "call"):
            name = self._leaf(block, {**ways, **extra})
        else:
            name = self._branch(block, {**ways, **extra})
        if self.draw.draw(st.integers(0, 9)) == 0:
            self.ours[name] = {"requires": self.draw.draw(st.sampled_from(CONDITIONS))}
        return name

    def _extra(self) -> dict[str, int]:
        times = st.sampled_from([None, None, 1, 5, 20])
        drawn = {"delay": self.draw.draw(times), "timeout": self.draw.draw(times)}
        return {name: value for name, value in drawn.items() if value is not None}

    def _leaf(self, block: Any, others: dict[str, Any]) -> str:
        written = self.draw.draw(st.lists(st.sampled_from(list(VARIABLES)), max_size=2, unique=True))
        out: dict[str, Any] = {"out_args": written} if written else {}
        match block["kind"]:
            case "task":
                step = act(**others, **out)
                step["commands"] = step["commands"] * block["pieces"]
                return self._add(step)
            case "deny":
                return self._add(do("deny ip", self.draw.draw(st.sampled_from(["192.0.2.7", "__u__:value"])), **others))
            case _:
                return self._add(other(CALLED, **others, **out))

    def _branch(self, block: Any, others: dict[str, Any]) -> str:
        parts = [self.line(list(part)) for part in block["parts"]]
        match block["kind"]:
            case "all":
                return self._add(both(*parts, **others))
            case "if":
                no = {"on_false": parts[1]} if len(parts) > 1 else {}
                return self._add(either(block["says"], parts[0], **no, **others))
            case "loop":
                last = self._add(act(parts[0], out_args=["__n__", "__t__"]))
                return self._add(again(block["says"], last, **others))
            case _:
                return self._add(by_value(block["says"], {"a": parts[0], "default": parts[1]}, **others))


def drawn_playbook(draw: st.DataObject) -> Playbook:
    writer = Writer(draw)
    first = writer.line(draw.draw(_blocks))
    exception = writer.line([{"kind": "task", "pieces": 1}]) if draw.draw(st.booleans()) else None
    if not any(step["type"].endswith("action") for step in writer.steps.values()):
        first = writer._block({"kind": "task", "pieces": 1}, first)
    steps = {first: writer.steps[first], **writer.steps}
    content = content_of(steps, VARIABLES, exception=exception, steps_ours=writer.ours)
    return load(json.dumps(content).encode(), "drawn.json", is_strict=True)


# --- Runs ------------------------------------------------------------------------------------------------------------

_values = st.fixed_dictionaries(
    {},
    optional={
        "__n__": st.sampled_from(["1", "5", "no number"]),
        "__t__": st.sampled_from(["a", "b"]),
        "__u__": st.sampled_from(["a", "\ud800", "198.51.100.1"]),
    },
)
_outputs = st.sampled_from([None, "", "b", '{"n": 4, "t": "z"}', '{"u": null}', '{"n": NaN}', '{"t": {"a": 1}}'])


@dataclass
class Twins:
    """Two machines that hear the same; one of them goes through stored JSON before every event, and has the playbook as
    it is exchanged."""

    exchanged: Playbook
    live: Machine
    stored: bytes
    begun: list[Begin] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    ended: list[StepEnded] = field(default_factory=list)

    @classmethod
    def of(cls, playbook: Playbook) -> Twins:
        state = new_state(playbook, {})
        # So that branches get numbers that sort otherwise as texts.
        state.next_branch = 8
        exchanged = load(playbook.canonical(), "exchanged.json")
        return cls(exchanged, Machine(playbook, state), canonical(state_to_json(state)))

    def tell(self, event: str, *given: Any) -> Turn:
        was_over = self.live.state.status.is_over
        before, how = self.live.waited_for, (self.live.state.status, self.live.state.reason)
        other = Machine(self.exchanged, state_from_json(json.loads(self.stored)))
        turn: Turn = getattr(self.live, event)(*given)
        again_ = getattr(other, event)(*given)
        assert turn == again_
        self.stored = canonical(state_to_json(other.state))
        assert canonical(state_to_json(self.live.state)) == self.stored
        assert (self.live.wakes_us, self.live.is_ready) == (other.wakes_us, other.is_ready)
        if was_over:
            assert (turn.is_empty, (self.live.state.status, self.live.state.reason)) == (True, how)
        assert {one.key for one in turn.drops} <= before | {one.key for one in turn.begins}
        self.begun += turn.begins
        self.dropped += [one.key for one in turn.drops]
        self.ended += turn.ended
        return turn


# An example costs 0.2 s; each run of the suite draws others.
@settings(max_examples=50)
@given(draw=st.data(), at_once=st.sampled_from([1, 3, 500]))
def test_each_run_ends_tells_of_each_step_once_and_says_the_same_from_stored_state(
    draw: st.DataObject, at_once: int
) -> None:
    with patch.object(machine, "AT_ONCE", at_once):
        run_to_its_end(drawn_playbook(draw), draw)


def run_to_its_end(playbook: Playbook, draw: st.DataObject) -> None:
    twins = Twins.of(playbook)
    now_us, told = 0, set[str]()
    twins.tell("start", now_us)
    for number in count():
        if twins.live.state.status.is_over:
            break
        waited, wakes = sorted(twins.live.waited_for, key=lambda key: int(key[1:])), twins.live.wakes_us
        assert waited or wakes is not None or twins.live.is_ready  # Else nothing would ever go on.
        # In the end everything fails, so that loops end as well.
        choice = draw.draw(st.integers(0, 29)) if number < 60 else 0
        if choice == 29:
            twins.tell("stop", "enough", now_us)
        elif choice == 28 and told:
            late = draw.draw(st.sampled_from(sorted(told)))
            assert twins.tell("ended", late, WorkEnded(True, values={"__n__": Held("1")}), now_us).is_empty
        elif wakes is not None and (20 <= choice < 28 or not waited):
            now_us = max(now_us, wakes)
            twins.tell("tick", now_us)
        elif twins.live.is_ready and (choice % 4 or not waited):
            twins.tell("go_on", now_us)
        else:
            key = waited[draw.draw(st.integers(0, len(waited) - 1)) if number < 60 else 0]
            twins.tell("ended", key, drawn_end(draw, is_done=choice > 2), now_us)
            told.add(key)

    keys = [one.key for one in twins.begun]
    assert len(set(keys)) == len(keys)
    assert Counter(keys) == Counter([*told, *twins.dropped])
    assert len(twins.ended) == twins.live.state.steps
    assert (twins.live.waited_for, twins.live.wakes_us, twins.live.state.branches) == (frozenset(), None, {})
    twins.tell("stop", "late", now_us)
    twins.tell("tick", now_us + 10**9)
    twins.tell("ended", "w0", WorkEnded(True), now_us)


def drawn_end(draw: st.DataObject, *, is_done: bool) -> WorkEnded:
    if not is_done:
        return WorkEnded(False, "no luck")
    values = {name: Held(value, Integrity.EXTERNAL) for name, value in draw.draw(_values).items()}
    output = draw.draw(_outputs)
    return WorkEnded(True, "", values, None if output is None else Held(output, Integrity.DERIVED))
