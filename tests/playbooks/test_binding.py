"""Which entity fills which variable: by kind, role and type, each once, and so that the precondition holds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.playbooks.running.runs import Step, act, book_of, end
from watchfloor_core.alert import EntityKind, EntityRole, Integrity
from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.binding import MOST_TRIED, Candidate, fill
from watchfloor_playbooks.playbook import Playbook
from watchfloor_playbooks.running.values import Held

STRING: Step = {"type": "string"}
OUTSIDE: Step = {"type": "string", "external": True}


def book(variables: dict[str, Step], bindings: dict[str, Any], **ours: Any) -> Playbook:
    return book_of({"one": act("fin"), "fin": end()}, variables, ours={"bindings": bindings, **ours})


def one(kind: str, value: str, *roles: str, label: Integrity = Integrity.SENSOR) -> Candidate:
    return Candidate(EntityKind(kind), frozenset(map(EntityRole, roles or ("related",))), Held(value, label))


def filled(playbook: Playbook, *candidates: Candidate) -> dict[str, object]:
    return {name: each.held.value for name, each in fill(playbook, candidates, "inc-1").filled.items()}


@pytest.mark.parametrize(
    ("role", "value"), [("target", "b"), ("actor", "c"), ("related", "c"), ("observer", "a"), (None, "b")]
)
def test_a_variable_takes_the_first_of_its_kind_and_role(role: str | None, value: str) -> None:
    playbook = book({"__h__": STRING}, {"__h__": {"entity": "host", "role": role}})
    candidates = (
        one("user", "u", "target"),
        one("host", "a", "observer"),
        one("host", "b", "target"),
        one("host", "c", "actor", "related"),
    )

    assert filled(playbook, *candidates) == {"__h__": value}


def test_a_value_that_is_not_of_the_variables_type_is_passed_over() -> None:
    playbook = book(
        {"__a__": {"type": "ipv4-addr"}, "__b__": {"type": "ipv6-addr"}},
        {"__a__": {"entity": "ip"}, "__b__": {"entity": "ip"}},
    )

    assert filled(playbook, one("ip", "2001:db8::1"), one("ip", "192.0.2.1"), one("ip", "192.0.2.2")) == {
        "__a__": "192.0.2.1",
        "__b__": "2001:db8::1",
    }


def test_two_variables_of_one_binding_take_two_entities_and_the_second_stays_empty_where_there_is_one() -> None:
    playbook = book({"__a__": STRING, "__b__": STRING}, {"__a__": {"entity": "host"}, "__b__": {"entity": "host"}})

    assert filled(playbook, one("host", "x"), one("host", "y")) == {"__a__": "x", "__b__": "y"}
    assert filled(playbook, one("host", "x")) == {"__a__": "x"}
    assert filled(playbook) == {}


def test_what_would_have_done_as_well_is_told_for_people_to_choose_from() -> None:
    playbook = book(
        {"__a__": {"type": "ipv4-addr"}, "__u__": STRING}, {"__a__": {"entity": "ip"}, "__u__": {"entity": "user"}}
    )
    some = [one("ip", "192.0.2.1"), one("ip", "2001:db8::1"), one("ip", "192.0.2.2"), one("user", "ana")]
    others = fill(playbook, some, "inc-1").others

    assert {name: [each.held.value for each in found] for name, found in others.items()} == {
        "__a__": ["192.0.2.2"],
        "__u__": [],
    }


def test_labels_go_with_what_fills_and_the_incident_is_named() -> None:
    playbook = book({"__a__": STRING, "__incident_id__": OUTSIDE}, {"__a__": {"entity": "user"}})
    found = fill(playbook, [one("user", "eve", label=Integrity.EXTERNAL)], "inc-1")

    assert found.values == {
        "__a__": Held("eve", Integrity.EXTERNAL),
        "__incident_id__": Held("inc-1", Integrity.DERIVED),
    }
    assert found.fits


def test_what_comes_from_outside_and_nothing_fills_is_missing() -> None:
    playbook = book({"__a__": OUTSIDE, "__b__": OUTSIDE, "__c__": STRING}, {"__a__": {"entity": "user"}})
    found = fill(playbook, [], "inc-1")

    assert (found.missing, found.problem, found.fits) == (("__a__", "__b__"), None, False)


def test_the_next_entity_is_tried_where_the_first_does_not_meet_the_precondition() -> None:
    playbook = book(
        {"__k__": OUTSIDE, "__u__": STRING},
        {"__k__": {"entity": "resource"}, "__u__": {"entity": "user"}},
        precondition="__k__:value LIKE 'AKIA%' AND __u__:value != 'root'",
    )
    some = [one("resource", name) for name in ("bucket", "AKIA1", "AKIA2")]
    users = [one("user", "root"), one("user", "ana")]

    assert filled(playbook, *some, *users) == {"__k__": "AKIA1", "__u__": "ana"}
    none = fill(playbook, [some[0], users[0]], "inc-1")
    assert (none.problem, none.fits) == ("its precondition does not hold", False)
    assert none.filled["__k__"].held.value == "bucket"
    unknown = fill(playbook, some, "inc-1")
    assert unknown.problem == "its precondition cannot be answered: __u__ has no value"


def test_what_is_needed_chooses_first_whatever_the_order_in_the_file() -> None:
    some = {"__a__": STRING, "__b__": OUTSIDE}
    for names in (("__a__", "__b__"), ("__b__", "__a__")):
        playbook = book({name: some[name] for name in names}, {name: {"entity": "host"} for name in names})
        assert filled(playbook, one("host", "x"), one("host", "y")) == {"__b__": "x", "__a__": "y"}
        assert filled(playbook, one("host", "x")) == {"__b__": "x"}


def test_so_many_ways_are_tried_and_no_more() -> None:
    names = [f"__v{number}__" for number in range(8)]
    playbook = book(
        dict.fromkeys(names, STRING),
        {name: {"entity": "user"} for name in names},
        precondition="__v0__:value = 'none of them'",
    )
    found = fill(playbook, [one("user", f"u{number}") for number in range(40)], "inc-1")
    assert not found.fits

    last = book({"__a__": STRING}, {"__a__": {"entity": "user"}}, precondition="__a__:value = 'last'")
    assert fill(last, [one("user", str(n)) for n in range(MOST_TRIED - 1)] + [one("user", "last")], "i").fits
    assert not fill(last, [one("user", str(n)) for n in range(MOST_TRIED)] + [one("user", "last")], "i").fits


def test_a_playbook_has_no_more_than_twenty_bindings() -> None:
    names = [f"__v{number}__" for number in range(21)]
    with pytest.raises(ConfigurationError, match="at most 20"):
        book(dict.fromkeys(names, STRING), {name: {"entity": "user"} for name in names})
