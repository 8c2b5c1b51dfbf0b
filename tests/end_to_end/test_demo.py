"""The scenario that ships, as a newcomer plays it."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.end_to_end.conftest import Place


# Twice a stack, and Temporal's work for a few hundred incidents, perhaps beside other tests.
@pytest.mark.timeout(300)
def test_the_demo_tells_what_came_in_and_what_waits_and_a_person_decides(place: Place) -> None:
    played = place.call("demo", "--once")
    assert played.returncode == 0, played.stderr
    records = place.count("SELECT SUM(records) FROM batch WHERE tenant = 'demo'")
    assert re.search(rf"records +{records:,}\n", re.sub(r" +\n", "\n", played.stdout))
    for part in ("What came in", "What the agent closed", "within_normal", "What waits for a person", "escalated"):
        assert part in played.stdout
    # The commands that it names work as they stand, but for the data directory, which this place sets.
    shown = re.search(r"look first: \S*watchfloor (.+)", played.stdout)
    assert shown
    assert place.call(*shown[1].split()).returncode == 0
    told = re.search(r"^ +\S*watchfloor (.*incident report .+)$", played.stdout, re.MULTILINE)
    assert told
    report = place.call(*told[1].split())
    assert report.returncode == 0, report.stderr
    assert "# Investigation of incident" in report.stdout
    again = place.call("demo", "--once")
    assert again.returncode == 0
    assert "already here" in again.stdout
    assert place.count("SELECT SUM(records) FROM batch WHERE tenant = 'demo'") == records
    assert not (place.data_dir / "run.json").exists()
    a_person_decides_on_what_the_agent_proposes(place)


def a_person_decides_on_what_the_agent_proposes(place: Place) -> None:
    """What waits after the demonstration, approved, denied, changed and stopped from the command line."""
    place.up()
    key = place.data_dir.parent / "mine.pem"
    assert said(place, "keys", "new", "--no-passphrase", "--out", str(key)).returncode == 0
    first, second, third, *_ = waiting(place)
    blocklist = place.data_dir / "blocklist" / "demo.txt"
    assert not blocklist.exists()

    approved = said(place, "approvals", "approve", first, "--key", str(key), "--yes")
    assert approved.returncode == 0, approved.stderr
    assert "succeeded" in approved.stdout
    assert "read back" in approved.stdout
    assert len(blocklist.read_text().splitlines()) == 1
    # The same yes again, and a no to what is done.
    assert said(place, "approvals", "approve", first, "--key", str(key), "--yes").returncode != 0
    assert said(place, "approvals", "deny", first, "--comment", "late").returncode != 0

    assert said(place, "approvals", "deny", second, "--comment", "a partner of ours").returncode == 0
    assert said(place, "approvals", "approve", second, "--key", str(key), "--yes").returncode != 0

    # What is changed is another proposal, which whoever changed it cannot approve.
    assert said(place, "action", "edit", third, "--lease", "600", "--reason", "shorter").returncode == 0
    (changed,) = [one for one in waiting(place) if one not in (first, second, third) and is_persons(place, one)]
    own = said(place, "approvals", "approve", changed, "--key", str(key), "--yes")
    assert own.returncode == 4
    assert "another person decides" in own.stderr

    (left, *_) = [one for one in waiting(place) if one != changed]
    assert said(place, "kill", "engage", "tenant:demo", "--reason", "a drill").returncode == 0
    stopped = said(place, "approvals", "approve", left, "--key", str(key), "--yes")
    assert stopped.returncode == 4
    assert "kill switch" in stopped.stderr
    assert len(blocklist.read_text().splitlines()) == 1

    export = place.data_dir.parent / "ledger.ndjson"
    assert said(place, "ledger", "export", str(export)).returncode == 0
    pinned = ("--key", str(place.data_dir / "keys" / "checkpoint.pub"))
    assert place.call("ledger", "verify", str(export), *pinned).returncode == 0
    export.write_text(export.read_text().replace("a partner of ours", "a partner of mine"))
    assert place.call("ledger", "verify", str(export), *pinned).returncode == 1


def said(place: Place, *arguments: str) -> subprocess.CompletedProcess[str]:
    return place.call(*arguments, "--tenant", "demo")


def waiting(place: Place) -> list[str]:
    """Proposals that wait, once every draft has been looked at."""
    drafts = "SELECT COUNT(*) FROM action_proposal WHERE status = 'drafted'"
    place.until(lambda: place.count(drafts) == 0, "every draft is ruled on")
    return [
        str(row[0])
        for row in place.rows("SELECT id FROM action_proposal WHERE status = 'waiting' ORDER BY created_us, id")
    ]


def is_persons(place: Place, proposal_id: str) -> bool:
    (draft,) = [row[1] for row in place.rows("SELECT id, draft FROM action_proposal") if row[0] == proposal_id]
    kind: str = json.loads(str(draft))["proposer"]["kind"]
    return kind == "person"
