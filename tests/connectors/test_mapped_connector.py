"""What a mapping makes of rows and JSON records."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from watchfloor_connectors.mapping import KEPT, MappedConnector
from watchfloor_connectors.mapping_load import load_mapping
from watchfloor_connectors.recent import Recent
from watchfloor_core.alert import Alert, DedupKey, Entity, EntityKind, EntityRole, Integrity, Severity, TimePrecision
from watchfloor_core.errors import ConfigurationError, RecordError
from watchfloor_core.ports import Record

HOST, USER, IP = EntityKind.HOST, EntityKind.USER, EntityKind.IP
RECEIVED_US = 1_700_000_000_000_000


def mapped(**changes: Any) -> MappedConnector:
    """A mapping of a small CSV, with some of its rules replaced."""
    rules = {
        "name": "acme",
        "version": "1",
        "detect": {"required": ["rule"]},
        "time": {"path": "time"},
        "detector": {"product": {"constant": "Acme"}, "uid": {"path": "rule"}, "title": {"path": "text"}},
        "severity": {"constant": "high"},
        **changes,
    }
    return MappedConnector(load_mapping(yaml.safe_dump(rules), "acme.yaml"), clock=lambda: RECEIVED_US)


def row(**values: Any) -> Record:
    return {"time": "1642723347", "rule": "R1", "text": "Odd", **values}


def alert(connector: MappedConnector, record: Record) -> Alert:
    found = connector.to_alert(record)
    assert found is not None
    return found


def test_constants_columns_and_the_lower_case_product() -> None:
    found = alert(mapped(), row())
    assert (found.detector.product, found.detector.uid, found.detector.title) == ("acme", "R1", "Odd")
    assert (found.severity, found.event_us, found.precision) == (Severity.HIGH, 1642723347_000000, TimePrecision.SECOND)
    assert found.dedup == DedupKey(("detector", "entities", "attributes"), 1)


def test_the_title_is_the_id_where_there_is_none_and_the_other_way_round() -> None:
    assert alert(mapped(), row(text="")).detector.title == "R1"
    assert alert(mapped(), row(rule="")).detector.uid == "Odd"
    with pytest.raises(RecordError, match=r"detector\.uid"):
        mapped().to_alert(row(text="", rule=""))


@pytest.mark.parametrize(
    ("rule", "value", "expected"),
    [
        ({"path": "x", "extract": r"id=(\d+)"}, "a id=42 b", "42"),
        ({"path": "x", "extract": r"id=(\d+)", "default": "none"}, "no id", "none"),
        ({"path": "x", "lower": True}, "ABC", "abc"),
        ({"path": "x", "lookup": {"1": "one"}, "default": "many"}, "1", "one"),
        ({"path": "x", "lookup": {"1": "one"}, "default": "many"}, "2", "many"),
        ({"path": ["missing", "x"]}, "second", "second"),
        ({"template": "{rule}/{x}"}, "y", "R1/y"),
        ({"template": ["{missing}", "{x}!"]}, "y", "y!"),
        ({"path": "x"}, 7, "7"),
        ({"path": "x"}, True, "true"),
        ({"path": "x.y[].z"}, {"y": [{"z": "first"}, {"z": "second"}]}, "first"),
        ({"path": "x.a.b"}, {"a.b": "flat"}, "flat"),
    ],
)
def test_what_a_value_rule_does(rule: dict[str, Any], value: Any, expected: str) -> None:
    connector = mapped(detector={"product": {"constant": "a"}, "uid": rule, "title": {"path": "text"}})
    assert alert(connector, row(x=value)).detector.uid == expected


def test_a_template_puts_attacker_text_in_and_does_not_run_it() -> None:
    connector = mapped(detector={"product": {"constant": "a"}, "uid": {"template": "<{x}>"}, "title": {"path": "text"}})
    assert alert(connector, row(x="{rule} {0.__class__} %s")).detector.uid == "<{rule} {0.__class__} %s>"


def test_severities_by_name_by_table_and_otherwise() -> None:
    by_name = mapped(severity={"path": "level"})
    assert alert(by_name, row(level="Critical")).severity is Severity.CRITICAL
    assert alert(by_name, row()).severity is Severity.UNKNOWN
    with pytest.raises(RecordError, match='the severity "P1" is not in the table'):
        by_name.to_alert(row(level="P1"))
    by_table = mapped(severity={"path": "level", "table": {"P1": "critical", "3": "low"}, "default": "medium"})
    assert [alert(by_table, row(level=level)).severity.name for level in ("p1", 3, "odd", "")] == [
        "CRITICAL", "LOW", "MEDIUM", "MEDIUM",
    ]  # fmt: skip


def test_tactics_and_techniques_are_split_and_found() -> None:
    connector = mapped(tactics={"path": "t", "split": ";"}, techniques={"path": "t", "split": ";"})
    found = alert(connector, row(t="Initial Access; T1078.004;TA0006")).detector
    assert (found.tactics, found.techniques) == (("TA0001", "TA0006"), ("T1078.004",))


def test_entities_have_their_kind_role_and_label() -> None:
    connector = mapped(
        entities=[
            {"kind": "host", "path": "host", "role": "target", "integrity": "sensor"},
            {"kind": "user", "path": "users", "split": ",", "role": "actor", "integrity": "external", "optional": True},
            {
                "kind": "ip",
                "path": "ip",
                "integrity": "sensor",
                "optional": True,
                "role": {"path": "side", "table": {"src": "actor"}},
            },
        ]
    )
    found = alert(connector, row(host="DB", users="Eve, bob,", ip="2001:DB8::1", side="src"))
    assert found.entities == (
        Entity(HOST, "db", EntityRole.TARGET, Integrity.SENSOR),
        Entity(USER, "eve", EntityRole.ACTOR, Integrity.EXTERNAL),
        Entity(USER, "bob", EntityRole.ACTOR, Integrity.EXTERNAL),
        Entity(IP, "2001:db8::1", EntityRole.ACTOR, Integrity.SENSOR),
    )
    with pytest.raises(RecordError, match="host: the record has no host, and this entity is not optional"):
        connector.to_alert(row())
    with pytest.raises(RecordError, match='ip: "x" is no IP address'):
        connector.to_alert(row(host="a", ip="x"))


def test_an_entity_may_depend_on_another_column_and_be_an_anonymised_id() -> None:
    rule = {
        "kind": "ip",
        "template": "org{org}.ip{n}",
        "integrity": "sensor",
        "optional": True,
        "verbatim": True,
        "when": [{"path": "what", "equals": ["Ip", "Address"]}],
    }
    connector = mapped(entities=[rule], null_values={"n": "360606"})
    assert [entity.value for entity in alert(connector, row(org=7, n=24, what="Ip")).entities] == ["org7.ip24"]
    assert alert(connector, row(org=7, n=24, what="User")).entities == ()
    assert alert(connector, row(org=7, n=360606, what="Ip")).entities == ()


def test_attributes_are_passed_on_unchanged_with_their_label() -> None:
    connector = mapped(attributes=[{"name": "command_line", "path": "cmd", "integrity": "external"}])
    (attribute,) = alert(connector, row(cmd=" rm -rf /\x1b[2J\n")).attributes
    assert (attribute.value, attribute.integrity) == (" rm -rf /\x1b[2J\n", Integrity.EXTERNAL)


def test_records_to_be_ignored_are_no_alerts_even_without_a_time() -> None:
    connector = mapped(ignore_when=[{"path": "type", "equals": ["flow", "dns"]}])
    assert connector.to_alert({"type": "flow"}) is None
    assert connector.to_alert(row(type="alert")) is not None


def test_a_record_without_time_is_refused_with_where_it_was_looked_for() -> None:
    connector = mapped(time={"path": ["a", "b.c", "d", "e"]})
    with pytest.raises(RecordError, match=r"looked for a, b\.c, d and 1 more"):
        connector.to_alert(row())
    with pytest.raises(RecordError, match='b: "redacted" is no ISO 8601 time'):
        mapped(time={"path": ["a", "b"]}).to_alert(row(b="redacted", c="2024-01-01T00:00:00Z"))


def test_the_time_of_receipt_is_taken_only_where_the_mapping_says_so_and_is_named() -> None:
    connector = mapped(time={"path": "when", "default": "received"})
    found = alert(connector, row())
    assert (found.event_us, [a.name for a in found.attributes]) == (RECEIVED_US, ["time_source"])
    assert alert(connector, row(when="2024-01-01T00:00:00Z")).attributes == ()


def test_the_first_time_that_is_present_decides() -> None:
    connector = mapped(time={"path": ["a", "b"], "zone": "UTC"})
    assert alert(connector, row(a="", b="2024-01-01 00:00:00")).event_us == 1704067200_000000


def test_a_native_uid_decides_where_there_is_one() -> None:
    connector = mapped(native_uid={"path": "id"})
    assert alert(connector, row(id="x-1")).dedup == DedupKey(("native_uid",), 0)
    without = alert(connector, row())
    assert (without.native_uid, without.dedup.fields) == (None, ("detector", "entities", "attributes"))


def test_dedup_may_be_stated() -> None:
    connector = mapped(dedup={"fields": ["detector"], "window_s": 300})
    assert alert(connector, row()).dedup == DedupKey(("detector",), 300)


def test_detection_by_header_required_paths_and_constants() -> None:
    by_header = mapped(detect={"header": ["time", "rule", "text"]})
    assert by_header.recognises(row())
    assert not by_header.recognises(row(more=1))
    by_value = mapped(detect={"required": ["a.b"], "constants": {"vendor": ["x", "y"]}})
    assert by_value.recognises({"a": {"b": 1}, "vendor": "y"})
    assert not by_value.recognises({"a": {"b": 1}, "vendor": "z"})
    assert not by_value.recognises({"a": {"b": None}, "vendor": "y"})


def test_all_missing_columns_are_named_with_the_header_and_what_is_near() -> None:
    connector = mapped(
        entities=[{"kind": "host", "path": "hostname", "integrity": "sensor"}],
        attributes=[{"name": "note", "path": ["note", "comment"], "integrity": "sensor"}],
    )
    with pytest.raises(ConfigurationError) as found:
        connector.check_columns(("time", "rule", "host_name", "comment"), "alerts.csv")
    message = str(found.value)
    assert "'hostname' (did you mean 'host_name'?)" in message
    assert "'text'" in message
    assert "alerts.csv" in message
    assert 'Its header is: "time", "rule", "host_name", "comment"' in message
    # Of two alternatives one is there.
    assert "'note'" not in message
    connector.check_columns(("time", "rule", "text", "hostname", "note"), "alerts.csv")


def test_rows_that_repeat_share_everything_but_their_time() -> None:
    connector = mapped(attributes=[{"name": "note", "path": "note", "integrity": "sensor"}])
    first, second = alert(connector, row(note="a")), alert(connector, row(note="a", time="1642723348"))
    assert first.detector is second.detector
    assert first.attributes is second.attributes
    assert second.event_us - first.event_us == 1_000_000
    assert alert(connector, row(note="b")).attributes != first.attributes


def test_remembered_rows_do_not_confuse_values_that_compare_equal() -> None:
    connector = mapped(attributes=[{"name": "n", "path": "n", "integrity": "sensor"}])
    values: list[Any] = [1, True, 1.0, "1", "true", "1.0"]
    assert [alert(connector, row(n=value)).attributes[0].value for value in values] == [
        "1", "true", "1.0", "1", "true", "1.0",
    ]  # fmt: skip


def test_the_memory_of_rows_is_bounded() -> None:
    recent: Recent[int] = Recent(3)
    for number in range(100):
        recent.put(number, number)
    assert [number for number in range(100) if recent.get(number) is not None] == [96, 97, 98, 99]
    connector = mapped()
    for number in range(3 * KEPT):
        alert(connector, row(text=str(number)))
    assert len(connector._recent._young) + len(connector._recent._old) <= 2 * KEPT


def test_long_rows_are_not_remembered() -> None:
    connector = mapped()
    first, second = alert(connector, row(text="x" * 2000)), alert(connector, row(text="x" * 2000))
    assert first == second
    assert first.detector is not second.detector


def test_a_path_to_an_object_is_refused() -> None:
    with pytest.raises(RecordError, match="text: is an object of 1; a text or number was expected"):
        mapped().to_alert(row(text={"a": 1}))
