"""Telling people: everybody who is asked, whatever fails on the way, and nobody else."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

import pytest
from sqlalchemy import select

from watchfloor_connectors.channels.built import AddressedChannel
from watchfloor_connectors.channels.http import BusyError
from watchfloor_core.errors import ConfigurationError, UnavailableError
from watchfloor_core.notice import ApprovalNotice, NoticeKind
from watchfloor_core.settings import Settings
from watchfloor_core.store.engine import Store
from watchfloor_core.store.schema import span as span_table
from watchfloor_core.telemetry.setup import configure_telemetry
from watchfloor_workflows.notifying import Notifier


@dataclass
class Recorder:
    """A channel that remembers, and fails as it is told."""

    name: str
    error: Exception | None = None
    told: list[ApprovalNotice] = field(default_factory=list)

    def notify(self, notice: ApprovalNotice) -> None:
        self.told.append(notice)
        if self.error is not None:
            raise self.error


def notice(roles: tuple[str, ...] = ("responder",), tenant: str = "default") -> ApprovalNotice:
    return ApprovalNotice(
        tenant=tenant,
        proposal_id="act-0123456789abcdef",
        incident_id="inc-0123456789abcdef",
        kind=NoticeKind.REQUEST,
        action_class="deny_ip",
        target='"192.0.2.7"',
        digest="ab" * 32,
        roles=roles,
        deadline_us=1,
        text="deny ip",
    )


def addressed(channel: Recorder, *roles: str, tenant: str = "default") -> AddressedChannel:
    return AddressedChannel(channel, tenant, roles)


def test_each_channel_that_reaches_who_is_asked_is_told_and_no_other() -> None:
    responders, leads, others = Recorder("responders"), Recorder("leads"), Recorder("others")
    notifier = Notifier(
        [
            addressed(responders, "responder", "lead"),
            addressed(leads, "lead"),
            addressed(others, "responder", tenant="acme"),
        ]
    )
    assert notifier.notify(notice()).delivered == ("responders",)
    assert notifier.notify(notice(("lead",))).delivered == ("responders", "leads")
    assert notifier.notify(notice(())).delivered == ("responders", "leads")
    assert others.told == []


def test_a_channel_that_fails_keeps_no_other_from_being_told(caplog: pytest.LogCaptureFixture) -> None:
    broken = [
        Recorder("busy", BusyError("asked to wait", 17)),
        Recorder("away", UnavailableError("away")),
        Recorder("wrong", ConfigurationError("no such\nconversation")),
        Recorder("defect", ZeroDivisionError("a defect")),
    ]
    last = Recorder("last")
    notifier = Notifier([addressed(one, "responder") for one in (*broken, last)])
    with caplog.at_level(logging.WARNING):
        report = notifier.notify(notice())
    assert report.delivered == ("last",)
    assert report.has_reached_someone
    assert [(one.channel, one.may_retry, one.error) for one in report.failed] == [
        ("busy", True, "BusyError"),
        ("away", True, "UnavailableError"),
        ("wrong", False, "ConfigurationError"),
        ("defect", False, "ZeroDivisionError"),
    ]
    assert (report.to_retry, report.retry_after_s) == (frozenset({"busy", "away"}), 17)
    assert all("\n" not in record.getMessage() for record in caplog.records)


def test_only_those_that_failed_are_tried_again() -> None:
    away, fine = Recorder("away", UnavailableError("away")), Recorder("fine")
    notifier = Notifier([addressed(away, "responder"), addressed(fine, "responder")])
    report = notifier.notify(notice())
    away.error = None
    assert notifier.notify(notice(), only=report.to_retry).delivered == ("away",)
    assert len(fine.told) == 1


def test_a_caller_that_tries_again_is_told_to_only_where_that_may_help() -> None:
    away = AddressedChannel(Recorder("away", UnavailableError("away")), "default", ("responder",))
    wrong = AddressedChannel(Recorder("wrong", ConfigurationError("wrong")), "default", ("responder",))
    fine = AddressedChannel(Recorder("fine"), "default", ("responder",))
    with pytest.raises(UnavailableError, match="away may later"):
        Notifier([away, wrong]).send(notice())
    Notifier([wrong]).send(notice())
    Notifier([away, fine]).send(notice())
    Notifier([]).send(notice())


def test_channels_are_told_side_by_side() -> None:
    together = threading.Barrier(4)

    class Meeting(Recorder):
        def notify(self, notice: ApprovalNotice) -> None:
            together.wait(10)

    report = Notifier([addressed(Meeting(f"c{number}"), "responder") for number in range(4)]).notify(notice())
    assert report.delivered == ("c0", "c1", "c2", "c3")


def test_that_nobody_could_be_told_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        report = Notifier([]).notify(notice(("lead",)))
    assert not report.has_reached_someone
    assert "no channel reaches lead" in caplog.text


def test_each_delivery_is_a_span_and_a_failed_one_says_so(sqlite_store: Store) -> None:
    notifier = Notifier(
        [addressed(Recorder("fine"), "responder"), addressed(Recorder("away", UnavailableError("x")), "responder")]
    )
    with configure_telemetry(Settings(), sqlite_store, "test"):
        notifier.notify(notice())
    with sqlite_store.read() as connection:
        rows = connection.execute(select(span_table)).all()
    told = {row.attributes["watchfloor.approval.channel"]: row for row in rows}
    assert {name: (row.name, row.status) for name, row in told.items()} == {
        "fine": ("watchfloor.notify", "unset"),
        "away": ("watchfloor.notify", "error"),
    }
    assert told["away"].attributes["error.type"] == "UnavailableError"
