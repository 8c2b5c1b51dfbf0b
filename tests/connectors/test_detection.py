"""Sigma rules over log files: what they match, what cannot run, and that nothing in rule or event escapes its place."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from watchfloor_connectors.detection import detecting as module
from watchfloor_connectors.detection.detecting import Detections, RuleState, detecting
from watchfloor_connectors.detection.rules import RuleSet, load_rules
from watchfloor_core.errors import ConfigurationError

DATA = Path(__file__).parents[2].parent / "shared" / "data"
SYSMON = {"Channel": "Microsoft-Windows-Sysmon/Operational", "SourceName": "Microsoft-Windows-Sysmon"}


def event(code: int = 1, at: str = "2026-02-25T06:13:20Z", **fields: Any) -> dict[str, Any]:
    return {"@timestamp": at, "Hostname": "ws1", "EventID": code, **SYSMON, **fields}


def rule(detection: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    return {
        "title": "A rule",
        "id": "5c6a5a0c-0000-4000-8000-000000000001",
        "logsource": {"product": "windows", "category": "process_creation"},
        "level": "high",
        "tags": ["attack.t1003.001"],
        **others,
        "detection": detection,
    }


def rules_of(folder: Path, *documents: Mapping[str, Any]) -> RuleSet:
    rules = folder / "rules"
    rules.mkdir(exist_ok=True)
    for number, document in enumerate(documents):
        (rules / f"{number:03d}.yml").write_text(yaml.safe_dump(document))
    return load_rules([rules])


@contextmanager
def run(folder: Path, rules: RuleSet, *events: Mapping[str, Any]) -> Iterator[Detections]:
    logs = folder / "events.json"
    logs.write_text("".join(json.dumps(one) + "\n" for one in events))
    complaints: list[object] = []
    with detecting([logs], rules, complaints.append) as found:
        yield found
    assert complaints == []


def fires(folder: Path, selection: Any, fields: Mapping[str, Any], condition: str = "sel") -> bool:
    with run(folder, rules_of(folder, rule({"sel": selection, "condition": condition})), event(**fields)) as found:
        [outcome] = found.outcomes
        assert outcome.state in (RuleState.FIRED, RuleState.SILENT), outcome.reason
        return outcome.state is RuleState.FIRED


@pytest.mark.parametrize(
    ("selection", "fields", "does"),
    [
        ({"Image|endswith": "\\CMD.exe"}, {"Image": "C:\\Windows\\cmd.EXE"}, True),
        ({"Image|endswith": "\\cmd.exe"}, {"Image": "C:\\Windows\\xcmd.exe"}, False),
        ({"CommandLine|contains|all": ["a b", "C"]}, {"CommandLine": "x A B c"}, True),
        ({"CommandLine|contains|all": ["a b", "d"]}, {"CommandLine": "x A B c"}, False),
        ({"CommandLine|contains": "100%"}, {"CommandLine": "100 of it"}, False),
        ({"CommandLine|contains": "a_b"}, {"CommandLine": "axb"}, False),
        ({"CommandLine|contains": "it's"}, {"CommandLine": "x it's y"}, True),
        ({"CommandLine": "who*mi"}, {"CommandLine": "WhoamI"}, True),
        ({"CommandLine": "who?mi"}, {"CommandLine": "whomi"}, False),
        ({"CommandLine|re": "a{3}\\d+$"}, {"CommandLine": "xaaa12"}, True),
        ({"CommandLine|re": "(a+)+$"}, {"CommandLine": "a" * 60_000 + "b"}, False),
        ({"CommandLine|re|i": "ABC"}, {"CommandLine": "xabc"}, True),
        ({"CommandLine|contains|cased": "AbC"}, {"CommandLine": "xabcx"}, False),
        ({"CommandLine|contains|cased": "AbC"}, {"CommandLine": "xAbCx"}, True),
        ({"CommandLine|base64offset|contains": "http://"}, {"CommandLine": "YWh0dHA6Ly9iYg=="}, True),
        ({"CommandLine|windash|contains": " -enc"}, {"CommandLine": "p /enc x"}, True),
        ({"DestinationIp|cidr": "10.0.0.0/8"}, {"DestinationIp": "10.20.1.1"}, True),
        ({"DestinationIp|cidr": "10.0.0.0/8"}, {"DestinationIp": "110.20.1.1"}, False),
        ({"Size|gt": 9}, {"Size": "10"}, True),
        ({"Size|gt": 9}, {"Size": "1"}, False),
        ({"ProcessId": 42}, {"ProcessId": "42"}, True),
        ({"Parent": None}, {"Image": "x"}, True),
        ({"Parent": None}, {"Parent": "x"}, False),
        ({"Parent|exists": True}, {"Parent": "x"}, True),
        ({"Parent|exists": True}, {"Image": "x"}, False),
        ({"Image|fieldref": "ParentImage"}, {"Image": "c:\\A", "ParentImage": "c:\\a"}, True),
        ({"Image|fieldref": "ParentImage"}, {"Image": "c:\\a", "ParentImage": "c:\\b"}, False),
        (["mimikatz"], {"CommandLine": "run MimiKatz now"}, True),
        (["mimikatz"], {"CommandLine": "run nothing"}, False),
        ({"Odd'\" field": "x"}, {"Odd'\" field": "x"}, True),
        ({"ProcessGUID": "a"}, {"ProcessGuid": "a"}, False),
        ({"CommandLine|contains": "a\u2400b"}, {"CommandLine": "a\0b"}, True),
    ],
)
def test_a_selection_means_what_sigma_says(tmp_path: Path, selection: Any, fields: dict[str, Any], does: bool) -> None:
    assert fires(tmp_path, selection, fields) is does


def test_what_is_excluded_by_an_absent_field_is_not_excluded(tmp_path: Path) -> None:
    detection = {"sel": {"Image": "a"}, "no": {"ParentImage": "b"}, "condition": "sel and not no"}
    with run(
        tmp_path, rules_of(tmp_path, rule(detection)), event(Image="a"), event(Image="a", ParentImage="b")
    ) as found:
        assert [match.event.get("ParentImage") for match in found.matches()] == [None]


def test_a_match_has_the_rule_the_time_the_host_and_the_event(tmp_path: Path) -> None:
    with run(
        tmp_path, rules_of(tmp_path, rule({"sel": {"Image": "a"}, "condition": "sel"})), event(Image="a")
    ) as found:
        [match] = found.matches()
    assert (match.rule.id, match.rule.level, match.rule.tags) == (
        "5c6a5a0c-0000-4000-8000-000000000001",
        "high",
        ("attack.t1003.001",),
    )
    assert (match.time_us, match.host, match.event["Image"]) == (1_772_000_000_000_000, "ws1", "a")


def test_matches_come_by_time(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, rule({"sel": {"Image": "a"}, "condition": "sel"}))
    times = ("2026-02-25T06:13:22Z", "2026-02-25T06:13:20Z", "2026-02-25T06:13:21Z")
    with run(tmp_path, rules, *(event(at=at, Image="a", N=at) for at in times)) as found:
        assert [match.event["N"] for match in found.matches()] == sorted(times)


@pytest.mark.parametrize(
    ("category", "fields", "does"),
    [
        ("registry_set", {"code": 13}, True),
        ("registry_event", {"code": 13}, True),
        ("registry_add", {"code": 13}, False),
        ("registry_add", {"code": 12, "EventType": "CreateKey"}, True),
        ("registry_delete", {"code": 12, "EventType": "DeleteValue"}, True),
        ("registry_delete", {"code": 12, "EventType": "CreateKey"}, False),
        ("registry_event", {"code": 12, "EventType": "CreateKey"}, True),
        ("registry_rename", {"code": 14}, True),
        ("process_creation", {"code": 5}, False),
    ],
)
def test_a_category_means_its_event_ids(tmp_path: Path, category: str, fields: dict[str, Any], does: bool) -> None:
    rules = rules_of(
        tmp_path,
        rule({"sel": {"Mark": "x"}, "condition": "sel"}, logsource={"product": "windows", "category": category}),
    )
    with run(tmp_path, rules, event(Mark="x", **fields)) as found:
        assert (found.outcomes[0].state is RuleState.FIRED) is does


SECURITY = {"Channel": "Security", "SourceName": "Microsoft-Windows-Security-Auditing"}


@pytest.mark.parametrize(
    ("category", "selection", "audited"),
    [
        (
            "process_creation",
            {"Image|endswith": "\\net.exe", "ParentImage|endswith": "\\cmd.exe", "IntegrityLevel": "High"},
            {
                "EventID": 4688,
                "NewProcessName": "C:\\Windows\\net.exe",
                "ParentProcessName": "C:\\Windows\\cmd.exe",
                "MandatoryLabel": "S-1-16-12288",
            },
        ),
        (
            "registry_set",
            {"TargetObject|startswith": "HKLM\\Software", "Details": "1"},
            {
                "EventID": 4657,
                "ObjectName": "\\REGISTRY\\MACHINE\\Software\\X",
                "ObjectValueName": "Y",
                "NewValue": "1",
            },
        ),
        (
            "network_connection",
            {"Image": "C:\\windows\\a.exe", "DestinationPort": 443, "Initiated": "true"},
            {
                "EventID": 5156,
                "Application": "\\device\\harddiskvolume1\\windows\\a.exe",
                "DestPort": "443",
                "Direction": "%%14593",
            },
        ),
    ],
)
def test_the_security_log_answers_rules_that_are_written_for_sysmon(
    tmp_path: Path, category: str, selection: dict[str, Any], audited: dict[str, Any]
) -> None:
    source = {"product": "windows", "category": category}
    rules = rules_of(tmp_path, rule({"sel": selection, "condition": "sel"}, logsource=source))
    with run(tmp_path, rules, {"@timestamp": "2026-02-25T06:13:20Z", "Hostname": "dc", **SECURITY, **audited}) as found:
        assert found.outcomes[0].state is RuleState.FIRED


@pytest.mark.parametrize(("cleared", "does"), [("Security", True), ("Microsoft-Windows-Dhcp-Client/Admin", False)])
def test_a_rule_about_cleared_logs_means_the_log_that_was_cleared_not_the_one_that_tells_it(
    tmp_path: Path, cleared: str, does: bool
) -> None:
    document = rule(
        {"sel": {"EventID": 104, "Channel": ["Security", "System"]}, "condition": "sel"},
        logsource={"product": "windows", "service": "system"},
    )
    told = {
        "Event": {
            "System": {
                "Provider": {"#attributes": {"Name": "Microsoft-Windows-Eventlog"}},
                "EventID": 104,
                "Channel": "System",
                "Computer": "fs03.example.corp",
                "TimeCreated": {"#attributes": {"SystemTime": "2021-10-25T18:11:12.184948Z"}},
            },
            "UserData": {"LogFileCleared": {"SubjectUserName": "admmig", "Channel": cleared, "BackupPath": ""}},
        }
    }
    with run(tmp_path, rules_of(tmp_path, document), told) as found:
        assert [one.event["Channel"] for one in found.matches()] == ([cleared] if does else [])


def test_a_rule_about_other_logs_says_that_it_saw_nothing(tmp_path: Path) -> None:
    rules = rules_of(
        tmp_path,
        rule({"sel": {"eventName": "x"}, "condition": "sel"}, logsource={"product": "aws", "service": "cloudtrail"}),
        rule({"sel": {"a": "x"}, "condition": "sel"}, logsource={"category": "proxy"}),
    )
    with run(tmp_path, rules, event(Image="a")) as found:
        assert [(one.state, one.reason) for one in found.outcomes] == [
            (RuleState.NO_EVENTS, "no event of its log source: product aws, service cloudtrail"),
            (RuleState.NO_EVENTS, "no event of its log source: category proxy"),
        ]


def test_cloud_and_network_logs_are_matched_too(tmp_path: Path) -> None:
    rules = rules_of(
        tmp_path,
        rule(
            {"sel": {"eventName": "StopLogging", "userIdentity.type": "Root"}, "condition": "sel"},
            logsource={"product": "aws", "service": "cloudtrail"},
        ),
        rule(
            {"sel": {"query|endswith": ".evil.example"}, "condition": "sel"},
            logsource={"product": "zeek", "service": "dns"},
        ),
    )
    trail = {
        "eventTime": "2026-02-25T06:13:20Z",
        "eventSource": "cloudtrail.amazonaws.com",
        "eventName": "StopLogging",
        "userIdentity": {"type": "Root"},
    }
    zeek = {"_path": "dns", "ts": 1772000000.5, "uid": "C1", "query": "x.evil.example", "qtype_name": "A"}
    with run(tmp_path, rules, trail, zeek) as found:
        assert [one.matches for one in found.outcomes] == [1, 1]


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (rule({"sel": {"a": 1}, "condition": "sel | count() > 3"}), "no valid Sigma rule|pipe|aggregation"),
        (rule({"sel": {"a|re": "(?<=a+)b"}, "condition": "sel"}), "invalid perl operator"),
        (rule({"sel": {"a|expand": "%admins%"}, "condition": "sel"}), "laceholder"),
        (rule({"sel": {"a": 1}, "condition": "other"}), "other"),
        (rule({"sel": {"a|nonsense": 1}, "condition": "sel"}), "nonsense"),
        (rule({"sel": {"a": 1}}), "condition"),
    ],
)
def test_a_rule_that_cannot_run_says_why(tmp_path: Path, document: dict[str, Any], reason: str) -> None:
    rules = rules_of(tmp_path, document, rule({"sel": {"Image": "a"}, "condition": "sel"}))
    with run(tmp_path, rules, event(Image="a")) as found:
        refused = [one.reason for one in rules.refused]
        cannot = [one.reason for one in found.outcomes if one.state is RuleState.CANNOT_RUN]
        assert found.matched == 1
    [told] = refused + cannot
    assert any(part in told for part in reason.split("|")), told


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: [", "is no YAML"),
        (b"\xff\xfe", "is no YAML"),
        (b"title: x\n", "it has no detection"),
        (b"- 1\n- 2\n", "it has no detection"),
        (b"detection: 3\nlogsource: {product: windows}\ntitle: x\n", "is no valid Sigma rule"),
        (b"detection: {a: {b: 1}, condition: a}\ntitle: x\n", "is no valid Sigma rule"),
        (b"a" * (1024**2 + 1), "is longer than"),
    ],
)
def test_a_file_that_is_no_rule_is_refused_and_the_others_run(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "zzz.yml").write_bytes(content)
    rules = rules_of(tmp_path, rule({"sel": {"Image": "a"}, "condition": "sel"}))

    assert len(rules.rules) == 1
    [refused] = rules.refused
    assert refused.file.endswith("zzz.yml")
    assert reason in refused.reason


def test_a_correlation_is_refused_and_its_rules_run(tmp_path: Path) -> None:
    base = rule({"sel": {"Image": "a"}, "condition": "sel"}, name="base")
    correlation = {
        "title": "Many",
        "correlation": {
            "type": "event_count",
            "rules": ["base"],
            "group-by": ["Computer"],
            "timespan": "1h",
            "condition": {"gte": 3},
        },
    }
    path = tmp_path / "both.yml"
    path.write_text(yaml.safe_dump_all([base, correlation]))
    rules = load_rules([path])
    assert [one.title for one in rules.rules] == ["A rule"]
    assert [one.title for one in rules.refused] == ["Many"]


def test_rules_in_an_archive_are_read_and_what_is_no_archive_is_told(tmp_path: Path) -> None:
    archive = tmp_path / "rules.zip"
    with zipfile.ZipFile(archive, "w") as data:
        data.writestr("deep/one.yml", yaml.safe_dump(rule({"sel": {"Image": "a"}, "condition": "sel"})))
        data.writestr("../\u202eevil.yml", "a: [")
        data.writestr("README.md", "not a rule")
    rules = load_rules([archive])
    assert [one.file for one in rules.rules] == [f"{archive}!deep/one.yml"]
    assert "\u202e" not in rules.refused[0].file
    with pytest.raises(ConfigurationError, match="no such file or folder of rules"):
        load_rules([tmp_path / "absent"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="no rule file"):
        load_rules([tmp_path / "empty"])
    broken = tmp_path / "broken.zip"
    broken.write_bytes(archive.read_bytes().replace(b"PK\x03\x04", b"PK\x03\x05"))
    with pytest.raises(ConfigurationError, match="no readable zip archive"):
        load_rules([broken])


def test_levels_are_ordered_and_unstated_ones_are_medium(tmp_path: Path) -> None:
    documents = [rule({"sel": {"a": 1}, "condition": "sel"}, level=one) for one in ("low", "high", "critical")]
    unstated = rule({"sel": {"a": 1}, "condition": "sel"})
    del unstated["level"]
    rules = rules_of(tmp_path, *documents, unstated)
    assert [one.level for one in rules.of_level("medium").rules] == ["high", "critical", "medium"]


def test_a_rule_that_matches_everything_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_MATCHES", 5)
    rules = rules_of(tmp_path, rule({"sel": {"Image|exists": True}, "condition": "sel"}))
    with run(tmp_path, rules, *(event(Image=str(number)) for number in range(20))) as found:
        assert found.matched == len(list(found.matches())) == 5
        assert "more than 5 events match" in found.outcomes[0].reason


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "temp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    rules = rules_of(tmp_path, rule({"sel": {"Image": "a"}, "condition": "sel"}))
    with run(tmp_path, rules, event(Image="a")):
        assert list(place.iterdir())
    assert list(place.iterdir()) == []
    with pytest.raises(RuntimeError), run(tmp_path, rules, event(Image="a")):
        raise RuntimeError
    assert list(place.iterdir()) == []


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data with the real data is absent")
def test_sigmas_own_regression_logs_are_matched_by_the_rule_they_are_of(tmp_path: Path) -> None:
    """A sample of the pairs; all of them are in benchmarks/eval_sigma.py."""
    with zipfile.ZipFile(DATA / "sigma" / "regression_data.zip") as logs:
        infos = sorted(one for one in logs.namelist() if one.endswith("info.yml") and "/rules/" in one)[::9]
        rules_zip = zipfile.ZipFile(DATA / "sigma" / "rules.zip")
        texts = {one.rpartition("/")[2]: one for one in rules_zip.namelist() if one.endswith(".yml")}
        tried = 0
        for info in infos:
            folder = info.rpartition("/")[0]
            file = texts.get(f"{folder.rpartition('/')[2]}.yml")
            if file is None:
                continue
            place = tmp_path / str(tried)
            (place / "rules").mkdir(parents=True)
            (place / "rules" / "one.yml").write_bytes(rules_zip.read(file))
            for name in logs.namelist():
                if name.startswith(f"{folder}/") and name.endswith(".evtx"):
                    (place / "log.evtx").write_bytes(logs.read(name))
            with detecting([place / "log.evtx"], load_rules([place / "rules"]), lambda _: None) as found:
                assert found.outcomes[0].state is RuleState.FIRED, (folder, found.outcomes[0])
            tried += 1
    rules_zip.close()
    assert tried >= 8
