"""What each connector makes of its vendor's records, field by field."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from watchfloor_connectors.framing import read_file
from watchfloor_connectors.registry import Registry
from watchfloor_core.alert import Alert, DedupKey, EntityKind, EntityRole, Integrity, Severity, TimePrecision
from watchfloor_core.clock import to_iso
from watchfloor_core.errors import RecordError
from watchfloor_core.settings import Settings

SAMPLES = Path(__file__).parent / "samples"
REGISTRY = Registry.load(Settings())
HOST, USER, IP, DOMAIN = EntityKind.HOST, EntityKind.USER, EntityKind.IP, EntityKind.DOMAIN
TARGET, ACTOR, RELATED, OBSERVER = EntityRole.TARGET, EntityRole.ACTOR, EntityRole.RELATED, EntityRole.OBSERVER
BY_ID = DedupKey(("native_uid",), 0)


def sample(name: str, number: int) -> dict[str, Any]:
    """The n-th record (from 1) of a vendor's samples, to be changed at will."""
    record = list(read_file(next(SAMPLES.glob(f"{name}.*"))))[number - 1].record
    assert isinstance(record, dict)
    return copy.deepcopy(record)


def alert_of(name: str, record: dict[str, Any]) -> Alert:
    alert = REGISTRY.get(name).to_alert(record)
    assert alert is not None
    return alert


def alert(name: str, number: int) -> Alert:
    return alert_of(name, sample(name, number))


def entities(found: Alert) -> set[tuple[EntityKind, str, EntityRole]]:
    return {(entity.kind, entity.value, entity.role) for entity in found.entities}


def attributes(found: Alert, name: str) -> list[str]:
    return [attribute.value for attribute in found.attributes if attribute.name == name]


# Suricata


def test_suricata_rule_time_and_severity() -> None:
    found = alert("suricata", 1)
    assert (found.detector.product, found.detector.uid) == ("suricata", "2024897")
    assert found.detector.title == "ET USER_AGENTS Go HTTP Client User-Agent"
    assert found.detector.category == "Misc activity"
    assert found.severity is Severity.LOW
    assert (to_iso(found.event_us), found.precision) == ("2024-06-13T07:45:56.123456Z", TimePrecision.MICROSECOND)


def test_suricata_inbound_traffic_targets_the_private_address() -> None:
    assert entities(alert("suricata", 1)) >= {(IP, "10.20.0.14", TARGET), (IP, "203.0.113.45", ACTOR)}


def test_suricata_outbound_traffic_makes_the_inside_host_the_asset() -> None:
    found = alert("suricata", 2)
    assert entities(found) >= {
        (IP, "10.20.0.31", TARGET),
        (IP, "198.51.100.9", RELATED),
        (HOST, "sensor-dmz", OBSERVER),
    }
    assert found.asset is not None
    assert found.asset.value == "10.20.0.31"


def test_suricata_believes_the_rule_that_names_its_target() -> None:
    assert entities(alert("suricata", 3)) >= {(IP, "2001:db8::20", TARGET), (IP, "2001:db8::1", ACTOR)}


def test_suricata_rule_metadata_gives_attack_ids() -> None:
    assert alert("suricata", 2).detector.tactics == ("TA0011",)
    assert alert("suricata", 2).detector.techniques == ("T1071",)


def test_suricata_rules_of_other_generators_keep_their_generator() -> None:
    assert alert("suricata", 4).detector.uid == "128:4"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_suricata_events_that_are_no_alerts_are_ignored(number: int) -> None:
    record = sample("suricata_other", number)
    assert REGISTRY.get("suricata").recognises(record)
    assert REGISTRY.get("suricata").to_alert(record) is None


@pytest.mark.parametrize("dns", [{"query": [{"rrname": "Evil.example."}]}, {"rrname": "Evil.example."}])
def test_suricata_reads_every_version_of_its_dns_events(dns: dict[str, Any]) -> None:
    found = alert_of("suricata", {**sample("suricata", 2), "dns": dns})
    assert (DOMAIN, "evil.example", RELATED) in entities(found)
    assert attributes(found, "dns_query") == ["Evil.example."]


def test_suricata_alerts_of_one_scan_have_one_shape() -> None:
    first, second = (
        {**sample("suricata", 4), "src_port": port, "dest_port": port, "flow_id": port, "app_proto": "failed"}
        for port in (40001, 40002)
    )
    assert alert_of("suricata", first) == alert_of("suricata", second)


# Wazuh


def test_wazuh_rule_levels_are_ocsf_severities() -> None:
    record = sample("wazuh", 1)
    found = []
    for level in range(17):
        record["rule"]["level"] = level
        found.append(alert_of("wazuh", record).severity)
    assert found == [
        *[Severity.INFORMATIONAL] * 4,
        *[Severity.LOW] * 3,
        *[Severity.MEDIUM] * 5,
        *[Severity.HIGH] * 3,
        *[Severity.CRITICAL] * 2,
    ]


def test_wazuh_user_of_a_failed_login_is_what_somebody_typed() -> None:
    found = alert("wazuh", 1)
    (user,) = [entity for entity in found.entities if entity.kind is USER]
    assert user.integrity is Integrity.EXTERNAL
    assert attributes(found, "login_user") == [sample("wazuh", 1)["data"]["srcuser"]]


def test_wazuh_time_detector_and_native_id() -> None:
    found = alert("wazuh", 2)
    assert (to_iso(found.event_us), found.precision) == ("2022-01-24T02:02:11.456000Z", TimePrecision.MILLISECOND)
    assert (found.detector.product, found.detector.uid) == ("wazuh", "31103")
    assert (found.detector.tactics, found.detector.techniques) == (("TA0001",), ("T1190",))
    assert (found.native_uid, found.dedup) == ("wazuh-mgr:1642990331.4821", BY_ID)


def test_wazuh_relayed_event_happened_on_the_host_that_sent_it() -> None:
    found = alert("wazuh", 4)
    assert found.asset is not None
    assert found.asset.value == "fw-edge"


def test_wazuh_source_address_that_is_none_does_not_hide_the_alert() -> None:
    record = sample("wazuh", 1)
    record["data"]["srcip"] = "not-an-address.example"
    assert not [entity for entity in alert_of("wazuh", record).entities if entity.value.startswith("not-an")]


def test_wazuh_alert_inside_an_index_is_the_same_alert() -> None:
    record = sample("wazuh", 1)
    hit: dict[str, Any] = {"_index": "wazuh-alerts-4.x-2022.01.24", "_id": "x", "_source": record}
    assert REGISTRY.detect([hit]).name == "wazuh"
    assert alert_of("wazuh", hit) == alert_of("wazuh", record)


# CrowdStrike


def test_crowdstrike_summary_is_named_by_its_gravest_behaviour_and_has_all_that_the_others_touched() -> None:
    found = alert("crowdstrike", 1)
    assert (found.detector.uid, found.detector.title) == ("10304", "PowershellFromOffice")
    assert found.detector.techniques == ("T1059.001", "T1071.001")
    assert entities(found) >= {
        (HOST, "hr-laptop-3", TARGET),
        (USER, "j.doe", ACTOR),
        (DOMAIN, "c2.example.net", RELATED),
    }
    assert to_iso(found.event_us) == "2024-02-29T13:14:02Z"
    assert (found.severity, found.dedup) == (Severity.HIGH, BY_ID)


def test_crowdstrike_alert_v2_goes_by_its_composite_id() -> None:
    record = sample("crowdstrike", 2)
    found = alert_of("crowdstrike", record)
    assert found.native_uid == record["composite_id"]
    assert found.detector.uid == "5733"
    assert found.detector.tactics == ("TA0006",)
    assert entities(found) >= {(HOST, "dc01", TARGET), (USER, "svc_backup@corp.example", ACTOR)}


@pytest.mark.parametrize(
    ("score", "expected"), [(10, "INFORMATIONAL"), (30, "LOW"), (50, "MEDIUM"), (70, "HIGH"), (100, "CRITICAL")]
)
def test_crowdstrike_scores_without_a_name_are_banded(score: int, expected: str) -> None:
    record = sample("crowdstrike", 2)
    del record["severity_name"]
    assert alert_of("crowdstrike", {**record, "severity": score}).severity.name == expected


# Microsoft


def test_sentinel_references_between_entities_are_followed() -> None:
    found = alert("microsoft", 1)
    assert attributes(found, "parent_command_line") == ["winword.exe Q4.docm"]
    hashes = [entity.value for entity in found.entities if entity.kind is EntityKind.FILE_HASH]
    assert hashes == ["3247bcfd60f6dd25f34cb74b5889ab10ef1b3ec72b4d4b3d95b5b25b534560b8"]


def test_sentinel_row_detector_time_and_actors() -> None:
    found = alert("microsoft", 1)
    assert (found.detector.product, found.detector.uid) == ("defender-endpoint", "7f1c3609-a3ff-40e2-995b-c01770161d68")
    assert found.detector.tactics == ("TA0002", "TA0005")
    assert entities(found) >= {
        (HOST, "ws-12.corp.example", TARGET),
        (USER, "m.meier@corp.example", ACTOR),
        (IP, "203.0.113.5", ACTOR),
    }
    assert to_iso(found.event_us) == "2024-06-26T15:49:51.202462Z"


def test_sentinel_account_without_a_host_is_what_was_attacked() -> None:
    assert (USER, "corp\\admin", TARGET) in entities(alert("microsoft", 3))


def test_sentinel_mail_sender_is_text_that_anyone_can_write() -> None:
    found = alert("microsoft", 2)
    (sender,) = [entity for entity in found.entities if entity.value == "ceo@c0rp.example"]
    assert (sender.kind, sender.role, sender.integrity) == (EntityKind.MAILBOX, ACTOR, Integrity.EXTERNAL)
    assert found.precision is TimePrecision.NANOSECOND


def test_sentinel_entities_that_were_cut_off_do_not_hide_the_alert() -> None:
    record = sample("microsoft", 1)
    record["Entities"] = record["Entities"][:200]
    found = alert_of("microsoft", record)
    assert found.entities == ()
    assert attributes(found, "compromised_entity") == ["WS-12.corp.example"]
    assert attributes(found, "entities_unreadable")[0].startswith("not valid JSON")


def test_graph_alert_has_the_same_product_as_its_row_in_sentinel() -> None:
    found = alert("microsoft", 4)
    assert (found.detector.product, found.detector.techniques) == ("defender-endpoint", ("T1564.001",))
    assert entities(found) >= {(HOST, "tonytest02.corp.example", TARGET), (IP, "203.0.113.77", ACTOR)}
    assert (found.native_uid, found.severity) == ("da637551227677560813_-961444813", Severity.LOW)


def test_graph_evidence_of_an_unknown_kind_is_passed_over() -> None:
    assert (EntityKind.MAILBOX, "bob@corp.example", TARGET) in entities(alert("microsoft", 5))


# GuardDuty


def test_guardduty_finding_is_the_same_in_pascal_case_and_in_an_event() -> None:
    finding = sample("guardduty", 1)

    def camel(value: Any) -> Any:
        if isinstance(value, dict):
            return {name[0].lower() + name[1:]: camel(item) for name, item in value.items()}
        return [camel(item) for item in value] if isinstance(value, list) else value

    event = {"version": "0", "detail-type": "GuardDuty Finding", "source": "aws.guardduty", "detail": camel(finding)}
    assert alert_of("guardduty", event) == alert_of("guardduty", finding)


@pytest.mark.parametrize(
    ("score", "expected"), [(1.0, "LOW"), (3.9, "LOW"), (4, "MEDIUM"), (7, "HIGH"), (8.9, "HIGH"), (9, "CRITICAL")]
)
def test_guardduty_severity_bands(score: float, expected: str) -> None:
    assert alert_of("guardduty", {**sample("guardduty", 1), "Severity": score}).severity.name == expected


def test_guardduty_names_instance_account_domain_and_tactic() -> None:
    found = alert("guardduty", 1)
    assert found.asset is not None
    assert found.asset.value == "i-0abc"
    assert found.detector.tactics == ("TA0011",)
    assert (EntityKind.RESOURCE, "aws-account:123456789012", RELATED) in entities(found)
    assert to_iso(found.event_us) == "2024-03-01T10:15:00Z"


# Elastic


def test_elastic_alert_is_the_same_flat_and_nested() -> None:
    flat = sample("elastic", 1)
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split(".")
        at = nested
        for parent in parents:
            at = at.setdefault(parent, {})
        at[name] = value
    assert alert_of("elastic", nested) == alert_of("elastic", flat)


def test_elastic_event_time_detector_and_addresses() -> None:
    found = alert("elastic", 1)
    assert to_iso(found.event_us) == "2024-05-05T12:00:01.123000Z"
    assert (found.detector.uid, found.detector.techniques) == ("rule-powershell-office", ("T1059.001",))
    # Loopback and link-local addresses would join all hosts.
    assert [entity.value for entity in found.entities if entity.kind is IP] == ["10.7.7.7"]
    assert (found.native_uid, found.dedup) == ("5bb1", BY_ID)


def test_elastic_7_signals_are_read_and_deduplicated_by_content() -> None:
    found = alert("elastic", 3)
    assert (found.detector.uid, found.severity) == ("brute-force", Severity.LOW)
    assert (found.native_uid, found.dedup.fields) == (None, ("detector", "entities", "attributes"))


def test_elastic_building_blocks_are_no_alerts_of_their_own() -> None:
    record = {**sample("elastic", 1), "kibana.alert.building_block_type": "default"}
    assert REGISTRY.get("elastic").to_alert(record) is None


# OCSF


def test_ocsf_finding() -> None:
    found = alert("ocsf", 1)
    assert (found.detector.product, found.detector.uid, found.detector.title) == (
        "acmeedr",
        "AN-77",
        "LSASS memory read",
    )
    assert (found.detector.tactics, found.detector.techniques) == (("TA0006",), ("T1003.001",))
    assert (found.severity, found.native_uid) == (Severity.HIGH, "fi-1")
    assert (to_iso(found.event_us), found.precision) == ("2024-06-13T09:45:56.123000Z", TimePrecision.MILLISECOND)
    assert entities(found) >= {
        (HOST, "dc01.corp.example", TARGET),
        (IP, "10.0.0.10", TARGET),
        (USER, "corp\\eve", ACTOR),
    }
    # The observables say the same once more.
    assert len({entity.value for entity in found.entities}) == len(found.entities)


def test_ocsf_message_that_a_finding_was_closed_is_no_alert() -> None:
    assert REGISTRY.get("ocsf").to_alert({**sample("ocsf", 1), "activity_id": 3}) is None


def test_ocsf_finer_time_of_the_datetime_profile_is_kept() -> None:
    assert alert("ocsf", 2).precision is TimePrecision.MICROSECOND


@pytest.mark.parametrize(("severity", "message"), [(7, "is 7; 0 to 6 or 99"), ("high", "an integer was expected")])
def test_ocsf_severity_outside_the_schema_is_refused(severity: object, message: str) -> None:
    with pytest.raises(RecordError, match=message) as found:
        alert_of("ocsf", {**sample("ocsf", 1), "severity_id": severity})
    assert found.value.path == "severity_id"


# Sigma


def test_sigma_match_of_chainsaw_marks_the_user_of_a_failed_logon() -> None:
    found = alert("sigma", 2)
    (user,) = [entity for entity in found.entities if entity.kind is USER]
    assert user.integrity is Integrity.EXTERNAL
    assert (HOST, "pc01.example.corp", TARGET) in entities(found)
    assert found.detector.tactics == ("TA0001", "TA0003")


def test_sigma_match_of_hayabusa() -> None:
    found = alert("sigma", 3)
    assert (found.severity, to_iso(found.event_us)) == (Severity.CRITICAL, "2021-12-09T13:23:50.123000Z")
    assert (found.detector.tactics, found.detector.techniques) == (("TA0002",), ("T1059.001",))
    assert (USER, "corp\\bob", ACTOR) in entities(found)


def test_sigma_event_id_with_qualifiers_is_read() -> None:
    record = sample("sigma", 2)
    record["document"]["data"]["Event"]["System"]["EventID"] = {"#attributes": {"Qualifiers": 0}, "#text": 4625}
    assert attributes(alert_of("sigma", record), "event_id") == ["4625"]


# All


@pytest.mark.parametrize(
    ("name", "record", "path", "message"),
    [
        (
            "suricata",
            {"event_type": "alert", "timestamp": "2024-06-13T07:46:10Z", "alert": {"x": 1}},
            "alert.signature_id",
            "rule id",
        ),
        (
            "suricata",
            {"event_type": "alert", "timestamp": "yesterday", "alert": {"signature_id": 1}},
            None,
            '"yesterday" is no ISO 8601',
        ),
        ("wazuh", {"rule": {"id": "1", "level": "x"}, "timestamp": "2024-06-13T07:46:10Z"}, "level", 'the text "x"'),
        ("crowdstrike", {"composite_id": "x"}, "timestamp", "a time"),
        ("guardduty", {"Type": [], "Id": "x"}, "type", "is a list of 0; a text was expected"),
    ],
)
def test_a_refusal_names_path_value_and_expectation(
    name: str, record: dict[str, Any], path: str | None, message: str
) -> None:
    with pytest.raises(RecordError) as found:
        REGISTRY.get(name).to_alert(record)
    assert found.value.path == path
    assert message.replace("a time", "time") in found.value.reason


def test_a_value_that_the_sensor_states_and_that_is_malformed_is_refused() -> None:
    with pytest.raises(RecordError, match=r'src_ip: "10\.20\.0\.999" is no IP address'):
        alert_of("suricata", {**sample("suricata", 4), "src_ip": "10.20.0.999"})


def test_a_huge_attacker_written_value_makes_an_entity_of_bounded_size() -> None:
    record = sample("microsoft", 1)
    listed = json.loads(record["Entities"])
    listed[-1]["Url"] = "https://evil.example/" + "ü" * 10_000
    found = alert_of("microsoft", {**record, "Entities": json.dumps(listed)})
    (url,) = [entity for entity in found.entities if entity.kind is EntityKind.URL]
    assert len(url.value.encode()) <= 1024
    assert attributes(found, "url") == [listed[-1]["Url"]]
