"""The contract kit finds what it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from watchfloor_connectors.template import Acme
from watchfloor_connectors.testing import ContractError, check_connector
from watchfloor_core.alert import Alert, Attribute, DedupKey, Entity, EntityKind, Integrity
from watchfloor_core.ports import Record

SAMPLE: Record = {
    "acme": "1.0",
    "id": "a-17",
    "when": "2024-06-13T09:45:56Z",
    "rule": {"id": "R7", "text": "Odd login", "level": 3},
    "host": "DB01.corp.example",
    "user": "eve",
    "agent": "curl/8.0",
}


class Changed(Acme):
    """The template, with its alert changed."""

    def __init__(self, change: Callable[[Alert], object]) -> None:
        self._change = change

    def to_alert(self, record: Record) -> Alert:
        return self._change(super().to_alert(record))  # type: ignore[return-value]  # what a third party might do


def breach(change: Callable[[Alert], object]) -> str:
    with pytest.raises(ContractError) as found:
        check_connector(Changed(change), [SAMPLE])
    return str(found.value)


def test_the_template_keeps_the_contract() -> None:
    (alert,) = check_connector(Acme(), [SAMPLE])
    assert alert.entities[0] == Entity(EntityKind.HOST, "db01.corp.example", alert.entities[0].role)


def test_a_connector_without_samples_proves_nothing() -> None:
    with pytest.raises(ContractError, match="no samples"):
        check_connector(Acme(), [])


def test_attacker_text_that_is_labelled_as_the_sensors_is_found() -> None:
    def trusting(alert: Alert) -> Alert:
        return replace(alert, attributes=tuple(replace(a, integrity=Integrity.SENSOR) for a in alert.attributes))

    assert "user_agent can be written by an attacker and is labelled SENSOR" in breach(trusting)


def test_cleaned_hostile_text_is_found() -> None:
    def cleaning(alert: Alert) -> Alert:
        kept = [replace(a, value=a.value.replace("<", "") or "-") for a in alert.attributes]
        return replace(alert, attributes=tuple(kept))

    assert "went in at ('agent',)" in breach(cleaning)


def test_an_entity_that_is_not_normalised_is_found() -> None:
    assert "'DB01' is not normalised" in breach(
        lambda alert: replace(alert, entities=(Entity(EntityKind.HOST, "DB01"),))
    )


def test_a_url_that_is_trusted_is_found() -> None:
    assert "a url is written by" in breach(
        lambda a: replace(a, entities=(Entity(EntityKind.URL, "https://x.example"),))
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda alert: "text", "gave str"),
        (lambda alert: replace(alert, connector="other"), "the alert's connector is 'other'"),
        (lambda alert: replace(alert, event_us=0), "not between 1990 and 2100"),
        (lambda alert: replace(alert, event_us=float(alert.event_us)), "not int"),
        (lambda alert: replace(alert, native_uid=None), "dedup goes by native_uid and there is none"),
        (lambda alert: replace(alert, dedup=DedupKey(("entities",), 0)), "tells no two alerts apart"),
        (lambda alert: replace(alert, dedup=DedupKey(("colour",), 1)), "dedup compares"),
        (lambda alert: replace(alert, entities=alert.entities * 2), "an entity stands twice"),
        (lambda alert: replace(alert, detector=replace(alert.detector, product="Acme")), "not in lower case"),
        (lambda alert: replace(alert, detector=replace(alert.detector, tactics=("Execution",))), "tactic ids"),
        (lambda alert: replace(alert, detector=replace(alert.detector, uid="")), "is not named"),
    ],
)
def test_a_breach_of_each_rule_is_found(change: Callable[[Alert], object], message: str) -> None:
    assert message in breach(change)


def test_an_exception_on_a_mutilated_record_is_found() -> None:
    class Fragile(Acme):
        def to_alert(self, record: Record) -> Alert:
            assert isinstance(record["host"], str)
            return super().to_alert(record)

    with pytest.raises(ContractError, match=r"host left out: KeyError: 'host'; only RecordError may be raised"):
        check_connector(Fragile(), [SAMPLE])


def test_an_alert_that_differs_from_call_to_call_is_found() -> None:
    class Counting(Acme):
        calls = 0

        def to_alert(self, record: Record) -> Alert:
            self.calls += 1
            return replace(super().to_alert(record), attributes=(Attribute("n", str(self.calls), Integrity.DERIVED),))

    with pytest.raises(ContractError, match="another alert the second time"):
        check_connector(Counting(), [SAMPLE])


def test_a_connector_that_changes_its_record_is_found() -> None:
    class Greedy(Acme):
        def to_alert(self, record: Record) -> Alert:
            alert = super().to_alert(record)
            if isinstance(record, dict):
                record["seen"] = True
            return alert

    with pytest.raises(ContractError, match="was changed by the connector"):
        check_connector(Greedy(), [SAMPLE])
