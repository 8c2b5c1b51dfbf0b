"""Sigma filters: what they set aside is told and kept, and what they do not name stays an alert."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.connectors.test_detection import event, rule, rules_of
from watchfloor_connectors.detection.detecting import Match, RuleOutcome, detecting
from watchfloor_connectors.detection.filters import FilterSet, load_filters, sigma_text
from watchfloor_core.errors import ConfigurationError
from watchfloor_guardrails.rule_filter import RuleFilter

RULE = "5c6a5a0c-0000-4000-8000-000000000001"
SOURCE = (("category", "process_creation"), ("product", "windows"))
CMD = {"selection": {"Image|endswith": "\\cmd.exe"}, "condition": "selection"}


def filters_of(folder: Path, *texts: str) -> FilterSet:
    place = folder / "filters"
    place.mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (place / f"{number:03d}.yml").write_text(text)
    return load_filters([place])


def found(
    folder: Path, filters: FilterSet, *events: dict[str, Any], of: dict[str, Any] | None = None
) -> tuple[RuleOutcome, list[Match]]:
    logs = folder / "events.json"
    logs.write_text("".join(json.dumps(one) + "\n" for one in events))
    rules = rules_of(folder, of or rule(CMD))
    with detecting([logs], rules, lambda _: None, filters=filters) as detections:
        [outcome] = detections.outcomes
        matches = list(detections.matches())
        assert detections.matched == len(matches)
        assert detections.set_aside == sum(one.filtered_by is not None for one in matches)
        return outcome, matches


def harmless(**fields: str) -> str:
    given = {"Hostname": "ws1", "User": "backup", **fields}
    return sigma_text(RuleFilter(rule=RULE, log_source=SOURCE, event=tuple(sorted(given.items()))))


@pytest.mark.parametrize(
    ("fields", "is_set_aside"),
    [
        ({"User": "backup"}, True),
        ({"User": "BackUp"}, True),
        ({"User": "ACME\\Backup"}, False),
        ({"SubjectUserName": "Backup"}, False),
        ({"User": "notbackup"}, False),
        ({"User": "backup2"}, False),
        ({"User": "bac\u212aup"}, False),
        ({"User": "backup", "Hostname": "ws2"}, False),
        ({"User": "backup", "Hostname": "ws1.evil"}, False),
        ({}, False),
        ({"User": "bob", "TargetUserName": "backup"}, False),
        ({"User": "bob", "CommandLine": "backup ws1"}, False),
    ],
)
def test_only_what_the_filter_names_is_set_aside(tmp_path: Path, fields: dict[str, Any], *, is_set_aside: bool) -> None:
    filters = filters_of(tmp_path, harmless())
    outcome, [match] = found(tmp_path, filters, event(Image="C:\\cmd.exe", **fields))
    assert (match.filtered_by is not None) is is_set_aside
    assert outcome.matches == 1
    assert outcome.set_aside == int(is_set_aside)
    assert bool(outcome.filters) is is_set_aside
    asked = RuleFilter(rule=RULE, log_source=SOURCE, event=(("Hostname", "ws1"), ("User", "backup")))
    assert asked.sets_aside(match.event) is is_set_aside, "what people judge by is what the rule is filtered by"


def test_an_address_and_hashes_are_set_aside_as_well(tmp_path: Path) -> None:
    digests = f"md5={'a' * 32},sha256={'b' * 64}"
    filters = filters_of(tmp_path, harmless(SourceIp="10.1.2.3", Hashes=digests))
    same = {"Image": "C:\\cmd.exe", "User": "backup", "SourceIp": "10.1.2.3", "Hashes": digests.upper()}
    others = [{**same, "SourceIp": "10.1.2.33"}, {**same, "Hashes": f"MD5={'c' * 32},SHA256={'B' * 64}"}]
    outcome, _ = found(tmp_path, filters, *(event(**one) for one in (same, *others)))  # type: ignore[arg-type]
    assert outcome.set_aside == 1
    assert outcome.matches == 3


@pytest.mark.parametrize(
    "of",
    [rule(CMD, id="5c6a5a0c-0000-4000-8000-000000000009"), rule(CMD, logsource={"category": "process_creation"})],
    ids=["another rule", "another log source"],
)
def test_a_filter_is_for_its_rule_and_log_source_alone(tmp_path: Path, of: dict[str, Any]) -> None:
    outcome, _ = found(tmp_path, filters_of(tmp_path, harmless()), event(Image="C:\\cmd.exe", User="backup"), of=of)
    assert outcome.set_aside == 0


def test_a_rule_of_all_of_them_is_not_widened_by_a_filter(tmp_path: Path) -> None:
    of = rule({"a": {"Image|endswith": "\\cmd.exe"}, "b": {"Size": "1"}, "condition": "all of them"})
    events = [event(Image="C:\\cmd.exe", Size="1", User=user) for user in ("backup", "bob")]
    outcome, matches = found(tmp_path, filters_of(tmp_path, harmless()), *events, of=of)
    assert outcome.matches == 2
    assert [one.filtered_by is not None for one in matches].count(True) == 1


def test_filters_that_people_write_may_use_all_of_the_format(tmp_path: Path) -> None:
    document = {
        "title": "Consoles of the build farm",
        "logsource": {"product": "windows"},
        "filter": {"rules": "any", "sel": {"Computer|startswith": "build"}, "condition": "not sel"},
    }
    filters = filters_of(tmp_path, yaml.safe_dump(document))
    events = [event(Image="C:\\cmd.exe", Computer=name) for name in ("build01", "ws1")]
    outcome, matches = found(tmp_path, filters, *events)
    assert outcome.set_aside == 1
    assert outcome.filters == ("Consoles of the build farm",)
    [aside] = [one for one in matches if one.filtered_by]
    assert aside.event["Computer"] == "build01"


def test_of_several_filters_the_first_is_named(tmp_path: Path) -> None:
    filters = filters_of(tmp_path, harmless(), harmless(SourceIp="10.1.2.3"))
    outcome, [match] = found(tmp_path, filters, event(Image="C:\\cmd.exe", User="backup", SourceIp="10.1.2.3"))
    assert outcome.set_aside == 1
    assert match.filtered_by is not None
    assert match.filtered_by.file.endswith("000.yml")


def by_hand(selection: str, condition: str = "not sel", title: str = "t") -> str:
    head = f"title: {title}\nlogsource: {{product: windows}}\n"
    return f"{head}filter:\n  rules: any\n  sel: {selection}\n  condition: {condition}\n"


def test_filters_of_one_title_are_told_apart(tmp_path: Path) -> None:
    filters = filters_of(tmp_path, by_hand("{User: a}"), by_hand("{User: b}"))
    _, matches = found(tmp_path, filters, event(Image="\\cmd.exe", User="a"), event(Image="\\cmd.exe", User="b"))
    files = {str(one.event["User"]): one.filtered_by.file[-7:] for one in matches if one.filtered_by}
    assert files == {"a": "000.yml", "b": "001.yml"}


def test_a_rule_that_looks_for_patterns_of_names_does_not_take_in_a_filter(tmp_path: Path) -> None:
    of = rule({"a": {"Image|endswith": "\\cmd.exe"}, "_b": {"User": "x"}, "condition": "a and not 1 of _*"})
    events = [event(Image="\\cmd.exe", User="mallory"), event(Image="\\cmd.exe", User="backup", Hostname="dc1")]
    outcome, _ = found(tmp_path, filters_of(tmp_path, harmless()), *events, of=of)
    assert outcome.matches == 2
    assert outcome.set_aside == 0


@pytest.mark.parametrize(
    "text",
    [
        by_hand("{User|expand: '%admins%'}"),
        by_hand("{User|re: '(?<=x)y'}"),
        by_hand("{User: a}", condition="not sell"),
        by_hand("{User: a}", condition="not " + "(" * 4_000 + "sel" + ")" * 4_000),
    ],
    ids=["a placeholder", "a lookbehind", "a condition of another name", "a deep condition"],
)
def test_a_filter_that_cannot_run_takes_nothing_from_its_rules(tmp_path: Path, text: str) -> None:
    filters = filters_of(tmp_path, text, harmless())
    outcome, matches = found(
        tmp_path, filters, event(Image="\\cmd.exe", User="bob"), event(Image="\\cmd.exe", User="ann")
    )
    assert outcome.matches == 2
    assert [one.filtered_by for one in matches] == [None, None]


def test_what_is_set_aside_takes_no_place_of_alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchfloor_connectors.detection.detecting.MAX_MATCHES", 5)
    events = [event(Image="\\cmd.exe", User="backup") for _ in range(8)]
    outcome, matches = found(
        tmp_path, filters_of(tmp_path, harmless()), *events, event(Image="\\cmd.exe", User="mallory")
    )
    assert [str(one.event["User"]) for one in matches if one.filtered_by is None] == ["mallory"]
    assert outcome.set_aside == 5


def test_half_a_surrogate_pair_hides_no_event(tmp_path: Path) -> None:
    lines = [event(Image="\\cmd.exe", User="a\ud800b"), event(Image="\\cmd.exe", User="ann")]
    outcome, matches = found(tmp_path, FilterSet(), *lines)
    assert outcome.matches == 2
    assert {str(one.event["User"]) for one in matches} == {"a\ufffdb", "ann"}


def test_many_filters_of_other_rules_cost_a_rule_nothing(tmp_path: Path) -> None:
    others = [
        harmless(User=f"u{number}").replace(RULE, f"5c6a5a0c-0000-4000-8000-{number:012x}") for number in range(2, 300)
    ]
    filters = filters_of(tmp_path, *others)
    outcome, _ = found(tmp_path, filters, event(Image="\\cmd.exe", User="backup"))
    assert filters.of(rules_of(tmp_path, rule(CMD)).rules[0].parsed) == ()
    assert outcome.set_aside == 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("title: x\ndetection: {}\n", "is no Sigma filter"),
        ("- 1\n", "is no Sigma filter"),
        ("a: [", "is no YAML"),
        ("a: &x [1, 2]\nb: [*x, *x]\nfilter: {}\n", "aliases (*name) are not taken"),
        ('title: "\\ud800"\nfilter: {}\n', "is no YAML"),
        ("title: x\nlogsource: {product: windows}\nfilter: {rules: any}\n", "is no valid Sigma filter"),
        ("title: x\nfilter: {rules: any, a: {b: c}, condition: not a}\n", "is no valid Sigma filter"),
    ],
)
def test_what_is_no_filter_is_told_and_hides_nothing(tmp_path: Path, text: str, reason: str) -> None:
    filters = filters_of(tmp_path, text)
    [refused] = filters.refused
    assert reason in refused.reason
    outcome, _ = found(tmp_path, filters, event(Image="C:\\cmd.exe", User="backup"))
    assert outcome.set_aside == 0


def test_filters_that_are_not_there_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        load_filters([tmp_path / "missing"])
