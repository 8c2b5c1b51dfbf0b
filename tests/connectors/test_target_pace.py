"""No tool acts faster than it was told, whatever its kind: what is beyond is not begun, and says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_connectors.targets.base import NotReadyError, Slot, ToolOptions
from watchfloor_connectors.targets.blocklist import Blocklist, BlocklistOptions
from watchfloor_connectors.targets.kinds import BUILT_IN
from watchfloor_connectors.targets.pace import MINUTE_S, Pace
from watchfloor_connectors.targets.testing import PermitFor
from watchfloor_guardrails.action import Action, Target
from watchfloor_guardrails.catalogue import TargetKind
from watchfloor_guardrails.effect import Effect


def deny(value: str) -> Action:
    return Action("deny ip", "tool", Target(TargetKind.IP, value), {})


def test_what_is_beyond_the_acts_of_a_minute_is_not_begun(
    slot: Slot, permit_for: PermitFor, key: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(Blocklist, "now_s", staticmethod(lambda: now[0]))
    tool = Blocklist(slot, BlocklistOptions(acts_per_minute=2))
    tool.act(permit_for(deny("198.51.100.1"), key("a")))
    now[0] += MINUTE_S / 2
    tool.act(permit_for(deny("198.51.100.2"), key("b")))
    third = deny("198.51.100.3")
    with pytest.raises(NotReadyError, match="begun its 2 acts of this minute"):
        tool.act(permit_for(third, key("c")))
    assert tool.read_back(third, key("c")).effect is Effect.NOT_APPLIED
    now[0] += MINUTE_S / 2
    tool.act(permit_for(third, key("c")))
    assert tool.read_back(third, key("c")).effect is Effect.APPLIED


def test_what_is_refused_is_not_counted(slot: Slot, permit_for: PermitFor, key: Callable[[str], str]) -> None:
    tool = Blocklist(slot, BlocklistOptions(acts_per_minute=1, never=("198.51.100.0/24",)))
    for number in range(3):
        with pytest.raises(Exception, match="protects"):
            tool.act(permit_for(deny(f"198.51.100.{number}"), key("a")))
    tool.act(permit_for(deny("203.0.113.1"), key("b")))


@pytest.mark.parametrize("kind", sorted(BUILT_IN))
def test_every_kind_has_the_limit(kind: str) -> None:
    kept = BUILT_IN[kind]
    field = kept.options_type.model_fields["acts_per_minute"]
    assert repr(field) == repr(ToolOptions.model_fields["acts_per_minute"])
    assert "acts_per_minute" not in kept.restricting
    for name in kept.restricting:
        assert name in kept.options_type.model_fields


def test_changing_it_makes_no_other_tool() -> None:
    few, many = (BlocklistOptions(acts_per_minute=most) for most in (1, 6000))
    assert Blocklist.version_of(few) == Blocklist.version_of(many)


@given(st.lists(st.floats(min_value=0, max_value=40), max_size=60), st.integers(min_value=1, max_value=5))
def test_no_minute_has_more(pauses: list[float], most: int) -> None:
    now, at = 0.0, list[float]()
    pace = Pace(most, lambda: now)
    for pause in pauses:
        now += pause
        if pace.allows():
            at.append(now)
        else:
            assert sum(one > now - MINUTE_S for one in at) == most
    for one in at:
        assert sum(one - MINUTE_S < other <= one for other in at) <= most
