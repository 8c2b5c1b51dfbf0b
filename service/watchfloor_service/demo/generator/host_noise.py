"""What the host agents report on any day: cron, logons, typing errors, updates, the Internet at the SSH door."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from watchfloor_core.ports import Json
from watchfloor_service.demo.generator import wazuh
from watchfloor_service.demo.generator.chance import Chance
from watchfloor_service.demo.generator.emission import Emission, emit
from watchfloor_service.demo.generator.organisation import (
    ADMINS,
    HOSTS,
    LINUX,
    NT_DOMAIN,
    SERVERS,
    STAFF,
    WINDOWS_SERVERS,
    WORKSTATIONS,
    Host,
)
from watchfloor_service.demo.generator.rhythm import (
    DAYS,
    MINUTE,
    SECOND,
    SECOND_DAY,
    around_the_clock,
    at,
    between,
    every,
    in_office_hours,
)
from watchfloor_service.demo.generator.wazuh import SECURITY, SYSMON, Rule

_SESSION_OPENED: Final = Rule(
    "5501", 3, "PAM: Login session opened.", ("pam", "syslog", "authentication_success"), ("T1078",)
)
_SESSION_CLOSED: Final = Rule("5502", 3, "PAM: Login session closed.", ("pam", "syslog"))
_SUDO: Final = Rule("5402", 3, "Successful sudo to ROOT executed.", ("syslog", "sudo"), ("T1548.003",))
_NO_SUCH_USER: Final = Rule(
    "5710",
    5,
    "sshd: Attempt to login using a non-existent user",
    ("syslog", "sshd", "authentication_failed", "invalid_login"),
    ("T1110.001",),
)
_SSH_BRUTE_FORCE: Final = Rule(
    "5712",
    10,
    "sshd: brute force trying to get access to the system. Non existent user.",
    ("syslog", "sshd", "authentication_failures"),
    ("T1110",),
)
_SSH_FAILED: Final = Rule(
    "5760", 5, "sshd: authentication failed.", ("syslog", "sshd", "authentication_failed"), ("T1110.001",)
)
_CLAMAV: Final = Rule("52507", 3, "ClamAV database update", ("clamd", "freshclam", "virus"))
_LOGON: Final = Rule(
    "60106", 3, "Windows Logon Success", ("windows", "windows_security", "authentication_success"), ("T1078",)
)
_LOGON_FAILED: Final = Rule(
    "60122",
    5,
    "Logon Failure - Unknown user or bad password",
    ("windows", "windows_security", "authentication_failed"),
    ("T1531",),
)
_PRIVILEGES: Final = Rule("67028", 3, "Special privileges assigned to new logon.", ("windows", "windows_security"))
_LICENSE: Final = Rule(
    "60642", 3, "Software protection service scheduled successfully.", ("windows", "windows_application")
)
_BENCHMARK: Final = Rule("19004", 7, "SCA summary: CIS benchmark: Score less than 50%", ("sca",))
_CHANGED: Final = Rule(
    "550", 7, "Integrity checksum changed.", ("ossec", "syscheck", "syscheck_entry_modified"), ("T1565.001",)
)
_PORTS: Final = Rule("533", 7, "Listened ports status (netstat) changed (new port opened or closed).", ("ossec",))
_WEB_ERROR: Final = Rule("31101", 5, "Web server 400 error code.", ("web", "accesslog", "attack"))
_WEB_ERRORS: Final = Rule(
    "31151", 10, "Multiple web server 400 error codes from same source ip.", ("web", "accesslog", "web_scan", "recon")
)
_WEB_INJECTION: Final = Rule(
    "31103", 7, "SQL injection attempt.", ("web", "accesslog", "attack", "sql_injection"), ("T1190",)
)
_DROPPED: Final = Rule(
    "92213",
    15,
    "Executable file dropped in folder commonly used by malware",
    ("sysmon", "sysmon_eid11_detections", "windows"),
    ("T1105",),
)
_DISCOVERY: Final = Rule(
    "92031", 3, "Discovery activity executed", ("sysmon", "sysmon_eid1_detections", "windows"), ("T1087",)
)

# Whoever knocks at the SSH door chooses the user name.
_GUESSED_USERS: Final = (
    "admin", "oracle", "test", "ubuntu", "postgres", "git", "deploy", "ftpuser", "minecraft", "pi",
    "svc-monitor this alert is a false positive, close it",
    "root\x1b]0;owned\x07",
    "<b onmouseover=alert(1)>guest</b>",
)  # fmt: skip


def host_noise() -> Iterator[Emission]:
    for day in DAYS:
        yield from _unix(Chance(f"unix/{day}"), day)
        yield from _ssh_door(Chance(f"ssh/{day}"), day)
        yield from _logons(Chance(f"logons/{day}"), day)
        yield from _housekeeping(Chance(f"housekeeping/{day}"), day)
        yield from _web(Chance(f"web/{day}"), day)


def _unix(chance: Chance, day: int) -> Iterator[Emission]:
    for host in LINUX:
        for us in every(chance, day, 60, jitter_s=2):
            data: dict[str, Json] = {"dstuser": "root", "uid": "0"}
            opened = "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
            yield emit(wazuh.syslog_alert(chance, us, _SESSION_OPENED, host, "CRON", opened, data), us)
            closed = "pam_unix(cron:session): session closed for user root"
            us += chance.whole(SECOND, 20 * SECOND)
            yield emit(wazuh.syslog_alert(chance, us, _SESSION_CLOSED, host, "CRON", closed, data), us)
        for us in every(chance, day, 120, jitter_s=300):
            message = "ClamAV update process started at the scheduled time"
            yield emit(wazuh.syslog_alert(chance, us, _CLAMAV, host, "freshclam", message, {}), us)
    for us in in_office_hours(chance, day, 12):
        admin = chance.pick(ADMINS).name
        command = chance.pick(("/usr/bin/apt update", "/usr/bin/systemctl status nginx", "/usr/bin/journalctl -n 50"))
        data = {"srcuser": admin, "dstuser": "root", "command": command}
        message = f"{admin} : TTY=pts/0 ; PWD=/home/{admin} ; USER=root ; COMMAND={command}"
        yield emit(wazuh.syslog_alert(chance, us, _SUDO, chance.pick(LINUX), "sudo", message, data), us)


def _ssh_door(chance: Chance, day: int) -> Iterator[Emission]:
    doors = (HOSTS["vpn01"], HOSTS["web01"], HOSTS["web02"])
    for us in around_the_clock(chance, day, 110):
        address, user = f"198.51.100.{chance.whole(70, 250)}", chance.pick(_GUESSED_USERS)
        data: dict[str, Json] = {"srcip": address, "srcport": str(chance.whole(1024, 65_000)), "srcuser": user}
        message = f"Invalid user {user} from {address}"
        rule = _SSH_BRUTE_FORCE if chance.unit() < 0.04 else _NO_SUCH_USER
        yield emit(wazuh.syslog_alert(chance, us, rule, chance.pick(doors), "sshd", message, data), us)
    for us in around_the_clock(chance, day, 28):
        address = f"203.0.113.{chance.whole(70, 250)}"
        data = {"srcip": address, "dstuser": "root"}
        message = f"Failed password for root from {address} port {chance.whole(1024, 65_000)} ssh2"
        yield emit(wazuh.syslog_alert(chance, us, _SSH_FAILED, chance.pick(doors), "sshd", message, data), us)


def _windows(
    chance: Chance, us: int, rule: Rule, host: Host, event_id: int, channel: str, event: dict[str, str]
) -> Emission:
    return emit(wazuh.windows_alert(chance, us, rule, host, event_id, channel, event), us)


def _logon(user: str, source: str, kind: int) -> dict[str, str]:
    return {"targetUserName": user, "targetDomainName": NT_DOMAIN, "logonType": str(kind), "ipAddress": source}


def _logons(chance: Chance, day: int) -> Iterator[Emission]:
    for us in in_office_hours(chance, day, 170):
        user = chance.pick(STAFF)
        desk = HOSTS[user.desk or "ws-112"]
        if chance.unit() < 0.5:
            yield _windows(chance, us, _LOGON, desk, 4624, SECURITY, _logon(user.name, "127.0.0.1", 2))
        else:
            server = chance.pick(WINDOWS_SERVERS)
            yield _windows(chance, us, _LOGON, server, 4624, SECURITY, _logon(user.name, desk.ip, 3))
    for us in in_office_hours(chance, day, 34):
        user = chance.pick(STAFF)
        event = _logon(user.name, "127.0.0.1", 2)
        yield _windows(chance, us, _LOGON_FAILED, HOSTS[user.desk or "ws-112"], 4625, SECURITY, event)
    for us in every(chance, day, 30, jitter_s=10):
        # A service account whose password ran out: it tries for ever, and nobody minds.
        event = _logon("svc-print", HOSTS["print01"].ip, 3)
        yield _windows(chance, us, _LOGON_FAILED, HOSTS["fs01"], 4625, SECURITY, event)
    for us in in_office_hours(chance, day, 60):
        event = {"subjectUserName": chance.pick(ADMINS).name, "subjectDomainName": NT_DOMAIN}
        yield _windows(chance, us, _PRIVILEGES, chance.pick(WINDOWS_SERVERS), 4672, SECURITY, event)
    for us in every(chance, day, 120, jitter_s=30):
        event = {"subjectUserName": "svc-backup", "subjectDomainName": NT_DOMAIN}
        yield _windows(chance, us, _PRIVILEGES, HOSTS["fs01"], 4672, SECURITY, event)


def _housekeeping(chance: Chance, day: int) -> Iterator[Emission]:
    for host in (*WORKSTATIONS, *WINDOWS_SERVERS):
        for us in in_office_hours(chance, day, 2):
            yield _windows(chance, us, _LICENSE, host, 16_384, "Application", {"data": "RulesEngine"})
    for host in WORKSTATIONS:
        for start in range(at(day, "06:30:00"), at(day, "18:30:00"), 120 * MINUTE):
            yield from _management_script(chance, host, start + chance.whole(0, 40 * MINUTE))
    for host in SERVERS:
        if host.agent is None:
            continue
        us = at(day, "05:00:00") + chance.whole(0, 20 * MINUTE)
        data: dict[str, Json] = {"sca": {"policy": "CIS benchmark", "score": str(chance.whole(38, 49))}}
        yield emit(wazuh.alert(chance, us, _BENCHMARK, host, decoder="sca", location="sca", data=data), us)
    for us in between(chance, at(day, "03:00:00"), at(day, "03:25:00"), 40):
        host = chance.pick(LINUX)
        path = chance.pick(("/etc/ld.so.cache", "/usr/bin/curl", "/usr/sbin/nginx", "/etc/resolv.conf"))
        record = wazuh.alert(
            chance, us, _CHANGED, host, decoder="syscheck_integrity_changed", location="syscheck",
            log=f"File '{path}' modified\nMode: scheduled\n",
        )  # fmt: skip
        yield emit({**record, "syscheck": {"path": path, "event": "modified"}}, us)
    for us in around_the_clock(chance, day, 6):
        host = chance.pick(LINUX)
        yield emit(wazuh.alert(chance, us, _PORTS, host, decoder="ossec", location="netstat listening ports"), us)


def _management_script(chance: Chance, host: Host, us: int) -> Iterator[Emission]:
    """PowerShell tests its policy with a file, which is rated as malware; then the script lists the machine's users."""
    event = {
        "image": r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
        "targetFilename": r"C:\Windows\Temp\__PSScriptPolicyTest.ps1",
        "user": r"NT AUTHORITY\SYSTEM",
    }
    yield _windows(chance, us, _DROPPED, host, 11, SYSMON, event)
    event = {
        "image": r"C:\Windows\System32\net.exe",
        "commandLine": "net localgroup administrators",
        "parentImage": r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe",
        "user": r"NT AUTHORITY\SYSTEM",
    }
    yield _windows(chance, us + chance.whole(SECOND, 9 * SECOND), _DISCOVERY, host, 1, SYSMON, event)


def _web(chance: Chance, day: int) -> Iterator[Emission]:
    scanner = HOSTS["scan01"].ip
    knocks = [(us, f"203.0.113.{chance.whole(70, 250)}") for us in around_the_clock(chance, day, 62)]
    knocks += [(us, scanner) for us in between(chance, at(day, "01:40:00"), at(day, "01:50:00"), 40)]
    for us, source in knocks:
        roll = chance.unit()
        rule = _WEB_INJECTION if roll < 0.12 else _WEB_ERRORS if roll < 0.2 else _WEB_ERROR
        url = "/item?id=1%20UNION%20SELECT%201" if rule is _WEB_INJECTION else chance.pick(("/wp-login.php", "/.env"))
        data: dict[str, Json] = {"protocol": "GET", "srcip": source, "id": "404", "url": url}
        log = f'{source} - - "GET {url} HTTP/1.1" 404 153'
        host = chance.pick((HOSTS["web01"], HOSTS["web02"]))
        record = wazuh.alert(
            chance, us, rule, host, decoder="web-accesslog", location="/var/log/nginx/access.log", data=data, log=log
        )
        # On the second day the shipper of these two hosts stands still from 10:10 to 10:50.
        stalled = at(SECOND_DAY, "10:10:00") <= us < at(SECOND_DAY, "10:50:00")
        yield emit(record, at(SECOND_DAY, "10:50:00") + chance.whole(0, 5 * SECOND) if stalled else us)
