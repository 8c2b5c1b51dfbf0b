"""Questions about telemetry: what they refuse, what leads from an event to its relatives, and what evidence says."""

from __future__ import annotations

import pytest

from watchfloor_core.alert import EntityKind, Integrity, TimePrecision
from watchfloor_core.canonical import JsonValue
from watchfloor_core.evidence import MAX_BODY, Evidence, EvidenceKind, evidence_of_event, evidence_of_groups
from watchfloor_core.logs.event import EventType, LogEvent, Value
from watchfloor_core.logs.fields import INTEGERS, NAMING, Field, integrity_of
from watchfloor_core.logs.follow import Relation, follow, is_certain
from watchfloor_core.logs.query import (
    Aggregate,
    AllOf,
    EntityRef,
    Not,
    Operator,
    Select,
    TimeRange,
    Where,
    query_digest,
    query_to_json,
)
from watchfloor_core.logs.source import Coverage, Group, Groups, Health

RANGE = TimeRange(0, 1_000_000)


def event(original: dict[str, JsonValue] | None = None, **fields: Value) -> LogEvent:
    named = {Field[name]: value for name, value in fields.items()}
    return LogEvent("e" * 64, "lab", 5, TimePrecision.MILLISECOND, EventType.PROCESS_START, named, original or {})


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="not after its start 7"):
        TimeRange(7, 7)


@pytest.mark.parametrize(
    ("name", "operator", "values"),
    [
        (Field.USER_NAME, Operator.EQUALS, ()),
        (Field.USER_NAME, Operator.EXISTS, ("x",)),
        (Field.USER_NAME, Operator.AT_LEAST, (3,)),
        (Field.DESTINATION_PORT, Operator.AT_MOST, ("3",)),
    ],
)
def test_a_condition_whose_values_do_not_fit_is_refused(
    name: Field, operator: Operator, values: tuple[Value, ...]
) -> None:
    with pytest.raises(ValueError, match=name.value):
        Where(name, operator, values)


@pytest.mark.parametrize("limit", [0, 10_001])
def test_a_limit_out_of_bounds_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="expected 1 to 10,000"):
        Select(range=RANGE, limit=limit)


def test_equal_questions_have_equal_digests_and_others_differ() -> None:
    def asked(value: str) -> Select:
        named = (EntityRef(EntityKind.USER, value),)
        return Select(
            range=RANGE,
            types=frozenset({EventType.LOGON, EventType.LOGOFF}),
            entities=named,
            where=AllOf((Not(Where(Field.SOURCE_IP, Operator.IN_NETWORK, ("10.0.0.0/8",))),)),
        )

    assert query_digest(asked("ana")) == query_digest(asked("ana"))
    assert query_digest(asked("ana")) != query_digest(asked("bea"))
    assert query_digest(asked("ana")) != query_digest(Aggregate(select=asked("ana"), by=(Field.HOST_NAME,)))


def test_every_kind_of_entity_is_named_by_some_field() -> None:
    assert set(NAMING) == set(EntityKind)


def test_what_is_not_known_to_be_the_sensors_may_be_an_attackers() -> None:
    assert integrity_of(Field.PROCESS_COMMAND_LINE) is Integrity.EXTERNAL
    assert integrity_of(Field.USER_NAME) is Integrity.EXTERNAL
    assert integrity_of(Field.HOST_NAME) is Integrity.SENSOR
    assert all(integrity_of(name) is Integrity.SENSOR for name in INTEGERS)


def test_relatives_are_found_by_entity_id_where_there_is_one() -> None:
    given = event(PROCESS_ENTITY_ID="{a}", PARENT_ENTITY_ID="{b}", HOST_NAME="h", PROCESS_PID=4, PARENT_PID=2)
    children, parent = follow(given, Relation.CHILDREN), follow(given, Relation.PARENT)
    assert children is not None
    assert children.where == Where(Field.PARENT_ENTITY_ID, values=("{a}",))
    assert children.range.start_us == given.time_us
    assert parent is not None
    assert parent.where == Where(Field.PROCESS_ENTITY_ID, values=("{b}",))
    assert parent.range.end_us == given.time_us + 1
    assert is_certain(given, Relation.CHILDREN)


def test_without_an_entity_id_host_and_pid_lead_on_and_are_not_certain() -> None:
    given = event(HOST_NAME="h", PROCESS_PID=4)
    children = follow(given, Relation.CHILDREN)
    assert children is not None
    assert children.where == AllOf((Where(Field.HOST_NAME, values=("h",)), Where(Field.PARENT_PID, values=(4,))))
    assert not is_certain(given, Relation.CHILDREN)


def test_nothing_leads_on_from_an_event_that_names_neither() -> None:
    given = event(USER_NAME="ana", LOGON_ID="0x1")
    assert [follow(given, relation) for relation in Relation] == [None] * len(Relation)


def test_a_session_is_one_logon_on_one_host() -> None:
    found = follow(event(HOST_NAME="h", LOGON_ID="0x3e7"), Relation.SESSION)
    assert found is not None
    assert found.where == AllOf((Where(Field.HOST_NAME, values=("h",)), Where(Field.LOGON_ID, values=("0x3e7",))))


def test_evidence_is_known_by_what_it_says() -> None:
    one, two = evidence_of_event(event(USER_NAME="ana")), evidence_of_event(event(USER_NAME="bea"))
    assert one.id == evidence_of_event(event(USER_NAME="ana")).id != two.id
    assert one.value("user.name") == "ana"
    assert one.value("type") == "process_start"
    assert one.value("user.domain") is one.value("fields") is None


def test_the_original_can_be_cited_and_is_left_out_where_it_is_too_large() -> None:
    small = evidence_of_event(event({"EventData": {"Image": "C:\\x.exe"}}))
    assert small.value("original.EventData.Image") == "C:\\x.exe"
    large = evidence_of_event(event({"EventData": "x" * MAX_BODY}, USER_NAME="ana"))
    assert large.body["original"] is None
    assert large.value("user.name") == "ana"


def test_evidence_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 262,144"):
        Evidence(EvidenceKind.LOOKUP, "lab", {"text": "x" * MAX_BODY})


def test_a_count_is_evidence_with_its_question() -> None:
    question = Aggregate(select=Select(range=RANGE), by=(Field.USER_NAME,), distinct=Field.HOST_NAME)
    answer = Groups((Group(("ana",), 3, 1, 9, 2), Group((None,), 1, 4, 4, 1)), Coverage("lab", Health.WHOLE))
    found = evidence_of_groups(question, answer)
    assert (found.value("total"), found.value("health")) == ("4", "whole")
    assert found.body["question"] == query_to_json(question)
    assert found.integrity("total") is Integrity.DERIVED
