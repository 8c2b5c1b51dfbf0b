"""The scenario that ships, as a newcomer plays it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place


# Twice a stack, and Temporal's work for a few hundred incidents, perhaps beside other tests.
@pytest.mark.timeout(300)
def test_the_demo_tells_what_came_in_what_was_closed_and_what_waits(place: Place) -> None:
    played = place.call("demo", "--once")
    assert played.returncode == 0, played.stderr
    records = place.count("SELECT SUM(records) FROM batch WHERE tenant = 'demo'")
    assert re.search(rf"records +{records:,}\n", re.sub(r" +\n", "\n", played.stdout))
    for part in ("What came in", "What the agent closed", "within_normal", "What waits for a person", "escalated"):
        assert part in played.stdout
    # The commands that it names work as they stand, but for the data directory, which this place sets.
    shown = re.search(r"look first: watchfloor (.+)", played.stdout)
    assert shown
    assert place.call(*shown[1].split()).returncode == 0
    again = place.call("demo", "--once")
    assert again.returncode == 0
    assert "already here" in again.stdout
    assert place.count("SELECT SUM(records) FROM batch WHERE tenant = 'demo'") == records
    assert not (place.data_dir / "run.json").exists()
