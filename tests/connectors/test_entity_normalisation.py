"""One spelling for each entity."""

from __future__ import annotations

import pytest

from watchfloor_connectors.attack import TACTICS, tactic_ids, technique_ids
from watchfloor_connectors.draft import AlertDraft
from watchfloor_connectors.normalise import MAX_ENTITY_BYTES, bounded, normalise
from watchfloor_core.alert import Entity, EntityKind, EntityRole, Integrity
from watchfloor_core.errors import RecordError


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (EntityKind.HOST, " DB01.Corp.Example. ", "db01.corp.example"),
        (EntityKind.USER, "CORP\\Eve", "corp\\eve"),
        (EntityKind.MAILBOX, "Bob@Corp.example", "bob@corp.example"),
        (EntityKind.DOMAIN, "Evil.Example.", "evil.example"),
        (EntityKind.IP, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        (EntityKind.IP, "::ffff:192.0.2.1", "192.0.2.1"),
        (EntityKind.IP, "fe80::1%eth0", "fe80::1"),
        (EntityKind.IP, "192.0.2.1", "192.0.2.1"),
        (EntityKind.FILE_HASH, "D41D8CD98F00B204E9800998ECF8427E", "d41d8cd98f00b204e9800998ecf8427e"),
        (EntityKind.URL, "https://Evil.example/Path", "https://Evil.example/Path"),
        (EntityKind.HOST, " ", None),
        (EntityKind.USER, "-", None),
    ],
)
def test_each_kind_has_one_spelling(kind: EntityKind, value: str, expected: str | None) -> None:
    assert normalise(kind, value) == expected
    if expected is not None:
        assert normalise(kind, expected) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (EntityKind.IP, "10.0.0.256"),
        (EntityKind.IP, "010.0.0.1"),
        (EntityKind.IP, "host"),
        (EntityKind.FILE_HASH, "abc"),
    ],
)
def test_what_cannot_be_of_that_kind_is_refused(kind: EntityKind, value: str) -> None:
    with pytest.raises(RecordError, match="is no"):
        normalise(kind, value)


def test_long_values_stay_apart_and_fit_an_index() -> None:
    first, second = bounded("ü" * 5000 + "a"), bounded("ü" * 5000 + "b")
    assert first != second
    assert max(len(first.encode()), len(second.encode())) <= MAX_ENTITY_BYTES


def test_a_malformed_value_of_the_sensor_refuses_the_record_and_one_of_an_attacker_does_not() -> None:
    draft = AlertDraft()
    with pytest.raises(RecordError, match="src_ip"):
        draft.entity(EntityKind.IP, "x", path="src_ip")
    draft.entity(EntityKind.IP, "x", integrity=Integrity.EXTERNAL)
    draft.entity(EntityKind.IP, "x", is_guess=True)
    assert draft.entities() == ()


def test_an_entity_that_two_name_has_the_better_witness_and_the_telling_role() -> None:
    draft = AlertDraft()
    draft.entity(EntityKind.HOST, "a", EntityRole.RELATED)
    draft.entity(EntityKind.HOST, "A", EntityRole.TARGET, Integrity.EXTERNAL)
    draft.entity(EntityKind.HOST, "a", EntityRole.TARGET, Integrity.SENSOR)
    assert draft.entities() == (Entity(EntityKind.HOST, "a", EntityRole.TARGET, Integrity.SENSOR),)


def test_attacker_authored_attributes_are_external_whatever_a_connector_says() -> None:
    draft = AlertDraft()
    draft.attribute("command_line", "rm -rf /", Integrity.SENSOR)
    draft.attribute("action", "blocked")
    assert [attribute.integrity for attribute in draft.attributes()] == [Integrity.EXTERNAL, Integrity.SENSOR]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Initial Access", "TA0001"),
        ("InitialAccess", "TA0001"),
        ("attack.command_and_control", "TA0011"),
        ("attack.defense-evasion", "TA0005"),
        ("TA0040", "TA0040"),
        ("TA0008:T1550", "TA0008"),
        ("LatMov", "TA0008"),
    ],
)
def test_tactics_by_every_way_of_writing_them(text: str, expected: str) -> None:
    assert tactic_ids(text) == (expected,)


def test_all_enterprise_tactics_have_an_id_of_their_own() -> None:
    assert len(TACTICS) == 14
    assert len({tactic_ids(name) for name in TACTICS} - {()}) == 14


def test_techniques_are_found_in_any_text_and_nothing_else_is() -> None:
    assert technique_ids('["T1059","T1059.001"]', "attack.t1110.003", "TA0001") == ("T1059", "T1059.001", "T1110.003")
    assert technique_ids("UT1059", "T10591", "T105", "") == ()
