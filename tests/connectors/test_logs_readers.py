"""Log files of each format as events in the shared vocabulary, and rubbish of each kind told with its name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest

from watchfloor_connectors.logs import files as files_module
from watchfloor_connectors.logs.config import FilesModel, LogSettings, load_log_settings
from watchfloor_connectors.logs.embedded import EmbeddedLogSource, open_logs
from watchfloor_connectors.logs.opening import LogShelf
from watchfloor_core.alert import TimePrecision
from watchfloor_core.errors import ConfigurationError
from watchfloor_core.logs.event import EventType, LogEvent
from watchfloor_core.logs.fields import Field
from watchfloor_core.logs.query import Select, TimeRange
from watchfloor_core.logs.source import Health

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the folder ../shared/data with the real data is absent")
ALL = TimeRange(0, 4_000_000_000_000_000)
AT = "2026-02-25T06:13:20.250Z"
AT_US = 1_772_000_000_250_000


def opened(*paths: Path) -> EmbeddedLogSource:
    return open_logs(list(paths), name="lab")


def events(source: EmbeddedLogSource) -> list[LogEvent]:
    return list(source.select(Select(range=ALL, limit=1_000)).events)


def only(folder: Path, content: bytes | str, name: str = "log.json") -> LogEvent:
    """The one event of a file with this content, of which all can be read."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    source = opened(path)
    assert source.unreadable == ()
    [found] = events(source)
    return found


def sysmon(code: int, **data: str) -> str:
    source = {"Channel": "Microsoft-Windows-Sysmon/Operational", "SourceName": "Microsoft-Windows-Sysmon"}
    return json.dumps({"@timestamp": AT, "Hostname": "WS1.example.org", "EventID": code, **source, **data})


def audit(code: int, **data: str) -> str:
    source = {"Channel": "Security", "SourceName": "Microsoft-Windows-Security-Auditing"}
    return json.dumps({"@timestamp": AT, "Hostname": "DC1", "EventID": code, **source, **data})


ZEEK_CONN = {
    "_path": "conn",
    "ts": 1772000000.25,
    "uid": "C1",
    "id.orig_h": "10.0.0.5",
    "id.orig_p": 51000,
    "id.resp_h": "203.0.113.9",
    "id.resp_p": 443,
    "proto": "tcp",
    "service": "ssl",
    "orig_bytes": 100,
    "resp_bytes": 2000,
    "conn_state": "SF",
}
CASES: list[tuple[str, EventType, Mapping[Field, str | int]]] = [
    (
        sysmon(1, Image="C:\\Windows\\CMD.exe", CommandLine="cmd /c x", User="LAB\\Eve", ProcessId="10",
               ParentImage="C:\\a\\Word.exe", ProcessGuid="{A}", Hashes="SHA1=ab,SHA256=" + "c" * 64),
        EventType.PROCESS_START,
        {
            Field.PROCESS_EXECUTABLE: "C:\\Windows\\CMD.exe",
            Field.PROCESS_NAME: "cmd.exe",
            Field.PROCESS_COMMAND_LINE: "cmd /c x",
            Field.PROCESS_PID: 10,
            Field.PARENT_NAME: "word.exe",
            Field.USER_NAME: "eve",
            Field.USER_DOMAIN: "lab",
            Field.HOST_NAME: "ws1.example.org",
            Field.PROCESS_HASH_SHA256: "c" * 64,
        },
    ),
    (
        sysmon(3, Image="C:\\x.exe", DestinationIp="::ffff:203.0.113.9", DestinationPort="443", SourceIp="10.0.0.5"),
        EventType.NETWORK_CONNECTION,
        {Field.DESTINATION_IP: "203.0.113.9", Field.DESTINATION_PORT: 443, Field.SOURCE_IP: "10.0.0.5"},
    ),
    (
        sysmon(10, SourceImage="C:\\x.exe", TargetImage="C:\\Windows\\System32\\lsass.exe", GrantedAccess="0x1FFFFF"),
        EventType.PROCESS_ACCESS,
        {Field.PROCESS_NAME: "x.exe", Field.TARGET_PROCESS_NAME: "lsass.exe", Field.GRANTED_ACCESS: "0x1fffff"},
    ),
    (
        audit(4624, TargetUserName="Ann", TargetDomainName="LAB", LogonType="3", IpAddress="10.0.0.7"),
        EventType.LOGON,
        {Field.LOGON_TYPE: "3", Field.SOURCE_IP: "10.0.0.7", Field.EVENT_OUTCOME: "success"},
    ),
    (
        audit(4625, TargetUserName="root", LogonType="3", IpAddress="-"),
        EventType.LOGON_FAILED,
        {Field.EVENT_OUTCOME: "failure"},
    ),
    (
        audit(4688, NewProcessName="C:\\Windows\\net.exe", NewProcessId="0x1a", ParentProcessName="C:\\cmd.exe",
              SubjectUserName="ann", CommandLine="net user"),
        EventType.PROCESS_START,
        {Field.PROCESS_NAME: "net.exe", Field.PROCESS_PID: 26, Field.PARENT_NAME: "cmd.exe"},
    ),
    (
        audit(4769, TargetUserName="ann@LAB", ServiceName="sql", TicketEncryptionType="0x17", Status="0x0"),
        EventType.KERBEROS_TICKET,
        {Field.SERVICE_NAME: "sql", Field.TICKET_ENCRYPTION: "0x17", Field.EVENT_OUTCOME: "success"},
    ),
    (
        json.dumps(ZEEK_CONN),
        EventType.NETWORK_CONNECTION,
        {Field.SOURCE_IP: "10.0.0.5", Field.DESTINATION_PORT: 443, Field.DESTINATION_BYTES: 2000},
    ),
    (
        json.dumps({"timestamp": "2026-02-25T06:13:20.250000+0000", "event_type": "alert", "flow_id": 1,
                    "src_ip": "10.0.0.5", "dest_ip": "203.0.113.9", "dest_port": 80, "proto": "TCP",
                    "alert": {"signature_id": 2000001, "signature": "ET BAD"}}),
        EventType.DETECTION,
        {Field.RULE_ID: "2000001", Field.RULE_NAME: "ET BAD", Field.DESTINATION_IP: "203.0.113.9"},
    ),
    (
        json.dumps({"Records": [{"eventTime": AT, "eventSource": "iam.amazonaws.com", "eventName": "CreateUser",
                                 "sourceIPAddress": "203.0.113.9", "userIdentity": {"userName": "ann"}}]}),
        EventType.CLOUD_API,
        {Field.EVENT_ACTION: "CreateUser", Field.CLOUD_SERVICE: "iam.amazonaws.com", Field.USER_NAME: "ann"},
    ),
    (
        json.dumps({"@timestamp": AT, "event": {"category": "process", "type": "start", "module": "edr"},
                    "process": {"executable": "/bin/sh", "command_line": "sh -c id"}, "host": {"name": "web1"}}),
        EventType.PROCESS_START,
        {Field.PROCESS_NAME: "sh", Field.PROCESS_COMMAND_LINE: "sh -c id", Field.HOST_NAME: "web1"},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("line", "type_", "fields"), CASES)
def test_a_record_means_what_its_format_says(
    tmp_path: Path, line: str, type_: EventType, fields: Mapping[Field, str | int]
) -> None:
    found = only(tmp_path, line)
    assert found.type is type_
    assert {name: found.fields.get(name) for name in fields} == fields
    assert found.time_us == AT_US


def test_zeek_in_its_own_format(tmp_path: Path) -> None:
    names = ["ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "query", "qtype_name"]
    head = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tdns\n"
    row = ["1772000000.250000", "C1", "10.0.0.5", "5353", "10.0.0.1", "53", "Evil.Example", "A"]
    kinds = ["time", "string", "addr", "port", "addr", "port", "string", "string"]
    content = head + "#fields\t" + "\t".join(names) + "\n#types\t" + "\t".join(kinds) + "\n" + "\t".join(row) + "\n"
    found = only(tmp_path, content, "dns.log")
    assert (found.type, found.fields[Field.DNS_QUESTION_NAME]) == (EventType.DNS_QUERY, "evil.example")
    assert found.time_us == AT_US


SUDO = " ann : TTY=a; PWD=/ ; USER=root ; COMMAND=/bin/sh\n"


def test_syslog_of_both_kinds(tmp_path: Path) -> None:
    line = "<38>1 2026-02-25T06:13:20.250Z web1 sshd 77 - - Failed password for root from 203.0.113.9 port 5 ssh2\n"
    found = only(tmp_path, line, "auth.log")
    assert found.type is EventType.LOGON_FAILED
    assert (found.fields[Field.USER_NAME], found.fields[Field.SOURCE_IP]) == ("root", "203.0.113.9")
    structured = '<38>1 2026-02-25T06:13:20Z web1 sudo 7 - [a@1 b="x] y"][c] \ufeff' + SUDO
    found = only(tmp_path, structured, "sudo.log")
    assert (found.type, found.fields[Field.PROCESS_COMMAND_LINE]) == (EventType.PROCESS_START, "/bin/sh")
    old = only(
        tmp_path, "Feb 25 06:13:20 web1 sshd[77]: Accepted publickey for ann from 10.0.0.7 port 5 ssh2\n", "b.log"
    )
    assert (old.type, old.fields[Field.HOST_NAME]) == (EventType.LOGON, "web1")


def test_csv_with_and_without_a_mark_before_it(tmp_path: Path) -> None:
    table = io.StringIO()
    csv.writer(table).writerows([["timestamp", "host", "message"], [AT, "ws1", 'line one\nwith "quotes", and more']])
    for mark in ("", "\ufeff"):
        found = only(tmp_path, mark + table.getvalue(), "log.csv")
        assert found.original["message"] == 'line one\nwith "quotes", and more'
        assert found.time_us == AT_US


def test_parquet(tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    duckdb.sql(f"COPY (SELECT '{AT}' AS \"@timestamp\", 'ws1' AS \"host.name\", 7 AS n) TO '{path}' (FORMAT parquet)")
    [found] = events(opened(path))
    assert (found.time_us, found.original["n"]) == (AT_US, 7)


@needs_data
def test_a_real_event_log_of_windows(tmp_path: Path) -> None:
    with zipfile.ZipFile(DATA / "evtx_mitre" / "evtx_mitre.zip") as archive:
        name = next(one for one in archive.namelist() if one.endswith("ID10-Mimikatz LSASS process dump.evtx"))
        (tmp_path / "log.evtx").write_bytes(archive.read(name))
    source = opened(tmp_path / "log.evtx")
    targets = {one.fields.get(Field.TARGET_PROCESS_NAME) for one in events(source)}
    assert source.unreadable == ()
    assert "lsass.exe" in targets


@needs_data
def test_an_archive_whose_clock_is_sixteen_hours_off_has_one_time() -> None:
    source = opened(DATA / "otrf" / "psh_lsass_memory_dump_comsvcs.zip")
    assert source.held is not None
    assert source.held.end_us - source.held.start_us < 3_600_000_000


def test_equal_records_are_one_event_and_ids_depend_on_the_source(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(sysmon(1, Image="x") + "\n" + sysmon(1, Image="x") + "\n")
    [one] = events(opened(tmp_path / "a.json"))
    [other] = events(open_logs([tmp_path / "a.json"], name="other"))
    assert one.id != other.id


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "gz", "folder", "zip in zip"])
def test_archives_and_folders_are_looked_into(tmp_path: Path, kind: str) -> None:
    line = (sysmon(1, Image="x") + "\n").encode()
    path = tmp_path / f"logs.{kind.replace(' ', '-')}"
    inner = io.BytesIO()
    match kind:
        case "gz":
            path.write_bytes(gzip.compress(line))
        case "folder":
            (path / "deep").mkdir(parents=True)
            (path / "deep" / "one.json").write_bytes(line)
        case "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("../../etc/one.json", line)
        case "zip in zip":
            with zipfile.ZipFile(inner, "w") as archive:
                archive.writestr("one.json", line)
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("inner.zip", inner.getvalue())
        case _:
            with tarfile.open(path, "w:gz" if kind.endswith("gz") else "w") as archive:
                member = tarfile.TarInfo("/etc/one.json")
                member.size = len(line)
                archive.addfile(member, io.BytesIO(line))
    assert [one.type for one in events(opened(path))] == [EventType.PROCESS_START]


RUBBISH: list[tuple[str, bytes, str]] = [
    ("binary.bin", b"\x00\x01\x02" * 50, "of no format that is known"),
    ("empty.log", b"", "is empty"),
    ("bad.evtx", b"ElfFile\x00" + b"\x00" * 100, "no readable EVTX"),
    ("bad.zip", b"PK\x03\x04" + b"\x00" * 50, "bad.zip"),
    ("cut.gz", gzip.compress(b"x" * 10_000, mtime=0)[:40], "cut.gz"),
    ("half.json", b'{"@timestamp": "2026-02-25T06:13:20Z", "a": ', "is no JSON"),
    ("notime.json", b'{"a": 1}\n', "has no time"),
    ("oddtime.json", b'{"@timestamp": "yesterday"}\n', "oddtime.json"),
    ("list.json", b"[1, 2]", "is no JSON object"),
    ("bad.parquet", b"PAR1rubbishPAR1", "bad.parquet"),
]


@pytest.mark.parametrize(("name", "content", "reason"), RUBBISH, ids=[one[0] for one in RUBBISH])
def test_rubbish_is_told_with_its_name_and_takes_nothing_with_it(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "zz-good.json").write_text(sysmon(1, Image="x"))
    source = opened(tmp_path)
    told = [str(one) for one in source.unreadable]
    assert len(events(source)) == 1
    assert told
    assert all(name in one for one in told)
    assert any(reason in one for one in told), told
    coverage = source.select(Select(range=ALL)).coverage
    assert coverage.health is Health.PARTIAL
    assert "could not be read" in coverage.reason


def test_one_bad_line_among_good_ones_is_told_with_its_number(tmp_path: Path) -> None:
    lines = [sysmon(1, Image="a"), "{broken", sysmon(1, Image="b"), '"text"']
    (tmp_path / "log.json").write_text("\n".join(lines) + "\n")
    source = opened(tmp_path / "log.json")
    assert len(events(source)) == 2
    assert [one.position for one in source.unreadable] == [2, 4]


@pytest.mark.parametrize(
    "odd",
    [
        '{"@timestamp": "2026-02-25T06:13:20Z", "n": 123456789012345678901234567890}',
        '{"@timestamp": "2026-02-25T06:13:20Z", "n": NaN}',
        '{"@timestamp": "2026-02-25T06:13:20Z", "t": "\\ud800"}',
        '{"@timestamp": "2026-02-25T06:13:20Z", "t": "a\\u0000b\\r\\nc"}',
        '{"@timestamp": "2026-02-25T06:13:20Z", "d": ' + '{"d": ' * 80 + "1" + "}" * 80 + "}",
    ],
)
def test_what_has_no_canonical_form_is_kept_as_text(tmp_path: Path, odd: str) -> None:
    only(tmp_path, odd + "\n")


def test_a_bomb_is_given_up_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "MAX_EXPANDED", 100_000)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(b" " * 5_000_000))
    source = opened(tmp_path / "bomb.gz")
    assert events(source) == []
    assert "bomb.gz" in str(source.unreadable[0])


def test_a_source_of_nothing_is_dark_and_a_missing_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert opened(tmp_path / "folder").coverage(ALL).health is Health.DARK
    with pytest.raises(ConfigurationError, match="no such file or folder"):
        opened(tmp_path / "absent")


def test_times_have_the_precision_that_was_given(tmp_path: Path) -> None:
    found = only(tmp_path, '{"@timestamp": "2026-02-25T06:13:20Z"}\n')
    assert found.precision is TimePrecision.SECOND


def test_what_was_loaded_once_is_found_again_and_what_changed_is_loaded_anew(tmp_path: Path) -> None:
    log, kept = tmp_path / "log.json", tmp_path / "kept"
    log.write_text(sysmon(1, Image="a") + "\n{broken\n")
    first = open_logs([log], name="lab", directory=kept)
    [database] = kept.iterdir()
    stamp = database.stat().st_mtime_ns
    again = open_logs([log], name="lab", directory=kept)
    assert database.stat().st_mtime_ns == stamp
    assert (events(again), again.unreadable) == (events(first), first.unreadable)
    log.write_text(sysmon(1, Image="b"))
    assert [one.text(Field.PROCESS_EXECUTABLE) for one in events(open_logs([log], name="lab", directory=kept))] == ["b"]


LOADER = """
import os, signal, sys
from pathlib import Path
from watchfloor_connectors.logs import loading
if sys.argv[3] == "die":
    loading.fill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from watchfloor_connectors.logs.embedded import open_logs
print(len(open_logs([Path(sys.argv[1])], name="lab", directory=Path(sys.argv[2])).select.__self__.loaded.unreadable))
"""


def test_a_load_that_is_killed_leaves_nothing_half_done_and_two_at_once_do_no_harm(tmp_path: Path) -> None:
    log, kept = tmp_path / "log.json", tmp_path / "kept"
    log.write_text("".join(sysmon(1, Image=f"x{number}") + "\n" for number in range(500)))

    def load(how: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", LOADER, str(log), str(kept), how], stdout=subprocess.PIPE)

    killed = load("die")
    assert killed.wait(60) == -signal.SIGKILL
    assert not [one for one in kept.iterdir() if one.suffix == ".duckdb"]
    both = [load("live"), load("live")]
    assert [one.wait(60) for one in both] == [0, 0]
    for one in (*both, killed):
        one.communicate()
    assert len(events(open_logs([log], name="lab", directory=kept))) == 500


ONE = "{name: a, kind: files, tenants: [x], paths: [y]}"


def settings_of(folder: Path, *tenants: str) -> LogSettings:
    model = FilesModel(name="lab", kind="files", tenants=list(tenants), paths=["log.json"])
    return LogSettings((model,), folder)


def test_a_tenant_sees_its_own_sources_alone(tmp_path: Path) -> None:
    (tmp_path / "log.json").write_text(sysmon(1, Image="x"))
    shelf = LogShelf(settings_of(tmp_path, "acme"), tmp_path / "kept")
    assert [one.name for one in shelf.of("acme")] == ["lab"]
    assert shelf.of("default") == ()


def test_a_source_that_cannot_be_opened_is_dark_until_it_can(tmp_path: Path) -> None:
    shelf = LogShelf(settings_of(tmp_path, "acme"), tmp_path / "kept")
    [absent] = shelf.of("acme")
    assert absent.coverage(ALL).health is Health.DARK
    assert "no such file" in absent.coverage(ALL).reason
    (tmp_path / "log.json").write_text(sysmon(1, Image="x"))
    [there] = shelf.of("acme")
    assert there.coverage(ALL).health is not Health.DARK
    assert shelf.of("acme")[0] is there


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sources: [{name: a}]", "kind"),
        ("sources: [{name: A B, kind: files, tenants: [x], paths: [y]}]", "name"),
        ("sources: [{name: a, kind: files, tenants: [], paths: [y]}]", "tenants"),
        ("sources: [{name: a, kind: files, tenants: [x], paths: [y], more: 1}]", "unknown key"),
        (f"sources: [{ONE}, {ONE}]", "two sources are named 'a'"),
        ("nothing: here", "sources"),
        ("a: [", "logs.yaml"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "logs.yaml").write_text(text)
    with pytest.raises(ConfigurationError, match=problem):
        load_log_settings(tmp_path / "logs.yaml")


def test_without_a_file_there_are_no_sources_unless_one_was_named(tmp_path: Path) -> None:
    assert load_log_settings(tmp_path / "logs.yaml").of("default") == ()
    with pytest.raises(ConfigurationError, match="no such file"):
        load_log_settings(tmp_path / "logs.yaml", is_required=True)
