"""The learned normal: what it finds surprising, and that it stays bounded and survives being stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchfloor_agents.triage import baseline as module
from watchfloor_agents.triage.baseline import Activity, Baseline, volume_bin

DAY = 24
RULE, OTHER_RULE, HOST, OTHER_HOST, USER = b"rule", b"other", b"host", b"host2", b"user"


def taught(days: int, *, hours: tuple[int, ...] = tuple(range(24)), alerts: int = 3) -> Baseline:
    """RULE has been active on HOST at these hours of each day."""
    baseline = Baseline()
    for day in range(days):
        for hour in hours:
            baseline.observe(RULE, HOST, (), day * DAY + hour, alerts)
    return baseline


def test_at_cold_start_nothing_is_surprising() -> None:
    surprise = Baseline().observe(RULE, HOST, (), 1000, 1)
    assert surprise.arrival == pytest.approx(0.0)
    assert surprise.volume == 0.0
    assert surprise.exposure_days == 0.0


def test_a_detector_that_is_always_there_is_expected() -> None:
    surprise = taught(4).observe(RULE, HOST, (), 4 * DAY, 3)
    assert surprise.arrival < -2.5
    assert surprise.total < -1.0


def test_a_new_detector_is_the_more_surprising_the_longer_we_have_watched() -> None:
    after = [taught(days).observe(OTHER_RULE, HOST, (), days * DAY, 1).arrival for days in (1, 3, 10)]
    assert after[0] > 1.0
    assert after == sorted(after)
    assert after[-1] <= module.MAX_LOG_ODDS


def test_a_detector_known_on_other_assets_is_less_surprising_on_this_one() -> None:
    baseline = taught(4)
    new_everywhere = baseline.observe(OTHER_RULE, OTHER_HOST, (), 4 * DAY, 1)
    known_elsewhere = baseline.observe(RULE, OTHER_HOST, (), 4 * DAY, 1)
    assert known_elsewhere.arrival < new_everywhere.arrival - 2


def test_what_spreads_within_one_hour_does_not_become_normal_by_spreading() -> None:
    baseline = taught(3)
    first, *_, last = [baseline.observe(OTHER_RULE, bytes([n]), (), 3 * DAY, 1).arrival for n in range(20)]
    assert last > 0.8 * first


def test_an_hour_louder_than_any_before_is_surprising_and_a_usual_one_is_not() -> None:
    loud = taught(5, alerts=6).observe(RULE, HOST, (), 5 * DAY, 4000)
    usual = taught(5, alerts=6).observe(RULE, HOST, (), 5 * DAY, 7)
    assert loud.volume > 2.0
    assert usual.volume == 0.0


def test_one_flood_does_not_teach_that_floods_are_normal() -> None:
    baseline = taught(5, alerts=6)
    baseline.observe(RULE, HOST, (), 5 * DAY, 4000)
    assert baseline.observe(RULE, HOST, (), 5 * DAY + 1, 4000).volume > 1.0


def test_a_usual_rule_at_an_unusual_hour_is_more_surprising() -> None:
    at_noon = taught(20, hours=(11, 12, 13)).observe(RULE, HOST, (), 20 * DAY + 12, 1)
    at_night = taught(20, hours=(11, 12, 13)).observe(RULE, HOST, (), 20 * DAY + 3, 1)
    assert at_night.arrival > at_noon.arrival + 1.0


def test_a_rule_that_is_usual_on_the_host_stands_out_for_a_new_user() -> None:
    baseline = Baseline()
    for hour in range(10 * DAY):
        baseline.observe(RULE, HOST, (USER,), hour, 1)
    known = baseline.observe(RULE, HOST, (USER,), 10 * DAY, 1)
    stranger = baseline.observe(RULE, HOST, (b"stranger",), 10 * DAY, 1)
    assert not known.is_new_for_user
    assert stranger.is_new_for_user
    assert stranger.arrival > known.arrival


def test_old_habits_fade() -> None:
    soon = taught(4).judge(RULE, HOST, 6 * DAY)
    much_later = taught(4).judge(RULE, HOST, 200 * DAY)
    assert much_later.arrival > soon.arrival


def test_an_attack_does_not_become_normal_by_going_on() -> None:
    trusted, distrusted = taught(4), taught(4)
    for hour in range(4 * DAY, 5 * DAY):
        trusted.observe(OTHER_RULE, HOST, (), hour, 1)
        distrusted.observe(OTHER_RULE, HOST, (), hour, 1)
        distrusted.distrust(OTHER_RULE, HOST)
    assert trusted.observe(OTHER_RULE, HOST, (), 5 * DAY, 1).arrival < -1.0
    assert distrusted.observe(OTHER_RULE, HOST, (), 5 * DAY, 1).arrival > 2.0


def test_an_entity_beside_many_assets_is_no_telling_link() -> None:
    baseline = Baseline()
    proxy = [baseline.link(b"proxy", bytes([n]), 0) for n in range(12)]
    person = [baseline.link(b"person", HOST, 0) for _ in range(12)]
    assert proxy[-1] < 0.35
    assert person[-1] > 0.85


def test_state_is_bounded_and_the_longest_silent_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 8)
    baseline = Baseline()
    for hour in range(20):
        baseline.observe(b"rule%d" % hour, HOST, (), hour, 1)
    dropped = baseline.evict()
    assert len(baseline.pairs) == 8
    assert ("pair", b"rule0", HOST) in dropped
    assert (b"rule19", HOST) in baseline.pairs


def test_a_late_alert_does_not_turn_the_clock_back() -> None:
    baseline = taught(2)
    before = baseline.pairs[RULE, HOST].hour
    baseline.observe(RULE, HOST, (), 5, 1)
    assert baseline.pairs[RULE, HOST].hour == before


@given(st.integers(min_value=1, max_value=10**9))
def test_volumes_fall_into_powers_of_two(count: int) -> None:
    assert volume_bin(count) == min(module.BINS - 1, count.bit_length() - 1)


def test_activity_survives_being_stored() -> None:
    activity = taught(3).pairs[RULE, HOST]
    assert Activity.from_json(activity.to_json()) == activity


@given(
    st.lists(st.tuples(st.sampled_from([RULE, OTHER_RULE]), st.integers(0, 200), st.integers(1, 10_000)), min_size=1)
)
def test_surprise_is_always_finite_and_within_its_bounds(steps: list[tuple[bytes, int, int]]) -> None:
    baseline = Baseline()
    for rule, hour, alerts in steps:
        surprise = baseline.observe(rule, HOST, (USER,), hour, alerts)
        assert -module.MAX_LOG_ODDS <= surprise.arrival <= module.MAX_LOG_ODDS
        assert 0 <= surprise.volume <= module.MAX_LOG_ODDS
