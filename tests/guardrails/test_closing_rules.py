"""Which incident a deterministic closing rule matches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from watchfloor_core.alert import Detector, Entity, EntityKind, EntityRole, Integrity, Severity
from watchfloor_core.clock import from_datetime
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.incident import Verdict
from watchfloor_guardrails.autonomy import NameMatch
from watchfloor_guardrails.closing_rule import ClosingRule, EntityMatch, RuleMatch, RuleSubject, matching_rule

NOON = from_datetime(datetime(2026, 6, 30, 12, tzinfo=UTC))
WEB01 = Entity(EntityKind.HOST, "web01", EntityRole.TARGET)
SCANNER = Entity(EntityKind.IP, "192.0.2.10", EntityRole.ACTOR)
SUBJECT = RuleSubject(Detector("suricata", "2001219", "ET SCAN SSH"), Severity.LOW, WEB01, (WEB01, SCANNER))
RULE = ClosingRule("scanner", Verdict.BENIGN_POSITIVE, "…", date(2026, 6, 30), RuleMatch(product="suricata"))


def is_matched(match: RuleMatch, subject: RuleSubject = SUBJECT) -> bool:
    return matching_rule([replace(RULE, match=match)], "acme", [subject], NOON) is not None


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (RuleMatch(product="suricata"), True),
        (RuleMatch(product="Suricata"), False),
        (RuleMatch(product="suricata", uid="2001219"), True),
        (RuleMatch(product="suricata", uid="200121"), False),
        (RuleMatch(product="suricata", title="ET SCAN SSH"), True),
        (RuleMatch(product="suricata", title="ET SCAN"), False),
        (RuleMatch(asset=EntityMatch(EntityKind.HOST, "web01")), True),
        (RuleMatch(asset=EntityMatch(EntityKind.HOST, "web02")), False),
        (RuleMatch(asset=EntityMatch(EntityKind.IP, "192.0.2.10")), False),
        (RuleMatch(entity=EntityMatch(EntityKind.IP, "192.0.2.10")), True),
        (RuleMatch(entity=EntityMatch(EntityKind.IP, "192.0.2.1")), False),
        (RuleMatch(entity=EntityMatch(EntityKind.HOST, "192.0.2.10")), False),
        (RuleMatch(tenant=NameMatch("acme"), product="suricata"), True),
        (RuleMatch(tenant=NameMatch("ac", is_prefix=True), product="suricata"), True),
        (RuleMatch(tenant=NameMatch("ac"), product="suricata"), False),
        (RuleMatch(product="suricata", severity_max=Severity.LOW), True),
        (RuleMatch(product="suricata", severity_max=Severity.INFORMATIONAL), False),
    ],
)
def test_every_part_that_a_rule_names_must_hold(match: RuleMatch, expected: bool) -> None:
    assert is_matched(match) is expected


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Severity.UNKNOWN, True),
        (Severity.MEDIUM, True),
        (Severity.HIGH, False),
        (Severity.FATAL, False),
        (Severity.OTHER, False),
    ],
)
def test_a_rule_stops_at_its_severity(severity: Severity, expected: bool) -> None:
    assert is_matched(RuleMatch(product="suricata"), replace(SUBJECT, severity=severity)) is expected


def test_a_value_that_an_attacker_wrote_in_this_alert_does_not_match() -> None:
    admin = EntityMatch(EntityKind.USER, "backup")
    trusted = Entity(EntityKind.USER, "backup", EntityRole.ACTOR, Integrity.SENSOR)
    claimed = replace(trusted, integrity=Integrity.EXTERNAL)
    assert is_matched(RuleMatch(entity=admin), replace(SUBJECT, entities=(trusted,)))
    assert not is_matched(RuleMatch(entity=admin), replace(SUBJECT, entities=(claimed,)))
    assert not is_matched(RuleMatch(asset=admin), replace(SUBJECT, asset=claimed))


def test_the_sensors_own_host_does_not_match() -> None:
    observer = replace(WEB01, role=EntityRole.OBSERVER)
    assert not is_matched(
        RuleMatch(entity=EntityMatch(EntityKind.HOST, "web01")), replace(SUBJECT, entities=(observer,))
    )


def test_an_alert_without_asset_is_on_no_asset() -> None:
    assert not is_matched(RuleMatch(asset=EntityMatch(EntityKind.HOST, "web01")), replace(SUBJECT, asset=None))


def test_one_alert_that_a_rule_does_not_cover_keeps_the_incident_open() -> None:
    other = replace(SUBJECT, detector=Detector("wazuh", "5710", "sshd: attempt"))
    assert matching_rule([RULE], "acme", [SUBJECT, SUBJECT], NOON) is RULE
    assert matching_rule([RULE], "acme", [SUBJECT, other], NOON) is None


def test_an_incident_without_alerts_matches_no_rule() -> None:
    assert matching_rule([RULE], "acme", [], NOON) is None


def test_the_first_rule_that_matches_closes() -> None:
    second = replace(RULE, id="second")
    assert matching_rule([RULE, second], "acme", [SUBJECT], NOON) is RULE
    assert matching_rule([second, RULE], "acme", [SUBJECT], NOON) is second


def test_a_rule_ends_with_its_last_day_in_utc() -> None:
    midnight = from_datetime(datetime(2026, 7, 1, tzinfo=UTC))
    assert matching_rule([RULE], "acme", [SUBJECT], midnight - 1) is RULE
    assert matching_rule([RULE], "acme", [SUBJECT], midnight) is None


@pytest.mark.parametrize("verdict", [Verdict.TRUE_POSITIVE, Verdict.UNDETERMINED])
def test_a_rule_that_closes_on_no_benign_verdict_cannot_exist(verdict: Verdict) -> None:
    with pytest.raises(ConfigurationError, match="a rule closes only on a benign verdict"):
        replace(RULE, verdict=verdict)
