"""Each rule of the three layers: a playbook that is right but for one thing, and what is said of that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.playbooks.books import (
    ACT,
    AGAIN,
    AGENT,
    AUTH,
    BOTH,
    DONE,
    EXTENSION,
    FAILED,
    IF,
    LEFT,
    LEFT_END,
    MARKING,
    RIGHT,
    RIGHT_END,
    START,
    SWITCH,
    TARGET,
    WHILE,
    YES,
    book,
    changed,
    data_of,
    step,
    without,
)
from watchfloor_core.errors import ConfigurationError
from watchfloor_playbooks.findings import MOST_SHOWN
from watchfloor_playbooks.loading import MAX_BYTES, examine, load

NOWHERE = step("end", 99)
WORKFLOW = "workflow"


def errors_of(content: Any) -> list[tuple[str | None, str]]:
    return [(one.path, one.message) for one in examine(data_of(content), "x.json").report.errors]


def warnings_of(content: Any) -> list[tuple[str | None, str]]:
    report = examine(data_of(content), "x.json").report
    assert report.errors == ()
    return [(one.path, one.message) for one in report.warnings]


def pruned(content: Any) -> Any:
    """Without the steps that a change left unreached."""
    while unreached := [path for path, said in errors_of(content) if said.startswith("no step leads here")]:
        for path in unreached:
            del content[WORKFLOW][str(path).removeprefix("workflow.")]
    return content


def test_the_playbook_that_all_this_changes_is_right_to_the_letter() -> None:
    report = examine(data_of(book()), "x.json").report

    assert report.errors == ()
    assert report.warnings == ()


# what is changed | the place, but for `workflow.` before steps | what is said
ONE_ERROR: list[tuple[Any, str, str]] = [
    # Shape
    (changed("spec_version", to="cacao-1.1"), "spec_version", "is not 'cacao-2.0'"),
    (changed("type", to="playbok"), "type", "is not 'playbook'"),
    (without("name"), "name", '"name" is missing'),
    (changed("name", to=7), "name", '"name" is not a text'),
    (changed("name", to=None), "name", '"name" is not a text'),
    (changed("description", to=None), "description", "'description' is null"),
    (changed("severity", to=101), "severity", "is more than 100"),
    (changed("impact", to=-1), "impact", "is less than 0"),
    (changed("priority", to=True), "priority", "not a whole number"),
    (changed("priority", to=1.5), "priority", "not a whole number"),
    (changed("revoked", to="false"), "revoked", "neither true nor false"),
    (changed("labels", to="x"), "labels", "is not a list"),
    (changed("labels", to=["a", 1]), "labels[1]", "is not a text"),
    (changed("workflow_exeption", to=FAILED), "workflow_exeption", "is 'workflow_exception' meant?"),
    (changed(WORKFLOW, ACT, "onCompletion", to=IF), f"{ACT}.onCompletion", "is 'on_completion' meant?"),
    (changed(WORKFLOW, ACT, "timeout", to=-1), f"{ACT}.timeout", "is less than 0"),
    (changed(WORKFLOW, ACT, "commands", to=[]), f"{ACT}.commands", "fewer entries than 1"),
    (changed(WORKFLOW, ACT, "commands", 0, "type", to=3), f"{ACT}.commands[0].type", "is not a text"),
    (changed(WORKFLOW, BOTH, "next_steps", to=[LEFT]), f"{BOTH}.next_steps", "fewer entries than 2"),
    (changed("agent_definitions", AGENT, "name", to=1), f"agent_definitions.{AGENT}.name", "is not a text"),
    (
        changed("data_marking_definitions", MARKING, "tlpv2_level", to="TLP:WHITE"),
        f"data_marking_definitions.{MARKING}.tlpv2_level",
        "is not 'TLP:RED'",
    ),
    (
        changed("data_marking_definitions", MARKING, "type", to="marking-own"),
        f"data_marking_definitions.{MARKING}.type",
        "is no type of data marking",
    ),
    (without("extension_definitions", EXTENSION, "schema"), f"extension_definitions.{EXTENSION}.schema", "is missing"),
    # Graph
    (changed("workflow_start", to=NOWHERE), "workflow_start", "which is not there"),
    (changed("workflow_exception", to=step("action", 99)), "workflow_exception", "which is not there"),
    (changed(WORKFLOW, SWITCH, "cases", "high", to=NOWHERE), f"{SWITCH}.cases.high", "which is not there"),
    (changed(WORKFLOW, BOTH, "next_steps", 1, to=NOWHERE), f"{BOTH}.next_steps[1]", "which is not there"),
    (changed(WORKFLOW, NOWHERE, to={"type": "end"}), NOWHERE, "no step leads here"),
    (changed(WORKFLOW, START, "on_failure", to=FAILED), f"{START}.on_failure", "a start step has no 'on_failure'"),
    (changed(WORKFLOW, DONE, "on_completion", to=FAILED), f"{DONE}.on_completion", "an end step has no"),
    (changed(WORKFLOW, ACT, "on_failure", to=FAILED), f"{ACT}.on_failure", "which of them holds is ambiguous"),
    (without(WORKFLOW, LEFT, "on_completion"), LEFT, "nothing follows it"),
    (changed(WORKFLOW, LEFT, "on_completion", to=LEFT), f"{LEFT}.on_completion", "an endless loop"),
    (changed(WORKFLOW, AGAIN, "on_completion", to=WHILE), f"{AGAIN}.on_completion", "an endless loop"),
    (changed(WORKFLOW, RIGHT, "on_completion", to=LEFT), f"{BOTH}.next_steps[1]", "this branch leads into"),
    (changed(WORKFLOW, AGAIN, "on_completion", to=BOTH), f"{WHILE}.on_true", "this branch leads into"),
    # References
    (changed(WORKFLOW, ACT, "agent", to=step("individual", 98)), f"{ACT}.agent", "not among 'agent_definitions'"),
    (changed(WORKFLOW, ACT, "targets", to=[AGENT]), f"{ACT}.targets[0]", "not among 'target_definitions'"),
    (
        changed("target_definitions", TARGET, "authentication_info", to=AGENT),
        f"target_definitions.{TARGET}.authentication_info",
        "not among 'authentication_info_definitions'",
    ),
    (changed("markings", to=[EXTENSION]), "markings[0]", "not among 'data_marking_definitions'"),
    (
        changed("data_marking_definitions", MARKING, "id", to=step("marking-tlp", 98)),
        f"data_marking_definitions.{MARKING}.id",
        "not the key under which it stands",
    ),
    (
        changed("playbook_extensions", to={step("extension-definition", 98): {}}),
        f"playbook_extensions.{step('extension-definition', 98)}",
        "not among 'extension_definitions'",
    ),
    (
        changed("agent_definitions", AGENT, "type", to="group"),
        f"agent_definitions.{AGENT}.type",
        "they have to agree",
    ),
    (changed(WORKFLOW, DONE, "type", to="parallell"), f"{DONE}.type", "is no type of step"),
    # Variables
    (
        changed(WORKFLOW, ACT, "commands", 0, "command", to="block __host__:value"),
        f"{ACT}.commands[0].command",
        "is no variable of the playbook",
    ),
    (changed(WORKFLOW, ACT, "in_args", to=["__host__"]), f"{ACT}.in_args[0]", "is no variable of the playbook"),
    (changed(WORKFLOW, LEFT, "out_args", to=["__fixed__"]), f"{LEFT}.out_args[0]", "is constant"),
    (changed(WORKFLOW, SWITCH, "switch", to="__x__:value"), f"{SWITCH}.switch", "is no variable of the playbook"),
    (
        changed(WORKFLOW, SWITCH, "switch", to="__count__:value"),
        f"{SWITCH}.cases.high",
        'the value of the case is "high", which is no "integer"',
    ),
    (changed(WORKFLOW, SWITCH, "switch", to="risk"), f"{SWITCH}.switch", "`__name__:value` is expected"),
    (changed(WORKFLOW, IF, "condition", to="__x__:value = 1"), f"{IF}.condition", "is no variable of the playbook"),
    (changed(WORKFLOW, IF, "condition", to="__count__:value = '1'"), f"{IF}.condition", '"1" is no "integer"'),
    (changed(WORKFLOW, IF, "condition", to="__count__:value ="), f"{IF}.condition", "(at character 18)"),
    (changed(WORKFLOW, WHILE, "condition", to="__fixed__:value = 'x'"), f"{WHILE}.condition", "an endless loop"),
    (without(WORKFLOW, AGAIN, "out_args"), f"{WHILE}.condition", "has __count__ in its 'out_args'"),
    (
        changed("playbook_variables", "__count__", "value", to="ten"),
        "playbook_variables.__count__.value",
        'which is no "integer"',
    ),
    (
        changed("playbook_variables", "__count__", "value", to=10),
        "playbook_variables.__count__.value",
        "is not given as a text",
    ),
    (
        changed("playbook_variables", "__deep__", to={"type": "dictionary", "value": "[" * 60_000}),
        "playbook_variables.__deep__.value",
        'which is no "dictionary"',
    ),
    (
        changed("playbook_variables", "__fixed__", "value", to=None),
        "playbook_variables.__fixed__",
        "so it never gets one",
    ),
    (
        changed("playbook_variables", "count", to={"type": "string", "value": ""}),
        "playbook_variables.count",
        "is no name of a variable",
    ),
    (
        changed(WORKFLOW, YES, "step_variables", to={"__count__": {"type": "integer", "value": "1"}}),
        f"{YES}.step_variables.__count__",
        "is a variable of the playbook already",
    ),
    (
        changed("target_definitions", TARGET, "address", "ipv4", to=["__own__:value"]),
        f"target_definitions.{TARGET}.address.ipv4[0]",
        "is no variable of the playbook",
    ),
    # Formats
    (
        changed("playbook_processing_summary", to={"parallel_processing": False, "switch_logic": True}),
        "playbook_processing_summary.parallel_processing",
        "is false, and the playbook has some",
    ),
    (
        changed("playbook_processing_summary", to={"temporal_logic": True}),
        "playbook_processing_summary.temporal_logic",
        "is true, and the playbook has none",
    ),
    (changed("id", to="playbook--1"), "id", "'playbook--UUID' is expected"),
    (changed("created_by", to=DONE), "created_by", "is an id of another kind"),
    (changed("modified", to="2026-02-30T00:00:00.000Z"), "modified", "is no time"),
    (changed("created", to="2026-11-28 08:30"), "created", "is no time"),
    (
        changed("agent_definitions", AGENT, "contact", "email", "work", to="a@b"),
        f"agent_definitions.{AGENT}.contact.email.work",
        "is not an e-mail address",
    ),
    (
        changed("agent_definitions", AGENT, "contact", "phone", to={"desk": "`id`"}),
        f"agent_definitions.{AGENT}.contact.phone.desk",
        "is not a telephone number",
    ),
    (without("target_definitions", TARGET, "address"), f"target_definitions.{TARGET}", "'address' is missing"),
    (changed("target_definitions", TARGET, "port", to="65536"), f"target_definitions.{TARGET}.port", "is no port"),
    (
        changed("agent_definitions", AGENT, "location", to={"region": "atlantis"}),
        f"agent_definitions.{AGENT}.location.region",
        "is no region",
    ),
    (
        changed(WORKFLOW, ACT, "commands", 0, to={"type": "bash", "command_b64": "!"}),
        f"{ACT}.commands[0].command_b64",
        "is not base64",
    ),
    (
        changed(WORKFLOW, ACT, "commands", 0, to={"type": "bash"}),
        f"{ACT}.commands[0]",
        "neither of 'command' and 'command_b64'",
    ),
    (
        changed(WORKFLOW, ACT, "commands", 0, to={"type": "ssh", "command": "a", "command_b64": "YQ=="}),
        f"{ACT}.commands[0]",
        "both of 'command' and 'command_b64'",
    ),
]


FOLLOWS_FROM_IT = ("no step leads here", "this branch leads into")
"""What a wrong way in the graph brings with it."""


@pytest.mark.parametrize(("content", "place", "said"), ONE_ERROR, ids=[f"{at}: {said}" for _, at, said in ONE_ERROR])
def test_one_thing_that_is_wrong_is_named_with_its_place(content: Any, place: str, said: str) -> None:
    found = errors_of(content)

    named = [message for path, message in found if path in (place, f"workflow.{place}")]
    assert any(said in message for message in named)
    assert [one for _, one in found if one not in named and not one.startswith(FOLLOWS_FROM_IT)] == []


@pytest.mark.parametrize(
    ("kind", "value", "is_address"),
    [
        ("ipv4", "192.0.2.7", True),
        ("ipv4", "192.0.2.0/24", True),
        ("ipv4", "192.0.2.256", False),
        ("ipv4", "2001:db8::1", False),
        ("ipv6", "2001:db8::1", True),
        ("ipv6", "192.0.2.7", False),
        ("l2mac", "00:00:5e:00:53:01", True),
        ("l2mac", "00-00-5e-00-53-01", False),
        ("vlan", "4095", True),
        ("vlan", 12, True),
        ("vlan", "4096", False),
        ("vlan", True, False),
        ("url", "https://example.org:8443/a?b=c", True),
        ("url", "javascript:alert(1)", False),
        ("url", "hxxp://example.org", False),
        ("dname", "example.org", True),
        ("dname", "hxxp://example.com/v1/", False),
        ("dname", "a b", False),
        ("host", "example.org", False),
    ],
)
def test_addresses_of_targets_are_checked_by_their_kind(kind: str, value: object, is_address: bool) -> None:
    found = errors_of(changed("target_definitions", TARGET, "address", to={kind: [value]}))

    assert (found == []) is is_address


ONE_WARNING: list[tuple[Any, str, str]] = [
    (changed("modified", to="2026-11-28T08:29:59.999Z"), "modified", "is before 'created'"),
    (changed("created", to="2026-11-28T08:30:00Z"), "created", "0 decimals"),
    (changed("workflow_exception", to=NOWHERE), "workflow_exception", "an exception ends the playbook"),
    (changed("workflow_start", to=ACT), "workflow_start", "of type 'action'"),
    (
        changed("agent_definitions", step("group", 1), to={"type": "group", "name": "Twin"}),
        f"agent_definitions.{step('group', 1)}",
        f'is that of "{START}" as well',
    ),
    (changed("x_team", to="blue"), "x_team", "is kept, and has no effect"),
    (changed("playbook_types", to=["detection"]), "playbook_types", "'playbook_activities'"),
    (without(WORKFLOW, BOTH, "on_success"), f"workflow.{BOTH}", "the playbook ends there"),
    (changed(WORKFLOW, BOTH, "on_failure", to=LEFT_END), f"workflow.{BOTH}.next_steps[0]", "as does what follows"),
    (changed(WORKFLOW, IF, "on_false", to=YES), f"workflow.{IF}.on_false", "which belongs to branch 1 of the step"),
    (changed(WORKFLOW, ACT, "timeout", to=0), f"workflow.{ACT}.timeout", "fail at once"),
    (
        changed(WORKFLOW, ACT, "commands", 0, "command", to="get __address__"),
        f"workflow.{ACT}.commands[0].command",
        "write ':value' after it",
    ),
    (
        changed("authentication_info_definitions", AUTH, "kms", to=False),
        f"authentication_info_definitions.{AUTH}.password",
        "stands here in the clear",
    ),
    (
        changed("playbook_variables", "__risk__", "type", to="ours"),
        "playbook_variables.__risk__.type",
        "is no type of the standard",
    ),
]


@pytest.mark.parametrize(
    ("content", "place", "said"), ONE_WARNING, ids=[f"{at}: {said}" for _, at, said in ONE_WARNING]
)
def test_what_is_clear_though_it_leaves_the_standard_is_said_and_refused_only_if_strict(
    content: Any, place: str, said: str
) -> None:
    content = pruned(content)
    found = warnings_of(content)

    assert [path for path, _ in found] == [place]
    assert said in found[0][1]
    with pytest.raises(ConfigurationError):
        load(data_of(content), "x.json", is_strict=True)


def test_a_loop_that_only_its_time_out_ends_is_said() -> None:
    content = without(WORKFLOW, AGAIN, "out_args")
    content[WORKFLOW][WHILE]["timeout"] = 60_000

    assert [message for _, message in warnings_of(content)] == [
        "an endless loop: no step of its branch has __count__ in its 'out_args'; only its time-out ends it"
    ]


def test_a_step_s_own_variable_may_stand_in_the_target_that_only_it_uses() -> None:
    content = changed(WORKFLOW, ACT, "step_variables", to={"__own__": {"type": "ipv4-addr", "value": "192.0.2.1"}})
    content["target_definitions"][TARGET]["address"]["ipv4"] = ["__own__:value"]
    assert errors_of(content) == []

    content[WORKFLOW][LEFT]["targets"] = [TARGET]
    assert [path for path, _ in errors_of(content)] == [f"target_definitions.{TARGET}.address.ipv4[0]"]


def test_mistakes_of_all_three_layers_are_told_at_once_in_the_order_of_their_lines() -> None:
    content = changed("severity", to=500)
    content["valid_from"], content["valid_until"] = "2027-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"
    content[WORKFLOW][LEFT]["on_completion"] = NOWHERE
    content[WORKFLOW][RIGHT_END]["on_completion"] = DONE
    content["target_definitions"][TARGET]["port"] = "ssh"

    report = examine(data_of(content), "x.json").report

    lines = [one.line or 0 for one in report.errors]
    assert lines == sorted(lines)
    assert {one.path for one in report.errors} == {
        "severity",
        f"workflow.{LEFT}.on_completion",
        f"workflow.{LEFT_END}",
        f"workflow.{RIGHT_END}.on_completion",
        f"target_definitions.{TARGET}.port",
    }


def test_more_mistakes_than_one_can_read_are_counted() -> None:
    content = changed("labels", to=list(range(500)))

    report = examine(data_of(content), "x.json").report

    assert len(report.errors) == MOST_SHOWN + 1
    assert report.errors[-1].message == "and 400 more; mend these first"


def test_a_playbook_with_more_to_find_than_anybody_mends_is_not_read_to_its_end() -> None:
    report = examine(data_of(book() | {f"x_{number}": 1 for number in range(5_000)}), "x.json").report

    assert [one.message for one in report.errors] == [
        "there are more than 2,000 findings; the rest of the playbook was not looked at"
    ]


def test_text_of_the_playbook_cannot_act_in_a_message() -> None:
    hidden = "x\u202e\x1b[2J"
    content = changed(hidden, to=1)
    content[WORKFLOW][hidden] = {"type": hidden}

    said = str(ConfigurationError(examine(data_of(content), "x.json").report.errors))

    assert "\x1b" not in said
    assert "\u202e" not in said


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"{}" + b" " * MAX_BYTES, "larger than"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        (b"[]", "is not a dictionary of properties"),
        (b"a: &b 1", "anchor"),
        (b"{", "a name in double quotes"),
        (b'{"type": "playbook", "type": "playbook"}', "stands twice"),
    ],
)
def test_what_is_no_file_of_a_playbook_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r".") as caught:
        load(data, "x")

    assert said in str(caught.value)


ANYTHING: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
PLACES = (
    [(key,) for key in book()]
    + [(WORKFLOW, name) for name in book()[WORKFLOW]]
    + [(WORKFLOW, name, key) for name, part in book()[WORKFLOW].items() for key in part]
    + [
        (holder, name, key)
        for holder in ("agent_definitions", "target_definitions", "data_marking_definitions")
        for name, part in book()[holder].items()
        for key in part
    ]
)


@given(st.sampled_from(PLACES), ANYTHING)
def test_anything_anywhere_is_taken_or_refused_and_nothing_else(place: tuple[str, ...], value: Any) -> None:
    try:
        load(data_of(changed(*place, to=value)), "x.json")
    except ConfigurationError as error:
        problems = error.problems
    else:
        problems = ()
    assert all(one.file == "x.json" for one in problems)
    assert all(one.line for one in problems if not one.message.startswith("and "))
