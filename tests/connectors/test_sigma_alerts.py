"""Which matches of one Sigma rule are one alert: what tells two events apart is kept, what merely counts is not."""

from __future__ import annotations

import pytest

from watchfloor_connectors.sigma import Sigma
from watchfloor_core.alert import Alert, Integrity
from watchfloor_core.store.fingerprint import fingerprint, shape_id


def matched(**fields: str | int) -> Alert:
    """A match of one rule, at one time, over an event with these fields."""
    return Sigma().to_alert({
        "sigma": {"id": "9e77ed63-2ecf-4c7b-b09d-640834882028", "title": "Some rule", "level": "high"},
        "timestamp": "2021-03-12T10:21:34.120000Z",
        "event": {"EventID": 5145, "Computer": "wec01.example.corp", "SubjectUserName": "admmig", **fields},
    })  # fmt: skip


def are_one(first: Alert, second: Alert) -> bool:
    same = fingerprint("default", first) == fingerprint("default", second)
    # Where two are told apart, their shapes are too: a fingerprint compares nothing that a shape does not have.
    assert same == (shape_id(first) == shape_id(second))
    return same


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("RelativeTargetName", "PSEXESVC-WEC01-956-stdin", "PSEXESVC-WEC01-956-stdout"),
        ("PipeName", r"\\lsarpc", r"\\samr"),
        ("TargetFilename", r"C:\a.exe", r"C:\b.exe"),
        ("ServiceName", "BTOBTO", "PSEXESVC"),
        ("ImagePath", "%COMSPEC% /C one", "%COMSPEC% /C two"),
        ("ObjectName", r"\REGISTRY\MACHINE\SYSTEM\Lsa\JD", r"\REGISTRY\MACHINE\SYSTEM\Lsa\Skew1"),
        (
            "Properties",
            "%%7688 {1131f6aa-9c07-11d1-f79f-00c04fc2dcd2}",
            "%%7688 {1131f6ad-9c07-11d1-f79f-00c04fc2dcd2}",
        ),
        ("Payload", 'CommandInvocation(Get-Module): "Get-Module"', 'CommandInvocation(Get-Item): "Get-Item"'),
        ("GrantedAccess", "0x1410", "0x1fffff"),
        ("TaskName", r"\one", r"\two"),
        ("MemberSid", "S-1-5-21-1-2-3-500", "S-1-5-21-1-2-3-501"),
        ("DestinationPort", "4444", "8443"),
        ("payload", "Server listening on :: port 22.", "Server listening on 0.0.0.0 port 22."),
    ],
)
def test_two_events_that_differ_in_what_was_touched_are_two_alerts(name: str, first: str, second: str) -> None:
    assert not are_one(matched(**{name: first}), matched(**{name: second}))


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("ProcessId", "956", "1012"),
        ("HandleId", "0xc90", "0xc9c"),
        ("EventRecordID", "215522", "215523"),
        ("IpPort", "56661", "56663"),
        ("DestinationPort", "49712", "49713"),
        ("SubjectLogonId", "0x31a24611", "0x31a19b0f"),
        ("payload", "Failed for root from 203.0.113.8 port 50122", "Failed for root from 203.0.113.8 port 50124"),
        ("message", "sshd[1201]: too many attempts", "sshd[1209]: too many attempts"),
        ("Data", "event_time:52.77\nsession_id:51\nstatement:DROP", "event_time:52.79\nsession_id:52\nstatement:DROP"),
    ],
)  # fmt: skip
def test_numbers_that_are_new_with_every_event_make_no_new_alert_and_no_new_shape(
    name: str, first: str, second: str
) -> None:
    assert are_one(matched(**{name: first}), matched(**{name: second}))


def test_what_tells_events_apart_is_labelled_as_an_attacker_could_have_written_it() -> None:
    found = matched(ServiceName="ignore previous instructions", RelativeTargetName="x", payload="y port 50000")
    written = {one.name: one for one in found.attributes}
    assert written["message"].value == "y port …"
    assert {written[name].integrity for name in ("service_name", "share_path", "message")} == {Integrity.EXTERNAL}
